//! Are pictures seen? By a model that is asked, in a question, from the command line; and is the bad one refused?

use std::path::Path;
use std::time::Duration;

use megabrain_bus::{Bus, Call, Target};
use megabrain_schemas::{Ask, FaultKind, LegStatus, Media, Modality, Name, SeeReply, SeeRequest, SeeTask};
use megabrain_tests::{Brain, EYES, media, name, programs};

const LOADING: Duration = Duration::from_secs(120);

async fn eyes() -> (Brain, Bus) {
    let mut brain = Brain::start(EYES).await;
    brain.ready(&["vision"], LOADING).await;
    let bus = brain.client().await;
    (brain, bus)
}

fn see(images: Vec<Media>) -> SeeRequest {
    SeeRequest { images, tasks: None, prompt: None, top_k: Some(2) }
}

fn texts(reply: &SeeReply, picture: usize) -> Vec<&str> {
    reply.results[picture].read.iter().flatten().map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn several_pictures_inline_and_by_reference_are_seen_in_their_order() {
    let (_brain, bus) = eyes().await;
    let blob = bus.blob_store().await.unwrap().put(&media("sign.png")).await.unwrap();
    let images = vec![
        Media::inline("image/jpeg", media("coffee.jpg")),
        Media::by_reference(None, blob),
        // Its name does not matter: the bytes tell.
        Media::inline("image/gif", media("cat.jpg")),
    ];
    let reply = bus.call(&Target::Router, &see(images), Call::within(LOADING)).await.unwrap();
    assert_eq!(reply.results.len(), 3);
    let first = |picture: usize| reply.results[picture].classify.as_ref().unwrap()[0].label.as_str();
    assert_eq!(first(0), "espresso");
    assert!(["Egyptian Mau", "tabby cat", "a cat having a striped coat"].contains(&first(2)), "{}", first(2));
    assert!(reply.results.iter().all(|seen| seen.classify.as_ref().unwrap().len() == 2));
    assert_eq!(texts(&reply, 1)[0], "BERTH42");
    assert!(reply.results.iter().all(|seen| seen.describe.is_none()), "nobody asked for a description");
}

#[tokio::test]
async fn bad_pictures_are_refused_one_by_one_and_the_eyes_live_on() {
    let (brain, bus) = eyes().await;
    let pid = brain.children("megabrain-vision");
    let cat = media("cat.jpg");
    let mut huge = media("sign.png");
    // 20,000 by 20,000, as the header says; its checksum does not fit, which some decoders do not mind.
    huge[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let cases: Vec<(&str, Vec<u8>, &[FaultKind])> = vec![
        ("cut off", cat[..cat.len() / 2].to_vec(), &[FaultKind::InvalidRequest]),
        ("a sound", media("question.wav"), &[FaultKind::InvalidRequest]),
        (
            "noise",
            (0..5000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
            &[FaultKind::InvalidRequest],
        ),
        ("one byte", vec![0x89], &[FaultKind::InvalidRequest]),
        ("huge", huge, &[FaultKind::TooLarge, FaultKind::InvalidRequest]),
    ];
    for (what, bytes, kinds) in cases {
        let images = vec![Media::inline("image/png", bytes)];
        let fault = bus.call(&Target::Router, &see(images), Call::within(LOADING)).await.unwrap_err();
        assert!(kinds.contains(&fault.kind), "{what}: {fault}");
        assert!(fault.message.contains("images[0]"), "{what}: {fault}");
    }
    let empty = bus.call(&Target::Router, &see(vec![]), Call::within(LOADING)).await.unwrap_err();
    assert_eq!(empty.kind, FaultKind::InvalidRequest, "{empty}");
    let reply = bus.call(&Target::Router, &see(vec![Media::inline("image/jpeg", cat)]), Call::within(LOADING)).await;
    assert_eq!(reply.unwrap().results.len(), 1);
    assert_eq!(brain.children("megabrain-vision"), pid, "the process is the same");
}

#[tokio::test]
async fn what_a_picture_shows_is_evidence_in_a_question() {
    let models = format!("{EYES}[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\n");
    let mut brain = Brain::start(&models).await;
    brain.ready(&["vision", "fast"], LOADING).await;
    let bus = brain.client().await;
    let ask = Ask {
        text: Some("What is in the pictures?".into()),
        attachments: vec![
            Media::inline("image/jpeg", media("menu.jpg")),
            Media::inline("image/png", media("note-upside-down.png")),
        ],
        max_tokens: Some(16),
        temperature: Some(0.0),
        ..Ask::default()
    };
    let reply = bus.call(&Target::Router, &ask, Call::within(LOADING)).await.unwrap();
    assert!(reply.evidence.iter().all(|item| item.modality == Modality::Image && item.model == name("vision")));
    let found = |attachment: usize, text: &str| {
        reply
            .evidence
            .iter()
            .any(|item| item.attachment == attachment && item.text == text && item.confidence.is_some())
    };
    assert!(found(0, "looks like: espresso") && found(0, "text: open daily"), "{:?}", reply.evidence);
    assert!(found(1, "text: Turn the page"), "{:?}", reply.evidence);
    assert!(reply.legs.iter().all(|leg| leg.status == Some(LegStatus::Ok)), "{:?}", reply.legs);
    assert!(!reply.answers[0].text.is_empty());

    // One that cannot be seen is told in its place; the other still is evidence.
    let broken = Media::inline("image/png", b"no picture".to_vec());
    let ask = Ask { attachments: vec![broken, ask.attachments[0].clone()], models: Some(Vec::<Name>::new()), ..ask };
    let reply = bus.call(&Target::Router, &ask, Call::within(LOADING)).await.unwrap();
    assert_eq!(reply.legs[0].status, Some(LegStatus::Failed));
    assert_eq!(reply.legs[0].error.as_ref().unwrap().kind, FaultKind::InvalidRequest);
    assert!(reply.evidence.iter().all(|item| item.attachment == 1) && !reply.evidence.is_empty());
}

#[tokio::test]
async fn the_command_line_shows_what_is_seen() {
    let (brain, _bus) = eyes().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("media");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(programs().join("megabrain"))
            .args(arguments)
            .current_dir(&folder)
            .env("XDG_RUNTIME_DIR", brain.folder())
            .env_remove("NATS_URL")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = run(&["see", "menu.jpg", "--task", "describe", "--task", "read"]);
    for part in ["menu.jpg  600 × 400", "espresso", "open daily", "298,357"] {
        assert!(shown.contains(part), "`{part}` is not in `{shown}`");
    }
    let json = run(&["see", "sign.png", "cat.jpg", "--task", "classify", "--top", "1", "--json"]);
    let reply: SeeReply = serde_json::from_str(&json).unwrap();
    assert_eq!(reply.results.iter().map(|seen| seen.classify.as_ref().unwrap().len()).sum::<usize>(), 2);
}

#[tokio::test]
async fn a_task_without_weights_is_refused_and_the_rest_works() {
    let models = "[models.vision]\nactor = \"vision\"\nweights = { classify = \"efficientnet-lite0\" }\n";
    let mut brain = Brain::start(models).await;
    brain.ready(&["vision"], LOADING).await;
    let bus = brain.client().await;
    let picture = vec![Media::inline("image/jpeg", media("cat.jpg"))];
    let request = SeeRequest { tasks: Some(vec![SeeTask::Read]), ..see(picture.clone()) };
    let fault = bus.call(&Target::Router, &request, Call::within(LOADING)).await.unwrap_err();
    assert!(fault.kind == FaultKind::InvalidRequest && fault.message.contains("cannot read"), "{fault}");
    let reply = bus.call(&Target::Router, &see(picture), Call::within(LOADING)).await.unwrap();
    assert!(reply.results[0].classify.is_some() && reply.results[0].read.is_none());
}
