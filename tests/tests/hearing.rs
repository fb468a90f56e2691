//! Can speech be asked for as one needs it: word by word, as subtitles, live, and beside somebody else's long file?

use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::{Bus, Call, Frame, FrameStream, Target};
use megabrain_schemas::{
    Ask, FaultKind, LegStatus, LiveSound, Media, Segment, TextFormat, TranscribeReply, TranscribeRequest,
};
use megabrain_tests::{Brain, media, megabrain, name, said, words};

const WHISPER: &str = "[models.whisper]\nactor = \"speech\"\nweights = \"whisper-tiny.en\"\n";
const LIMIT: Duration = Duration::from_secs(120);

async fn brain() -> (Brain, Bus) {
    let mut brain = Brain::start(WHISPER).await;
    brain.ready(&["whisper"], LIMIT).await;
    let bus = brain.client().await;
    (brain, bus)
}

fn whisper() -> Target {
    Target::Model(name("whisper"))
}

fn question() -> TranscribeRequest {
    TranscribeRequest { audio: Media::inline("audio/wav", media("question.wav")), ..TranscribeRequest::default() }
}

/// The raw samples of the question, at 16 kHz.
fn samples() -> Vec<u8> {
    let wav = media("question.wav");
    let data = wav.windows(4).position(|window| window == b"data").unwrap() + 8;
    wav[data..].to_vec()
}

#[tokio::test]
async fn words_and_subtitles_come_as_they_are_asked_for() {
    let (brain, bus) = brain().await;
    let request = TranscribeRequest { words: true, format: TextFormat::Srt, ..question() };
    let reply = bus.call(&Target::Router, &request, Call::within(LIMIT)).await.unwrap();
    assert!(reply.text.starts_with("1\n00:00:00,") && reply.text.contains(" --> "), "{}", reply.text);
    for segment in &reply.segments {
        let spoken: Vec<&str> = segment.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(spoken.join(" "), segment.text);
        assert!(segment.words.iter().all(|word| word.t0_ms <= word.t1_ms && word.confidence > 0.0), "{segment:?}");
        assert!(segment.confidence.is_some());
    }

    // The same by the command line.
    let file = brain.folder().join("question.wav");
    std::fs::write(&file, media("question.wav")).unwrap();
    let file = file.display().to_string();
    let transcribe = |arguments: &[&str]| {
        let (code, output, errors) =
            said(&mut megabrain(brain.folder(), &[&["transcribe", &file], arguments].concat()));
        assert_eq!(code, 0, "{arguments:?}: {output}{errors}");
        output
    };
    assert_eq!(transcribe(&["--format", "srt"]).trim_end(), reply.text.trim_end());
    assert!(transcribe(&["--format", "vtt"]).starts_with("WEBVTT\n\n00:00:0"));
    let plain = transcribe(&["--format", "text"]);
    assert!(plain.trim().lines().count() == 1 && plain.contains("capital of France"), "{plain}");
    let json: serde_json::Value = serde_json::from_str(&transcribe(&["--format", "json", "--words"])).unwrap();
    assert!(json["segments"][0]["words"][0]["t1_ms"].is_number(), "{json}");
    let by_word = transcribe(&["--words"]);
    assert_eq!(by_word.lines().count(), words(&plain).len(), "{by_word}");

    // It knows only English: it would write down nonsense and call it a translation.
    let fault = bus
        .call(&whisper(), &TranscribeRequest { translate: true, ..question() }, Call::within(LIMIT))
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");
    assert!(fault.message.contains("translate"), "{fault}");
}

/// As `espeak-ng` says it, which the voice needs as well.
fn said_in(language: &str, text: &str) -> Media {
    let spoken = std::process::Command::new("espeak-ng").args(["-v", language, "-s", "140", "--stdout", text]).output();
    let spoken = spoken.expect("espeak-ng: `make setup` installs it");
    assert!(spoken.status.success() && spoken.stdout.starts_with(b"RIFF"), "{spoken:?}");
    Media::inline("audio/wav", spoken.stdout)
}

/// What `/v1/audio/translations` makes of a sound.
async fn translated(doors: &str, sound: &[u8]) -> String {
    let part = |head: &str| format!("--x\r\ncontent-disposition: form-data; {head}\r\n\r\n").into_bytes();
    let (model, file) = (part("name=\"model\""), part("name=\"file\"; filename=\"said.wav\""));
    let body = [&model[..], b"tongues\r\n", &file, sound, b"\r\n--x--\r\n"].concat();
    let request = reqwest::Client::new().post(format!("{doors}/v1/audio/translations")).body(body);
    let answer = request.header("content-type", "multipart/form-data; boundary=x").send().await.unwrap();
    let (status, told) = (answer.status(), answer.json::<serde_json::Value>().await.unwrap());
    assert_eq!(status, 200, "{told}");
    told["text"].as_str().unwrap().to_lowercase()
}

