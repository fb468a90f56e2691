//! What does a real message of every type look like? Fractions are sums of powers of two, so that 32 bits, 64 bits and
//! text are the same number in every language.

use std::collections::BTreeMap;
use std::error::Error;

use megabrain_schemas::*;
use serde_json::{Value, json};

use super::examples_reading::reading;
use super::message::{MessageType, Part};

pub(super) type Made<T> = Result<T, Box<dyn Error>>;

/// Every message type with its golden messages.
pub(crate) fn all() -> Made<Vec<MessageType>> {
    Ok([asking()?, chatting()?, reading()?, hearing()?, seeing()?, echoing()?, telling()?]
        .into_iter()
        .flatten()
        .collect())
}

fn name(text: &str) -> Name {
    Name::sanitized(text)
}

pub(super) fn end_of(model: &str) -> Stamp {
    Stamp { work: Some(work()), model: Some(name(model)), seq: None, done: true }
}

fn frame_of(model: &str, seq: u64) -> Stamp {
    Stamp { work: Some(work()), model: Some(name(model)), seq: Some(seq), done: false }
}

pub(super) fn work() -> Name {
    name("01KAPFZ3V8Q4N2T6D0XJ5RWCHE")
}

/// The head of a wav file: has bytes that are no text.
fn sound() -> Vec<u8> {
    b"RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\x08\x00\x00\x00\x00\x00\xff\x7f\x00\x80\xfe\xff".to_vec()
}

fn picture() -> Vec<u8> {
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9".to_vec()
}

fn film() -> BlobRef {
    BlobRef::of(b"a film")
}

fn usage() -> Usage {
    Usage { prompt_tokens: 41, completion_tokens: 12 }
}

fn evidence() -> Evidence {
    Evidence {
        attachment: 0,
        modality: Modality::Audio,
        model: name("whisper"),
        t0_ms: Some(0.0),
        t1_ms: Some(10990.0),
        text: "Could you reserve berth forty-two for Friday?".into(),
        confidence: Some(0.9375),
        status: LegStatus::Ok,
    }
}

fn heard() -> LegReport {
    LegReport {
        leg: "0".into(),
        subject: "mb.v1.transcribe.whisper".into(),
        model: Some(name("whisper")),
        status: Some(LegStatus::Ok),
        queued_ms: Some(1.25),
        took_ms: 870.5,
        note: None,
        error: None,
    }
}

fn not_seen() -> LegReport {
    LegReport {
        leg: "1".into(),
        subject: "mb.v1.see.vision".into(),
        model: None,
        status: Some(LegStatus::Failed),
        queued_ms: None,
        took_ms: 2.5,
        note: None,
        error: Some(Fault::unavailable("no instance of vision is ready", 500)),
    }
}

