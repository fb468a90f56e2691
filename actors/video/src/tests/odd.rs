//! Films that lack something, and files that are no films.

use megabrain_schemas::FaultKind::{self, InvalidRequest, TooLarge};

use super::*;

fn refused(film: &[u8], kind: FaultKind, word: &str) {
    let fault = Bench::new().split(film).expect_err(word);
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.message.contains(word), "`{word}` is not in `{fault}`");
    assert!(!fault.message.contains("megabrain-video-"), "a path of ours is in `{fault}`");
}

fn note(reply: &SplitReply) -> &str {
    reply.note.as_deref().unwrap_or_default()
}

#[test]
fn a_film_without_sound_is_seen() {
    let (reply, came) = Bench::new().split(&remade("silent.mp4", &[], &["-an", "-c", "copy"])).unwrap();
    assert!(came.pictures.len() >= 5 && came.sounds.is_empty());
    assert_eq!((note(&reply), reply.audio_codec.as_ref()), ("the film has no sound", None));
    assert_eq!(reply.duration_ms, 24_000.0);
}

#[test]
fn sound_without_a_film_is_heard() {
    let (reply, came) = Bench::new().split(&remade("voice.mp4", &[], &["-vn", "-c", "copy"])).unwrap();
    assert_eq!((came.pictures.len(), came.sounds.len()), (0, 1));
    assert_eq!((note(&reply), reply.video_codec.as_ref(), reply.width), ("the film has no pictures", None, None));
    // A picture of the cover is no film.
    let cover = [
        "-f",
        "lavfi",
        "-i",
        "color=red:s=64x64:d=0.04",
        "-map",
        "0:a",
        "-map",
        "1:v",
        "-c:a",
        "copy",
        "-c:v",
        "mjpeg",
    ];
    let (reply, came) = Bench::new()
        .split(&remade("cover.mp4", &[], &[&cover[..], &["-disposition:v", "attached_pic"]].concat()))
        .unwrap();
    assert_eq!((came.pictures.len(), note(&reply)), (0, "the film has no pictures"));
}

#[test]
fn silent_sound_is_not_sent() {
    let quiet = remade("quiet.mp4", &[], &["-af", "volume=0", "-c:v", "copy"]);
    let (reply, came) = Bench::new().split(&quiet).unwrap();
    assert!(came.sounds.is_empty() && !came.pictures.is_empty());
    assert_eq!(note(&reply), "the sound is silent");
    assert_eq!(reply.audio_codec.as_deref(), Some("aac"));
}

#[test]
fn one_picture_is_a_film() {
    let (reply, came) = Bench::new().split(&remade("one.mp4", &[], &["-an", "-frames:v", "1"])).unwrap();
    assert_eq!(came.pictures.len(), 1);
    assert_eq!(came.pictures[0].0, 0.0);
    assert!(reply.duration_ms <= 1000.0, "{reply:?}");
}

#[test]
fn a_film_that_does_not_tell_its_length_is_measured() {
    // As a browser records it: into a pipe, so that the length is never written.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.webm");
    let source = media("film.mp4").display().to_string();
    let words = ["-v", "error", "-i", &source, "-c", "copy", "-f", "matroska", "-live", "1", "-"];
    let output = Command::new("ffmpeg").args(words).output().unwrap();
    std::fs::write(&path, &output.stdout).unwrap();
    let (reply, came) = Bench::new().split(&output.stdout).unwrap();
    super::truth::truth().check_pictures(&came.pictures, 64.0, 40.0);
    assert!((reply.duration_ms - 24_000.0).abs() < 100.0, "{reply:?}");
}

#[test]
fn what_is_no_film_is_refused() {
    refused(b"", InvalidRequest, "no bytes");
    refused(b"x", InvalidRequest, "not a film");
    refused(b"This is a text about films, and not a film.", InvalidRequest, "film");
    refused(&[0; 100_000], InvalidRequest, "not a film");
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    refused(&noise, InvalidRequest, "film");
    refused(&film()[..1000], InvalidRequest, "film");
    refused(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", InvalidRequest, "film");
}

#[test]
fn a_picture_is_no_film() {
    let png = made("still.png", &["-f", "lavfi", "-i", "testsrc=s=64x48:d=0.04", "-frames:v", "1"]);
    refused(&png, InvalidRequest, "film");
    let jpeg = made("still.jpg", &["-f", "lavfi", "-i", "testsrc=s=64x48:d=0.04", "-frames:v", "1"]);
    refused(&jpeg, InvalidRequest, "film");
}

#[test]
fn no_length_at_all_is_refused() {
    let mut header = remade("header.mkv", &[], &["-t", "1", "-c", "copy"]);
    let cluster = header.windows(4).position(|id| id == b"\x1f\x43\xb6\x75").unwrap();
    header.truncate(cluster);
    refused(&header, InvalidRequest, "film");
}

#[test]
fn a_monstrous_picture_is_refused_before_it_is_decoded() {
    // 20,000 pixels are 0x4e20.
    let mut gif =
        b"GIF89a\x20\x4e\x20\x4e\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x20\x4e\x20\x4e\0\x02\x02D\x01\0;".to_vec();
    refused(&gif, TooLarge, "20000×20000");
    gif[6..10].copy_from_slice(b"\x01\0\x01\0");
    // The picture in it is still larger than its screen: whatever comes of that, it is no harm.
    let _ = Bench::new().split(&gif);
    let mut film = tiny("film.avi", 1, &["-c:v", "mjpeg", "-an"]);
    let mut patch = |from: &[u8], to: &[u8]| {
        let places: Vec<usize> = (0..film.len() - from.len()).filter(|at| film[*at..].starts_with(from)).collect();
        places.iter().for_each(|at| film[*at..at + to.len()].copy_from_slice(to));
        places.len()
    };
    // In the headers of the file, then in those of its 25 pictures.
    assert!(patch(b"\xa0\0\0\0\x78\0\0\0", b"\x20\x4e\0\0\x20\x4e\0\0") >= 2);
    assert_eq!(patch(b"\xff\xc0\0\x11\x08\0\x78\0\xa0", b"\xff\xc0\0\x11\x08\x4e\x20\x4e\x20"), 25);
    let fault = Bench::new().split(&film).unwrap_err();
    assert!([TooLarge, InvalidRequest].contains(&fault.kind), "{fault}");
}

#[test]
fn a_kind_of_code_that_is_not_taken_is_named() {
    let film = remade("odd.mkv", &[], &["-t", "1", "-c:v", "ffv1", "-c:a", "copy"]);
    refused(&film, InvalidRequest, "ffv1, which is not taken");
}

#[test]
fn subtitles_and_covers_are_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words.srt");
    std::fs::write(&words, "1\n00:00:01,000 --> 00:00:02,000\nGood morning\n").unwrap();
    let (words, cover) = (words.display().to_string(), folder.path().join("cover.png").display().to_string());
    std::fs::write(&cover, made("cover.png", &["-f", "lavfi", "-i", "color=red:s=64x64:d=0.04", "-frames:v", "1"]))
        .unwrap();
    let inputs = ["-i", &words, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "copy", "-attach", &cover];
    for subtitles in ["srt", "ass"] {
        let rest = ["-c:s", subtitles, "-metadata:s:t", "mimetype=image/png"];
        let (reply, came) = Bench::new().split(&remade("much.mkv", &[], &[&inputs[..], &rest].concat())).unwrap();
        assert!(came.pictures.len() >= 5 && came.sounds.len() == 1, "{reply:?}");
        assert_eq!(reply.note, None);
    }
}