#[tokio::test]
async fn a_language_is_found_out_and_translated() {
    let mut brain = Brain::start("[models.tongues]\nactor = \"speech\"\nweights = \"whisper-base\"\n").await;
    brain.ready(&["tongues"], LIMIT).await;
    let bus = brain.client().await;
    let german = said_in("de", "Guten Morgen. Ich möchte ein Glas Wasser. Wo ist der Bahnhof?");
    let german = TranscribeRequest { audio: german, ..TranscribeRequest::default() };
    let hear = async |request: TranscribeRequest| {
        let reply = bus.call(&Target::Model(name("tongues")), &request, Call::within(LIMIT)).await;
        reply.map(|reply| (reply.language, reply.text.to_lowercase()))
    };
    let (language, text) = hear(german.clone()).await.unwrap();
    assert_eq!(language, "de", "{text}");
    assert!(text.contains("guten morgen") && text.contains("wasser"), "{text}");
    let given = hear(TranscribeRequest { language: Some("de".into()), ..german.clone() }).await.unwrap();
    assert_eq!(given, (language, text));
    let (language, text) = hear(TranscribeRequest { translate: true, ..german.clone() }).await.unwrap();
    assert_eq!(language, "de", "that which is spoken");
    assert!(text.contains("good morning") && text.contains("water"), "{text}");
    let over_http = translated(&brain.http().await, &german.audio.data.as_ref().unwrap().0).await;
    assert!(over_http.contains("good morning") && over_http.contains("water"), "{over_http}");
    let english = said_in("en", "Good morning. Where is the station?");
    let (language, _) = hear(TranscribeRequest { audio: english, ..TranscribeRequest::default() }).await.unwrap();
    assert_eq!(language, "en");
    let fault = hear(TranscribeRequest { language: Some("klingon".into()), ..german }).await.unwrap_err();
    assert!(fault.kind == FaultKind::InvalidRequest && fault.message.contains("klingon"), "{fault}");
}

/// What came of a live request.
struct Heard {
    partial: Vec<Segment>,
    last: Vec<Segment>,
    reply: TranscribeReply,
}

async fn hear(stream: &mut FrameStream) -> Heard {
    let (mut partial, mut last) = (Vec::new(), Vec::new());
    loop {
        match stream.next::<TranscribeRequest>().await.expect("an end").unwrap() {
            Frame::Part(_, frame) if frame.partial => partial.extend(frame.segment),
            Frame::Part(_, frame) => last.extend(frame.segment),
            Frame::End(_, reply) => return Heard { partial, last, reply },
        }
    }
}

/// Opens a live request; where to publish.
async fn listen(bus: &Bus, target: &Target, live: LiveSound, call: Call) -> (FrameStream, String) {
    let request = TranscribeRequest { live: Some(live), ..TranscribeRequest::default() };
    let mut stream = bus.stream(target, &request, call).await.unwrap();
    let Frame::Part(_, first) = stream.next::<TranscribeRequest>().await.expect("a frame").unwrap() else {
        panic!("it ended before it began");
    };
    (stream, first.publish_to.expect("a subject"))
}

#[tokio::test]
async fn live_sound_is_heard_while_it_is_spoken() {
    let (_brain, bus) = brain().await;
    // By the router, as somebody does who knows no model.
    let (mut stream, subject) = listen(&bus, &Target::Router, LiveSound::default(), Call::within(LIMIT)).await;
    assert!(subject.starts_with("mb.v1.live."), "{subject}");
    let speaker = tokio::spawn({
        let bus = bus.clone();
        async move {
            let sound = [samples(), vec![0; 48_000]].concat();
            let (began, tenth) = (Instant::now(), Duration::from_millis(100));
            for (part, number) in sound.chunks(3200).zip(1..) {
                tokio::time::sleep_until((began + tenth * number).into()).await;
                bus.publish(&subject, None, Bytes::copy_from_slice(part)).await.unwrap();
            }
            bus.publish(&subject, None, Bytes::new()).await.unwrap();
        }
    });
    let heard = hear(&mut stream).await;
    speaker.await.unwrap();
    println!("{:?}\n{:?}", heard.partial, heard.last);
    assert!(heard.reply.text.to_lowercase().contains("capital of france"), "{}", heard.reply.text);
    assert!(!heard.partial.is_empty() && !heard.last.is_empty());
    assert_eq!(heard.last, heard.reply.segments);
    assert!(heard.last.iter().all(|segment| segment.t0_ms < segment.t1_ms && segment.t1_ms < 7_500.0));
    let spoken = (samples().len() + 48_000) as f64 / 32.0;
    assert!((heard.reply.duration_ms - spoken).abs() < 1.0, "{} of {spoken}", heard.reply.duration_ms);
}