fn asking() -> Made<Vec<MessageType>> {
    let ask = Ask {
        text: Some("What does she ask for?".into()),
        messages: vec![Message::new(Role::System, "Answer in one sentence.")],
        attachments: vec![Media::inline("audio/wav", sound()), Media::by_reference(None, BlobRef::of(b"a photograph"))],
        models: Some(vec![name("deep"), name("fast")]),
        policy: Policy::All,
        need: Some(Need::Word(NeedWord::Any)),
        stream: false,
        deadline_ms: Some(30_000),
        frames: Some(12),
        max_tokens: Some(256),
        temperature: Some(0.0),
        top_p: Some(0.5),
        seed: Some(7),
        stop: vec!["\n\n".into()],
        session: Some("harbour-office".into()),
        work: Some(work()),
    };
    let answer = Answer {
        model: name("deep"),
        text: "She asks for berth 42 on Friday.".into(),
        finish_reason: FinishReason::Stop,
        usage: usage(),
        took_ms: 2210.75,
    };
    let reply = AskReply {
        work: None,
        text: answer.text.clone(),
        model: Some(answer.model.clone()),
        finish_reason: Some(answer.finish_reason),
        usage: Some(answer.usage),
        answers: vec![answer],
        evidence: vec![evidence()],
        left_out: vec![0],
        legs: vec![heard(), not_seen()],
        took_ms: 3084.25,
    };
    // The answer says itself which model it is of.
    let end = Stamp { model: None, ..end_of("") };
    let part = |seq| Stamp { model: None, ..frame_of("", seq) };
    let leg = AskFrame { leg: Some(heard()), ..AskFrame::default() };
    let found = AskFrame { evidence: Some(evidence()), ..AskFrame::default() };
    let delta = AskFrame { delta: Some("She asks ".into()), model: Some(name("deep")), ..AskFrame::default() };
    let attachment = AttachmentRequest {
        attachment: Media::inline("application/pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec()),
        prompt: Some("Who signed it?".into()),
    };
    let read = AttachmentReply { text: Some("Signed by J. Tar.".into()), data: Some(Data(picture())) };
    Ok(vec![
        MessageType::new::<Ask>("ask_request", Part::Request)?
            .plain("", &ask)?
            .plain("short", &Ask { text: Some("What is a tide?".into()), ..Ask::default() })?,
        MessageType::new::<AskReply>("ask_reply", Part::Reply)?.stamped("", &end, &reply)?,
        MessageType::new::<AskFrame>("ask_frame", Part::Frame)?
            .stamped("leg", &part(0), &leg)?
            .stamped("evidence", &part(1), &found)?
            .stamped("delta", &part(2), &delta)?,
        MessageType::new::<AttachmentRequest>("attachment_request", Part::Request)?.plain("", &attachment)?,
        MessageType::new::<AttachmentReply>("attachment_reply", Part::Reply)?.stamped("", &end_of("pdf"), &read)?,
    ])
}

fn berth() -> Value {
    json!({
        "type": "object",
        "properties": {"day": {"type": "string"}, "length_m": {"type": "number", "minimum": 0}},
        "required": ["day"],
    })
}

fn chatting() -> Made<Vec<MessageType>> {
    let request = ChatRequest {
        model: Some("fast".into()),
        messages: vec![
            Message::new(Role::System, "You are the harbour office."),
            Message::user("Is berth 42 free? 🛥"),
            Message::assistant("Which day?"),
            Message {
                images: vec![Media::inline("image/jpeg", picture())],
                ..Message::user("Friday. It is for this.")
            },
        ],
        max_tokens: Some(64),
        temperature: Some(0.5),
        top_p: Some(0.875),
        top_k: Some(40),
        min_p: Some(0.0625),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(-0.5),
        repeat_penalty: Some(1.25),
        logit_bias: [("42".to_owned(), -100.0)].into(),
        n: Some(1),
        seed: Some(1),
        stop: vec!["\n\n".into()],
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        response_format: Some(ResponseFormat::JsonSchema {
            json_schema: JsonSchemaFormat {
                name: Some("berth".into()),
                description: None,
                schema: berth(),
                strict: Some(true),
            },
        }),
        grammar: None,
        stream: true,
        session: Some("harbour-office".into()),
        deadline_ms: Some(5000),
        work: Some(work()),
    };
    let asked = ToolCall::function("call_7", "find_berth", "{\"day\":\"Friday\"}");
    let with_tools = ChatRequest {
        messages: vec![
            Message::user("Is a berth free on Friday?"),
            Message { tool_calls: vec![asked.clone()], ..Message::assistant("") },
            Message::tool("call_7", "{\"berth\":42}"),
        ],
        tools: vec![Tool::function("find_berth", "Finds a free berth.", berth())],
        tool_choice: Some(ToolChoice::named("find_berth")),
        parallel_tool_calls: Some(false),
        ..ChatRequest::default()
    };
    let calling = ChatReply {
        message: Some(Message {
            tool_calls: vec![asked.clone()],
            reasoning_content: Some("The list of berths will tell.".into()),
            ..Message::assistant("")
        }),
        finish_reason: FinishReason::ToolCalls,
        usage: usage(),
        timings: Timings::default(),
    };
    let reply = ChatReply {
        message: Some(Message::assistant("Yes: berth 42 is free on Friday.")),
        finish_reason: FinishReason::Stop,
        usage: usage(),
        timings: Timings { queued_ms: 0.25, prompt_ms: 12.5, first_token_ms: 14.75, total_ms: 96.5 },
    };
    let end = ChatReply { message: None, finish_reason: FinishReason::Length, ..reply.clone() };
    let thinking = ChatFrame { reasoning_content: Some("The list ".into()), ..ChatFrame::default() };
    let called = ChatFrame { tool_calls: vec![asked.into_delta(0)], ..ChatFrame::default() };
    Ok(vec![
        MessageType::new::<ChatRequest>("chat_request", Part::Request)?
            .plain("", &request)?
            .plain("tools", &with_tools)?,
        MessageType::new::<ChatReply>("chat_reply", Part::Reply)?
            .stamped("", &end_of("fast"), &reply)?
            .stamped("stream", &Stamp { seq: Some(9), ..end_of("fast") }, &end)?
            .stamped("tools", &end_of("fast"), &calling)?,
        MessageType::new::<ChatFrame>("chat_frame", Part::Frame)?
            .stamped("", &frame_of("fast", 0), &ChatFrame::text("Yes: "))?
            .stamped("reasoning", &frame_of("fast", 0), &thinking)?
            .stamped("tools", &frame_of("fast", 1), &called)?,
    ])
}

fn hearing() -> Made<Vec<MessageType>> {
    let request = TranscribeRequest {
        audio: Media::inline("audio/wav", sound()),
        language: Some("en".into()),
        ..TranscribeRequest::default()
    };
    let live = TranscribeRequest {
        live: Some(LiveSound { rate: 48_000, idle_ms: 5000 }),
        translate: true,
        words: true,
        format: TextFormat::Vtt,
        stream: true,
        ..TranscribeRequest::default()
    };
    let segment = Segment {
        t0_ms: 0.0,
        t1_ms: 3200.5,
        text: "Could you reserve berth forty-two".into(),
        confidence: Some(0.9375),
        words: Vec::new(),
    };
    let word = |t0_ms, t1_ms, text: &str| Word { t0_ms, t1_ms, text: text.into(), confidence: 0.875 };
    let partial = Segment {
        t0_ms: 0.0,
        t1_ms: 640.0,
        text: "Could you".into(),
        words: vec![word(0.0, 320.0, "Could"), word(320.0, 640.0, "you")],
        ..segment.clone()
    };
    let reply = TranscribeReply {
        text: segment.text.clone(),
        language: "en".into(),
        duration_ms: 10990.0,
        segments: vec![segment.clone()],
        queued_ms: 1.25,
    };
    let speak = SpeakRequest {
        text: "Berth 42 is yours on Friday.".into(),
        voice: Some("joe".into()),
        speed: Some(1.0),
        format: AudioFormat::Wav,
        stream: false,
    };
    let said = Segment { t1_ms: 2960.0, text: speak.text.clone(), ..Segment::default() };
    let spoken = SpeakReply { audio: Media::inline("audio/wav", sound()), duration_ms: 2960.0, segments: vec![said] };
    Ok(vec![
        MessageType::new::<TranscribeRequest>("transcribe_request", Part::Request)?
            .plain("", &request)?
            .plain("live", &live)?,
        MessageType::new::<TranscribeReply>("transcribe_reply", Part::Reply)?.stamped(
            "",
            &end_of("whisper"),
            &reply,
        )?,
        MessageType::new::<TranscribeFrame>("transcribe_frame", Part::Frame)?
            .stamped("", &frame_of("whisper", 0), &TranscribeFrame::of(segment))?
            .stamped(
                "listening",
                &frame_of("whisper", 0),
                &TranscribeFrame { publish_to: Some(subject::live(&work())), ..TranscribeFrame::default() },
            )?
            .stamped(
                "partial",
                &frame_of("whisper", 1),
                &TranscribeFrame { segment: Some(partial), partial: true, publish_to: None },
            )?,
        MessageType::new::<SpeakRequest>("speak_request", Part::Request)?.plain("", &speak)?,
        MessageType::new::<SpeakReply>("speak_reply", Part::Reply)?.stamped("", &end_of("voice"), &spoken)?.stamped(
            "frame",
            &frame_of("voice", 0),
            &spoken,
        )?,
    ])
}

fn seeing() -> Made<Vec<MessageType>> {
    let request = SeeRequest {
        images: vec![Media::inline("image/jpeg", picture())],
        tasks: Some(vec![SeeTask::Classify, SeeTask::Read, SeeTask::Describe]),
        prompt: Some("What is on the sign?".into()),
        top_k: Some(5),
    };
    let seen = Seen {
        width: 640,
        height: 480,
        classify: Some(vec![Classified { label: "tabby cat".into(), score: 0.71875 }]),
        read: Some(vec![Read {
            text: "BERTH 42".into(),
            corners: [[12.0, 8.5], [220.0, 8.5], [220.0, 64.0], [12.0, 64.0]],
            score: 0.984375,
        }]),
        describe: Some(Description {
            text: "a cat under a sign that says BERTH 42".into(),
            by: "classify+read".into(),
        }),
    };
    let frame = VideoFrame { blob: BlobRef::of(b"a frame"), t_ms: 1500.0 };
    let sound = VideoSound { blob: BlobRef::of(b"a sound track"), t0_ms: 0.0, duration_ms: 18000.0 };
    Ok(vec![
        MessageType::new::<SeeRequest>("see_request", Part::Request)?.plain("", &request)?,
        MessageType::new::<SeeReply>("see_reply", Part::Reply)?.stamped(
            "",
            &end_of("vision"),
            &SeeReply { results: vec![seen], queued_ms: 1.5 },
        )?,
        MessageType::new::<SplitRequest>("split_request", Part::Request)?.plain(
            "",
            &SplitRequest {
                video: Media::by_reference(Some("video/mp4".into()), film()),
                frames: Some(20),
                fps: Some(0.5),
                stream: None,
            },
        )?,
        MessageType::new::<SplitFrame>("split_frame", Part::Frame)?
            .stamped("picture", &frame_of("video", 0), &SplitFrame { frame: Some(frame), sound: None })?
            .stamped("sound", &frame_of("video", 1), &SplitFrame { frame: None, sound: Some(sound) })?,
        MessageType::new::<SplitReply>("split_reply", Part::Reply)?
            .stamped(
                "",
                &Stamp { seq: Some(2), ..end_of("video") },
                &SplitReply {
                    frames: 1,
                    duration_ms: 18000.0,
                    container: Some("mov".into()),
                    width: Some(640),
                    height: Some(480),
                    video_codec: Some("h264".into()),
                    audio_codec: Some("aac".into()),
                    ..SplitReply::default()
                },
            )?
            .stamped(
                "whole",
                &end_of("video"),
                &SplitReply {
                    frames: 1,
                    duration_ms: 2400.0,
                    container: Some("matroska".into()),
                    width: Some(1920),
                    height: Some(1080),
                    video_codec: Some("vp9".into()),
                    audio_codec: Some("opus".into()),
                    note: Some("the pictures are damaged from 1.5 s on: Invalid data found".into()),
                    pictures: vec![VideoFrame { blob: BlobRef::of(b"a frame"), t_ms: 1500.0 }],
                    sounds: vec![VideoSound { blob: BlobRef::of(b"a sound track"), t0_ms: 0.0, duration_ms: 2400.0 }],
                    queued_ms: 0.25,
                },
            )?,
    ])
}

fn echoing() -> Made<Vec<MessageType>> {
    let every_byte = Data((0..=255).collect());
    let request = EchoRequest {
        text: Some("ahoy".into()),
        data: Some(every_byte.clone()),
        attachment: Some(Media::inline(ECHO_MIME, br#"{"text":"ahoy","delay_ms":5}"#.to_vec())),
        delay_ms: 20,
        stream: true,
    };
    let reply = EchoReply { text: Some("ahoy".into()), data: Some(every_byte) };
    Ok(vec![
        MessageType::new::<EchoRequest>("echo_request", Part::Request)?.plain("", &request)?,
        MessageType::new::<EchoReply>("echo_reply", Part::Reply)?.stamped("", &end_of("echo"), &reply)?.stamped(
            "frame",
            &frame_of("echo", 0),
            &EchoReply { text: Some("ahoy".into()), data: None },
        )?,
    ])
}

#[allow(clippy::needless_update, reason = "presences gain fields, which these examples need not name")]
fn telling() -> Made<Vec<MessageType>> {
    let presence = Presence {
        actor: name("llm"),
        node: Some(name("harbour")),
        state: ModelState::Ready,
        capabilities: vec![Capability::of::<ChatRequest>(), Capability::of::<EmbedRequest>()],
        accepts: vec!["image/*".into()],
        tasks: vec![SeeTask::Describe],
        device: Some("cuda0".into()),
        slots: 8,
        queue_limit: 64,
        context: Some(8192),
        queued: 2,
        in_flight: 8,
        finished: 1234,
        faults: 1,
        last_fault: Some(FaultKind::DeadlineExceeded),
        tokens_per_second: 412.5,
        prompt_tokens: 481_300,
        completion_tokens: 96_250,
        took_ms: 233_341.7,
        memory_bytes: 1_503_238_553,
        device_memory_bytes: Some(9_663_676_416),
        threads: 4,
        restarts: 1,
        pid: 4242,
        ..Presence::unknown(&name("fast-1"), &name("fast"))
    };
    let node = NodePresence {
        router: true,
        asks_in_flight: 3,
        cores: 32,
        memory_bytes: 137_438_953_472,
        memory_available_bytes: 68_719_476_736,
        resident_bytes: 41_943_040,
        up_ms: 86_400_000,
        cards: vec![Card {
            name: "cuda0".into(),
            description: "NVIDIA RTX PRO 6000 Blackwell".into(),
            memory_bytes: 102_641_958_912,
        }],
    };
    let report = WorkReport { model: name("fast"), taken: vec![u64::MAX, 81_985_529_216_486_895], finished: vec![1] };
    let shares = CoreShares { threads: BTreeMap::from([(name("deep"), 12), (name("fast"), 4)]) };
    let fault = Fault::new(FaultKind::Overloaded, "the queue of fast is full: 64 works wait").retry_after(120);
    Ok(vec![
        MessageType::new::<Presence>("presence_event", Part::Event)?.plain("", &presence)?,
        MessageType::new::<WorkReport>("work_event", Part::Event)?.plain("", &report)?,
        MessageType::new::<CoreShares>("cores_event", Part::Event)?.plain("", &shares)?,
        MessageType::new::<NodePresence>("node_event", Part::Event)?.plain("", &node)?,
        MessageType::new::<Cancel>("cancel", Part::Event)?.plain("", &Cancel {})?,
        MessageType::new::<FaultReply>("fault", Part::Fault)?.plain("", &FaultReply::new(Some(work()), fault))?,
    ])
}
