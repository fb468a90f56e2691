//! Every picture and every word has the time that it has in the film, however the film is written.

use super::truth::truth;
use super::*;

/// Samples and pictures are counted in milliseconds on the way: nothing is nearer than that.
const ROUNDING_MS: f64 = 1.5;
/// What AAC begins with at 16 kHz: 1024 samples.
const PRIMING_MS: f64 = 64.0;

fn check(film: &[u8], pictures_later_ms: f64, sound_later_ms: f64) -> (SplitReply, Came) {
    let truth = truth();
    let (reply, came) = Bench::new().split(film).unwrap();
    truth.check_pictures(&came.pictures, pictures_later_ms, truth.frame_ms());
    truth.check_sound(&came.sounds, sound_later_ms, 40.0);
    assert_eq!(reply.frames as usize, came.pictures.len());
    assert_eq!(reply.note, None);
    (reply, came)
}

#[test]
fn the_film_agrees_with_its_truth() {
    let (reply, came) = check(&film(), 0.0, 0.0);
    let truth = truth();
    println!("pictures at {:?}", came.pictures.iter().map(|(time, _)| *time).collect::<Vec<_>>());
    assert_eq!((reply.width, reply.height), (Some(truth.width), Some(truth.height)));
    assert_eq!(reply.duration_ms, truth.duration_ms);
    assert_eq!(reply.container.as_deref(), Some("mov"));
    assert_eq!((reply.video_codec.as_deref(), reply.audio_codec.as_deref()), (Some("h264"), Some("aac")));
    // A new scene is seen at its first picture, to the millisecond.
    for scene in &truth.shown {
        assert!(came.pictures.iter().any(|(time, _)| (time - scene.t0_ms).abs() < ROUNDING_MS), "{}", scene.what);
    }
    assert_eq!((came.sounds.len(), came.sounds[0].0), (1, 0.0));
    assert!(came.pictures.len() <= 20);
}

#[test]
fn the_same_times_come_of_every_container() {
    let mpeg4 = ["-c:v", "mpeg4", "-q:v", "4", "-c:a", "pcm_s16le"];
    check(&remade("film.mkv", &[], &["-c:v", "copy", "-c:a", "flac"]), 0.0, 0.0);
    check(&remade("film.mov", &[], &["-c:v", "copy", "-c:a", "pcm_s16le"]), 0.0, 0.0);
    check(&remade("film.avi", &[], &mpeg4), 0.0, 0.0);
    // These do not leave out what AAC begins with: 1024 samples of silence. That is then what is heard first.
    for name in ["film.ts", "film.flv"] {
        println!("{name}");
        check(&remade(name, &[], &["-c", "copy"]), PRIMING_MS, PRIMING_MS);
    }
}

#[test]
fn a_clock_that_does_not_begin_at_zero_is_set_to_zero() {
    let late = ["-output_ts_offset", "5000.3"];
    check(&remade("film.mkv", &[], &[&["-c:v", "copy", "-c:a", "flac"], &late[..]].concat()), 0.0, 0.0);
    check(&remade("film.ts", &[], &[&["-c", "copy"], &late[..]].concat()), PRIMING_MS, PRIMING_MS);
    check(&remade("film.mp4", &[], &[&["-c", "copy"], &late[..]].concat()), PRIMING_MS, PRIMING_MS);
}

/// The film, whose pictures or sound begin so many seconds later than the other.
fn shifted(name: &str, video: &str, audio: &str, seconds: &str) -> Vec<u8> {
    let source = media("film.mp4").display().to_string();
    let inputs = ["-i", &source, "-itsoffset", seconds, "-i", &source, "-map", video, "-map", audio];
    let codec = if name.ends_with("mkv") { "flac" } else { "aac" };
    made(name, &[&inputs[..], &["-c:v", "copy", "-c:a", codec]].concat())
}

#[test]
fn sound_that_begins_later_is_later() {
    let (_, came) = check(&shifted("late.mkv", "0:v", "1:a", "2.5"), 0.0, 2500.0);
    assert!((came.sounds[0].0 - 2500.0).abs() < ROUNDING_MS, "{}", came.sounds[0].0);
}

#[test]
fn pictures_that_begin_later_are_later() {
    let (_, came) = check(&shifted("late.mkv", "1:v", "0:a", "1.5"), 1500.0, 0.0);
    assert!((came.pictures[0].0 - 1500.0).abs() < ROUNDING_MS, "{}", came.pictures[0].0);
    check(&shifted("late.ts", "1:v", "0:a", "1.5"), 1500.0 + PRIMING_MS, PRIMING_MS);
}

