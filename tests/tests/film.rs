//! What is shown while what is said? A film, watched by eyes and ears at once, on one clock.

use std::time::Duration;

use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_schemas::{Ask, AskFrame, AskReply, Evidence, FaultKind, LegStatus, Media, Modality, Need, NeedWord};
use megabrain_tests::{Brain, EARS, EYES, media, signal};
use rustix::process::Signal;
use serde::Deserialize;

const LOADING: Duration = Duration::from_secs(120);
const FILMS: &str = "[models.video]\nactor = \"video\"\n";
const FILMS_IN_BRIEF: &str = "[models.video]\nactor = \"video\"\nframes = 4\nmax_frames = 4\n";
/// Room for the pictures and the sound of a film.
const ROOM: &str = "64 MiB";
/// How far what is heard may be from the truth, in milliseconds.
const HEARD_WITHIN: f64 = 200.0;
/// The time of one picture of the film, in milliseconds: so far what is seen may be from the truth.
const SEEN_WITHIN: f64 = 40.0;

/// `film.json`.
#[derive(Deserialize)]
struct Truth {
    shown: Vec<Shown>,
    said: Vec<Said>,
}

#[derive(Deserialize)]
struct Shown {
    t0_ms: f64,
    t1_ms: f64,
    text: String,
}

#[derive(Deserialize)]
struct Said {
    t0_ms: f64,
    t1_ms: f64,
    text: String,
}

async fn brain(models: &[&str]) -> (Brain, Bus) {
    let mut brain = Brain::start_with_room(&models.concat(), &[], ROOM).await;
    let names: Vec<&str> = [(FILMS, "video"), (FILMS_IN_BRIEF, "video"), (EYES, "vision"), (EARS, "whisper")]
        .into_iter()
        .filter(|(table, _)| models.contains(table))
        .map(|(_, name)| name)
        .collect();
    brain.ready(&names, LOADING).await;
    let bus = brain.client().await;
    (brain, bus)
}

/// Nobody answers: what is found is the answer.
fn question(film: Vec<u8>) -> Ask {
    Ask { attachments: vec![Media::inline("video/mp4", film)], models: Some(Vec::new()), ..Ask::default() }
}

async fn ask(bus: &Bus, ask: &Ask) -> Result<AskReply, megabrain_schemas::Fault> {
    bus.call(&Target::Router, ask, Call::within(LOADING)).await
}

fn of(reply: &AskReply, modality: Modality) -> impl Iterator<Item = &Evidence> {
    reply.evidence.iter().filter(move |item| item.modality == modality)
}

/// Letters and digits only: the reader knows no spaces between words.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

