//! Does a film come apart over the bus, and is nothing left of it, whatever dies?

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_runtime::conformance::Kit;
use megabrain_schemas::{BlobRef, Capability, FaultKind, Media, SplitReply, SplitRequest, VideoFrame, VideoSound};
use megabrain_tests::{Brain, children_of, is_running, long_film, media, name, presence, signal};
use rustix::process::Signal;

const VIDEO: &str = "[models.video]\nactor = \"video\"\n";
const ROOM: &str = "64 MiB";
const LIMIT: Duration = Duration::from_secs(60);

async fn brain(environment: &[(&str, &str)]) -> (Brain, Bus) {
    let mut brain = Brain::start_with_room(VIDEO, environment, ROOM).await;
    brain.ready(&["video"], LIMIT).await;
    let bus = brain.client().await;
    (brain, bus)
}

fn request(film: Vec<u8>) -> SplitRequest {
    SplitRequest { video: Media::inline("video/mp4", film), frames: None, fps: None, stream: None }
}

fn target() -> Target {
    Target::Model(name("video"))
}

/// The stream's frames, when each came, and its end.
async fn stream(
    bus: &Bus,
    request: &SplitRequest,
) -> (Vec<(VideoFrame, Instant)>, Vec<(VideoSound, Instant)>, SplitReply) {
    let mut stream = bus.stream(&target(), request, Call::within(LIMIT)).await.unwrap();
    let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
    loop {
        match stream.next::<SplitRequest>().await.expect("an end").unwrap() {
            Frame::Part(_, part) => {
                assert!(part.frame.is_some() != part.sound.is_some(), "exactly one of the two: {part:?}");
                pictures.extend(part.frame.map(|picture| (picture, Instant::now())));
                sounds.extend(part.sound.map(|sound| (sound, Instant::now())));
            }
            Frame::End(_, reply) => return (pictures, sounds, reply),
        }
    }
}