#[tokio::test]
async fn live_sound_ends_when_nothing_comes_when_it_is_wrong_and_when_it_is_cancelled() {
    let (_brain, bus) = brain().await;
    let idle = LiveSound { idle_ms: 300, ..LiveSound::default() };
    let (mut stream, subject) = listen(&bus, &whisper(), idle, Call::within(LIMIT)).await;
    bus.publish(&subject, None, samples().into()).await.unwrap();
    let heard = hear(&mut stream).await;
    assert!(heard.reply.text.to_lowercase().contains("capital of france"), "{}", heard.reply.text);

    let (mut stream, subject) = listen(&bus, &whisper(), LiveSound::default(), Call::within(LIMIT)).await;
    bus.publish(&subject, None, Bytes::from_static(b"odd")).await.unwrap();
    let fault = stream.next::<TranscribeRequest>().await.expect("an end").unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");

    // Faster than anybody speaks: five minutes at once.
    let (mut stream, subject) = listen(&bus, &whisper(), LiveSound::default(), Call::within(LIMIT)).await;
    for _ in 0..10 {
        bus.publish(&subject, None, samples().repeat(5).into()).await.unwrap();
    }
    let fault = loop {
        match stream.next::<TranscribeRequest>().await.expect("an end") {
            Ok(Frame::Part(..)) => {}
            Ok(Frame::End(..)) => panic!("it was heard to its end"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FaultKind::TooLarge, "{fault}");

    let call = Call::within(LIMIT);
    let work = call.meta.work.clone();
    let (mut stream, _) = listen(&bus, &whisper(), LiveSound::default(), call).await;
    let began = Instant::now();
    bus.cancel(&work);
    let fault = stream.next::<TranscribeRequest>().await.expect("an end").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Cancelled, "{fault}");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_was_heard_of_a_sound_before_time_was_up_is_told_as_late() {
    let (_brain, bus) = brain().await;
    // Half an hour of speech: more than anybody hears in this time.
    let sound = Media::inline("audio/ogg", media("question-opus.ogg").repeat(400));
    let ask = Ask { attachments: vec![sound], models: Some(Vec::new()), ..Ask::default() };
    let reply = bus.call(&Target::Router, &ask, Call::within(Duration::from_secs(12))).await.unwrap();
    let leg = reply.legs.first().expect("a leg");
    assert_eq!(leg.status, Some(LegStatus::Late), "{leg:?}");
    assert!(leg.error.is_some() && reply.legs.len() == 1, "{:?}", reply.legs);
    let last = reply.evidence.last().expect("what was heard until then");
    assert!(reply.evidence.iter().all(|item| item.status == LegStatus::Late), "{last:?}");
    assert!(reply.text.to_lowercase().contains("capital of france"), "{}", reply.text);
    assert!(last.t1_ms.is_some_and(|end| end > 10_000.0), "{last:?}");
}

#[tokio::test]
async fn a_short_sound_does_not_wait_for_long_ones() {
    let (_brain, bus) = brain().await;
    // Ogg files one after the other are one file: some minutes of speech, three times.
    let audio = Media::inline("audio/ogg", media("question-opus.ogg").repeat(40));
    let long = TranscribeRequest { audio, stream: true, ..TranscribeRequest::default() };
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(bus.stream(&whisper(), &long, Call::within(LIMIT)).await.unwrap());
    }
    streams[0].next::<TranscribeRequest>().await.expect("a segment").unwrap();
    let reply = bus.call(&whisper(), &question(), Call::within(LIMIT)).await.unwrap();
    assert!(reply.text.to_lowercase().contains("capital of france"), "{}", reply.text);
    // Streams that are dropped are cancelled; each was still at it.
    for mut stream in streams {
        let last = loop {
            match tokio::time::timeout(Duration::ZERO, stream.next::<TranscribeRequest>()).await {
                Ok(frame) => match frame.expect("an end").unwrap() {
                    Frame::Part(..) => {}
                    Frame::End(_, reply) => break Some(reply),
                },
                Err(_) => break None,
            }
        };
        assert!(last.is_none(), "a long sound was heard before the short one");
    }
}