#[test]
fn a_frame_rate_that_varies_is_kept() {
    // Every seventh picture only, but all in the third scene.
    let uneven = "select='not(mod(n,7))+between(n,240,360)'";
    let film = remade("uneven.mkv", &[], &["-vf", uneven, "-fps_mode", "vfr", "-preset", "ultrafast", "-c:a", "copy"]);
    let truth = truth();
    let (reply, came) = Bench::new().split(&film).unwrap();
    println!("pictures at {:?}", came.pictures.iter().map(|(time, _)| *time).collect::<Vec<_>>());
    // The sound is AAC still, in a container that does not leave out what it begins with.
    truth.check_pictures(&came.pictures, PRIMING_MS, 7.0 * truth.frame_ms());
    truth.check_sound(&came.sounds, PRIMING_MS, 40.0);
    assert!((reply.duration_ms - truth.duration_ms).abs() < 300.0, "{reply:?}");
    // Each time is one that the film has.
    for (time, _) in &came.pictures {
        let frame = (time - PRIMING_MS) / truth.frame_ms();
        assert!((frame - frame.round()).abs() * truth.frame_ms() < ROUNDING_MS, "{time} ms is no frame");
        let n = frame.round() as u32;
        assert!(n.is_multiple_of(7) || (240..=360).contains(&n), "{time} ms is not in this film");
    }
}

#[test]
fn the_pace_and_the_budget_are_kept() {
    let bench = Bench::new();
    let (_, came) = bench.split_as(&film(), &request(Some(30), Some(1.0))).unwrap();
    let times: Vec<f64> = came.pictures.iter().map(|(time, _)| *time).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] < 1041.0), "{times:?}");
    assert!((24..=30).contains(&times.len()), "{times:?}");
    let (reply, came) = bench.split_as(&film(), &request(Some(3), Some(1.0))).unwrap();
    assert_eq!(came.pictures.len(), 3);
    assert!(came.pictures[2].0 > 15_000.0, "spread over the film");
    assert!(reply.note.unwrap().contains("one every 8.0 s"));
    let (_, came) = bench.split_as(&film(), &request(Some(1), None)).unwrap();
    assert_eq!(came.pictures.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [0.0]);
}

#[test]
fn long_sound_comes_in_pieces_that_join() {
    let bench = Bench::with(Config { piece: std::time::Duration::from_secs(6), ..Config::default() });
    let (_, came) = bench.split(&film()).unwrap();
    truth().check_sound(&came.sounds, 0.0, 40.0);
    assert!(came.sounds.len() >= 3, "{}", came.sounds.len());
    for said in truth().said {
        let is_whole = |(t0, length, _): &&(f64, f64, Vec<i16>)| *t0 < said.t0_ms && t0 + length > said.t1_ms;
        assert_eq!(came.sounds.iter().filter(is_whole).count(), 1, "a sentence was cut in two");
    }
}

#[test]
fn what_is_turned_or_stretched_is_shown_as_it_is_seen() {
    let turned = remade("turned.mov", &[], &["-t", "2", "-c", "copy", "-metadata:s:v:0", "rotate=90"]);
    let (reply, came) = Bench::new().split(&turned).unwrap();
    assert_eq!((reply.width, reply.height), (Some(480), Some(640)));
    assert_eq!(size(&came.pictures[0].1), (480, 640));
    let wide = remade("wide.mkv", &[], &["-t", "1", "-vf", "setsar=2", "-preset", "ultrafast"]);
    let (reply, came) = Bench::new().split(&wide).unwrap();
    assert_eq!((reply.width, reply.height), (Some(1280), Some(480)));
    assert_eq!(size(&came.pictures[0].1), (1280, 480));
}

/// Width and height by the JPEG's frame header.
fn size(jpeg: &[u8]) -> (u16, u16) {
    let header = jpeg.windows(2).position(|pair| pair == b"\xff\xc0").unwrap();
    let number = |at: usize| u16::from_be_bytes([jpeg[header + at], jpeg[header + at + 1]]);
    (number(7), number(5))
}

#[test]
fn as_many_pictures_as_are_asked_for_are_spread_over_a_film_in_which_nothing_happens() {
    let film = tiny("calm.mp4", 30, &["-c:v", "libx264"]);
    let (_, came) = Bench::new().split_as(&film, &request(Some(6), None)).unwrap();
    let times: Vec<f64> = came.pictures.iter().map(|(time, _)| *time).collect();
    assert!(times.len() == 6 && times[5] > 24_000.0, "{times:?}");
}

#[test]
fn each_scene_has_its_picture_where_there_are_just_enough() {
    let card = |colour: &str| format!("color={colour}:s=160x120:r=25:d=5");
    let cards = format!("{}[a];{}[b];{}[c];[a][b][c]concat=n=3", card("red"), card("white"), card("blue"));
    let film = made("cards.mp4", &["-f", "lavfi", "-i", &cards, "-pix_fmt", "yuv420p", "-c:v", "libx264"]);
    let (_, came) = Bench::new().split_as(&film, &request(Some(3), None)).unwrap();
    let times: Vec<f64> = came.pictures.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [0.0, 5000.0, 10_000.0]);
}