#[tokio::test]
async fn a_film_comes_as_pictures_and_sound_on_one_clock() {
    let (_brain, bus) = brain(&[]).await;
    let (pictures, sounds, reply) = stream(&bus, &request(media("film.mp4"))).await;
    assert_eq!(reply.frames as usize, pictures.len());
    assert_eq!((reply.duration_ms, reply.note), (24_000.0, None));
    assert!(reply.pictures.is_empty() && reply.sounds.is_empty(), "a stream's end does not say it all again");
    let times: Vec<f64> = pictures.iter().map(|(picture, _)| picture.t_ms).collect();
    for cut in [0.0, 4600.0, 9600.0, 14_400.0, 18_800.0] {
        assert!(times.iter().any(|time| (time - cut).abs() <= 40.0), "{cut}: {times:?}");
    }
    let blobs = bus.blob_store().await.unwrap();
    for (picture, _) in &pictures {
        assert!(blobs.get(&picture.blob, 1 << 20).await.unwrap().starts_with(b"\xff\xd8\xff"));
    }
    let sound = &sounds[0].0;
    assert_eq!((sounds.len(), sound.t0_ms), (1, 0.0));
    assert!(blobs.get(&sound.blob, 1 << 21).await.unwrap().starts_with(b"RIFF"));

    // The same without a stream, and by reference: one answer that lists the same.
    let blob = blobs.put(&media("film.mp4")).await.unwrap();
    let whole = SplitRequest { video: Media::by_reference(None, blob), stream: Some(false), ..request(vec![]) };
    let listed = bus.call(&target(), &whole, Call::within(LIMIT)).await.unwrap();
    assert_eq!(listed.pictures, pictures.into_iter().map(|(picture, _)| picture).collect::<Vec<_>>());
    assert_eq!(listed.sounds, sounds.into_iter().map(|(sound, _)| sound).collect::<Vec<_>>());
    assert_eq!(listed.frames as usize, listed.pictures.len());

    let gone = SplitRequest { video: Media::by_reference(None, BlobRef::of(b"never stored")), ..request(vec![]) };
    let fault = bus.call(&target(), &gone, Call::within(LIMIT)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound, "{fault}");
    let fault =
        bus.call(&target(), &request(b"#EXTM3U\n/etc/passwd\n".to_vec()), Call::within(LIMIT)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");
}

#[tokio::test]
async fn the_first_pictures_are_there_before_the_film_is_read_and_a_short_film_does_not_wait_for_a_long_one() {
    let (_brain, bus) = brain(&[]).await;
    let began = Instant::now();
    let long = {
        let (bus, request) = (bus.clone(), request(long_film(12)));
        tokio::spawn(async move { stream(&bus, &request).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    let short = request(media("film.mp4"));
    stream(&bus, &short).await;
    assert!(!long.is_finished(), "give a longer film");
    let (pictures, sounds, _) = long.await.unwrap();
    let whole = began.elapsed();
    let (seen, heard) = (pictures[0].1 - began, sounds[0].1 - began);
    println!("first picture after {seen:?}, first sound after {heard:?}, all after {whole:?}");
    assert!(seen < whole / 2 && heard < whole / 2);
}

#[tokio::test]
async fn the_video_actor_keeps_its_promises() {
    let (brain, bus) = brain(&[]).await;
    // Without a stream: its first frame would be taken for the answer.
    let json = |film: Vec<u8>, frames: u32| {
        let data = base64::engine::general_purpose::STANDARD.encode(film);
        format!(r#"{{"video":{{"mime":"video/mp4","data":"{data}"}},"frames":{frames},"fps":10,"stream":false}}"#)
    };
    let kit = Kit {
        bus,
        model: name("video"),
        capability: Capability::new("split").unwrap(),
        short: json(media("film.mp4"), 1),
        long: json(long_film(12), 200),
        patience: Duration::from_secs(30),
    };
    if let Err(broken) = kit.check().await {
        panic!("{broken}\n{}", brain.log());
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_film_whose_actor_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut brain, bus) = brain(&[("TMPDIR", &folder.path().display().to_string())]).await;
    let film = long_film(12);
    let open = {
        let (bus, film) = (bus.clone(), film.clone());
        tokio::spawn(async move { bus.call(&target(), &request_whole(film), Call::within(LIMIT)).await })
    };
    let actor = brain.children("megabrain-video")[0];
    brain.until(LIMIT, "two children that decode", |_| children_of(actor).len() == 2).await;
    assert_eq!(films(folder.path()), 1);
    let children = children_of(actor);
    signal(actor, Signal::KILL);
    let fault = open.await.unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::WorkerLost, "{fault}");
    brain
        .until(Duration::from_secs(1), "an end of the children", |_| !children.iter().any(|child| is_running(*child)))
        .await;
    // The next actor sweeps.
    brain
        .until(LIMIT, "another actor", |brain| brain.children("megabrain-video").iter().any(|other| *other != actor))
        .await;
    brain.ready(&["video"], LIMIT).await;
    assert_eq!(films(folder.path()), 0, "the film was left behind");

    // Killed children are a clear fault, and the actor lives.
    let actor = brain.children("megabrain-video")[0];
    let open = {
        let (bus, film) = (bus.clone(), film.clone());
        tokio::spawn(async move { bus.call(&target(), &request_whole(film), Call::within(LIMIT)).await })
    };
    brain.until(LIMIT, "two children that decode", |_| children_of(actor).len() == 2).await;
    for child in children_of(actor) {
        signal(child, Signal::KILL);
    }
    let fault = open.await.unwrap().unwrap_err();
    assert!(fault.kind == FaultKind::Engine && fault.message.contains("signal 9"), "{fault}");
    bus.call(&target(), &request_whole(media("film.mp4")), Call::within(LIMIT)).await.unwrap();
    assert_eq!(brain.children("megabrain-video"), [actor]);
    assert_eq!(films(folder.path()), 0);
}

#[tokio::test]
async fn memory_is_back_to_before_after_many_films() {
    let (_brain, bus) = brain(&[]).await;
    let film = media("film.mp4");
    let resident = async || presence(&bus, "video").await.unwrap().memory_bytes;
    for _ in 0..4 {
        bus.call(&target(), &request_whole(film.clone()), Call::within(LIMIT)).await.unwrap();
    }
    let before = resident().await;
    for round in 0..20 {
        let cut = film[..film.len() - round * 10_000].to_vec();
        bus.call(&target(), &request_whole(cut), Call::within(LIMIT)).await.unwrap();
    }
    let after = resident().await;
    println!("resident before {before}, after {after}");
    assert!(after < before + (8 << 20), "before {before}, after {after}");
}

fn request_whole(film: Vec<u8>) -> SplitRequest {
    SplitRequest { stream: Some(false), ..request(film) }
}

fn films(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with("megabrain-video-")).count()
}