#[tokio::test]
async fn a_film_is_told_on_its_own_clock() {
    let (_brain, bus) = brain(&[FILMS, EYES, EARS]).await;
    let truth: Truth = serde_json::from_slice(&media("film.json")).unwrap();
    let reply = ask(&bus, &question(media("film.mp4"))).await.unwrap();
    for leg in &reply.legs {
        assert_eq!(leg.status, Some(LegStatus::Ok), "{leg:?}");
    }
    for said in &truth.said {
        let heard = of(&reply, Modality::Audio)
            .find(|item| letters(&item.text).contains(letters(&said.text).get(..12).unwrap()))
            .unwrap_or_else(|| panic!("nobody heard {:?}: {:#?}", said.text, reply.evidence));
        let t0 = heard.t0_ms.unwrap();
        // Two sentences may be two pieces of evidence.
        let during = of(&reply, Modality::Audio).filter(|item| item.t0_ms.unwrap() < said.t1_ms);
        let t1 = during.filter_map(|item| item.t1_ms).fold(0.0, f64::max);
        println!("heard {:7.0} to {:7.0}, said {:7.0} to {:7.0}: {}", t0, t1, said.t0_ms, said.t1_ms, heard.text);
        assert!((t0 - said.t0_ms).abs() <= HEARD_WITHIN, "{heard:?} begins at {}", said.t0_ms);
        assert!((t1 - said.t1_ms).abs() <= HEARD_WITHIN, "{heard:?} ends at {}", said.t1_ms);
    }
    for shown in truth.shown.iter().filter(|shown| !shown.text.is_empty()) {
        let seen: Vec<_> =
            of(&reply, Modality::Image).filter(|item| letters(&item.text).contains(&letters(&shown.text))).collect();
        assert_eq!(seen.len(), 1, "what stands still on several pictures is told once: {seen:?}");
        let (t0, t1) = (seen[0].t0_ms.unwrap(), seen[0].t1_ms.unwrap());
        println!("seen  {t0:7.0} to {t1:7.0}, shown {:7.0} to {:7.0}: {}", shown.t0_ms, shown.t1_ms, seen[0].text);
        assert!((t0 - shown.t0_ms).abs() <= SEEN_WITHIN, "{:?} begins at {}", seen[0], shown.t0_ms);
        assert!((t1 - shown.t1_ms).abs() <= SEEN_WITHIN, "{:?} ends at {}", seen[0], shown.t1_ms);
    }
    // Photographs have no text that would tell them: something is seen from their first moment on.
    for shown in truth.shown.iter().filter(|shown| shown.text.is_empty()) {
        let begins = |item: &&Evidence| (item.t0_ms.unwrap() - shown.t0_ms).abs() <= SEEN_WITHIN;
        let seen = of(&reply, Modality::Image).find(begins);
        assert!(seen.is_some(), "nothing is seen from {} on: {:#?}", shown.t0_ms, reply.evidence);
    }
    let times: Vec<f64> = reply.evidence.iter().filter_map(|item| item.t0_ms).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn what_is_found_comes_before_the_film_is_read_to_its_end() {
    let (_brain, bus) = brain(&[FILMS, EYES, EARS]).await;
    let streamed = Ask { stream: true, ..question(media("film.mp4")) };
    let mut stream = bus.stream(&Target::Router, &streamed, Call::within(LOADING)).await.unwrap();
    let (mut seen_first, mut split_ended, mut evidence) = (false, false, Vec::new());
    let reply = loop {
        match stream.next::<Ask>().await.expect("an end").unwrap() {
            Frame::Part(_, AskFrame { leg: Some(leg), .. }) if leg.subject.contains(".split.") => {
                split_ended |= leg.status.is_some();
            }
            Frame::Part(_, AskFrame { leg: Some(leg), .. }) if leg.leg.contains('.') => seen_first |= !split_ended,
            Frame::Part(_, AskFrame { evidence: Some(item), .. }) => evidence.push(item),
            Frame::Part(..) => {}
            Frame::End(_, reply) => break reply,
        }
    };
    assert!(seen_first, "a part went to its model while the film was still being read");
    assert!(evidence.len() >= reply.evidence.len(), "frames carry all that was found; the answer joins it");
}

#[tokio::test]
async fn without_ears_the_pictures_still_answer_and_what_was_lost_is_told() {
    let (_brain, bus) = brain(&[FILMS_IN_BRIEF, EYES]).await;
    let reply = ask(&bus, &Ask { frames: Some(5), ..question(media("film.mp4")) }).await.unwrap();
    let split = reply.legs.iter().find(|leg| leg.subject.contains(".split.")).unwrap();
    assert!(split.note.as_ref().is_some_and(|note| note.contains("at most 4 pictures")), "{split:?}");
    assert!(of(&reply, Modality::Image).count() > 0);
    let lost: Vec<_> = reply.legs.iter().filter(|leg| leg.status == Some(LegStatus::Skipped)).collect();
    assert_eq!(lost.len(), 1, "{:?}", reply.legs);
    assert!(lost[0].error.as_ref().unwrap().message.contains("audio/wav"), "{lost:?}");
}

#[tokio::test]
async fn a_film_that_one_model_cannot_take_now_goes_to_the_next_and_has_so_many_parts_at_most() {
    let two = "[models.first]\nactor = \"video\"\nframes = 4\n[models.second]\nactor = \"video\"\nframes = 4\n\
               [router]\nmax_parts = 3\nprefer = { split = [\"first\", \"second\"] }\n";
    let mut brain = Brain::start_with_room(&[two, EYES].concat(), &[], ROOM).await;
    brain.ready(&["first", "second", "vision"], LOADING).await;
    let bus = brain.client().await;
    let asked = async || {
        let reply = ask(&bus, &question(media("film.mp4"))).await.unwrap();
        let split = reply.legs.iter().find(|leg| leg.subject.contains(".split.")).unwrap().clone();
        assert_eq!(split.status, Some(LegStatus::Ok), "{split:?}");
        (split.model.unwrap().to_string(), reply)
    };
    let (by, reply) = asked().await;
    assert_eq!(by, "first");
    let skipped = reply.legs.iter().filter(|leg| leg.status == Some(LegStatus::Skipped));
    let too_many: Vec<&str> = skipped.map(|leg| leg.error.as_ref().unwrap().message.as_str()).collect();
    assert!(!too_many.is_empty() && too_many.iter().any(|message| message.contains("max_parts")), "{too_many:?}");
    assert!(reply.legs.len() - too_many.len() <= 4, "the film and three parts: {:?}", reply.legs);

    let processes = brain.children("--name first ");
    processes.into_iter().for_each(|process| signal(process, Signal::KILL));
    assert_eq!(asked().await.0, "second");
}

#[tokio::test]
async fn without_eyes_and_ears_the_fault_names_what_nobody_takes() {
    let (_brain, bus) = brain(&[FILMS]).await;
    let fault = ask(&bus, &question(media("film.mp4"))).await.unwrap_err();
    assert!(fault.message.contains("attachment 0") && fault.message.contains("image/jpeg"), "{fault}");
    let both = Ask { need: Some(Need::Word(NeedWord::All)), ..question(b"no film at all".to_vec()) };
    let fault = ask(&bus, &both).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");
}
