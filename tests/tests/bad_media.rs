//! Does a brain survive three hundred files that are not what they seem, and leave nothing behind?

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use megabrain_bus::{Bus, Call, Target};
use megabrain_schemas::{Ask, FaultKind, Media};
use megabrain_tests::{Brain, EARS, EYES, media, presence};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
const FILMS: &str = "[models.video]\nactor = \"video\"\n";
const MODELS: [&str; 3] = ["video", "vision", "whisper"];
/// Of each kind of damage, to each of the files below.
const ROUNDS: usize = 5;
/// As many questions as a person with a folder full of files would have under way.
const AT_ONCE: usize = 4;
/// What a process may have grown by: buffers that it keeps to use again.
const GROWTH: u64 = 64 << 20;

/// Sound, pictures and film in containers of all kinds.
const GOOD: [(&str, &str); 12] = [
    ("question.wav", "audio/wav"),
    ("question.mp3", "audio/mpeg"),
    ("question.m4a", "audio/mp4"),
    ("question.flac", "audio/flac"),
    ("question-opus.ogg", "audio/ogg"),
    ("question-vorbis.ogg", "audio/ogg"),
    ("question-opus.webm", "audio/webm"),
    ("cat.jpg", "image/jpeg"),
    ("sign.png", "image/png"),
    ("label.png", "image/png"),
    ("film.mp4", "video/mp4"),
    ("film.mp4", "video/quicktime"),
];

/// A file that somebody sends, and what it is.
struct Case {
    what: String,
    mime: &'static str,
    bytes: Vec<u8>,
}

#[tokio::test]
async fn three_hundred_bad_files_are_answered_one_by_one_and_nothing_is_left() {
    let scratch = TempDir::new().unwrap();
    let here = scratch.path().display().to_string();
    let models = [FILMS, EYES, EARS].concat();
    let mut brain = Brain::start_with_room(&models, &[("TMPDIR", &here)], "256 MiB").await;
    brain.ready(&MODELS, LIMIT).await;
    let bus = brain.client().await;
    // What a process needs for its first work of each kind, and for as much at once, is no leak.
    good_files_are_told(&bus).await;
    let processes: Vec<u32> = MODELS.iter().flat_map(|model| of_model(&brain, model)).collect();
    let measured: Vec<(&str, u32)> =
        MODELS.into_iter().zip(processes.iter().copied()).chain([("node", brain.node())]).collect();
    let before: Vec<u64> = measured.iter().map(|(_, pid)| resident(*pid)).collect();

    let cases = cases();
    assert!(cases.len() >= 300, "{}", cases.len());
    let outcomes: Vec<_> = stream::iter(cases)
        .map(|case| {
            let bus = &bus;
            async move { (ask(bus, case.mime, case.bytes).await, case.what) }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let refused = outcomes.iter().filter(|(outcome, _)| outcome.is_err()).count();
    println!("{} files: {refused} refused, {} told as far as they go", outcomes.len(), outcomes.len() - refused);
    assert!(refused > 50 && refused < outcomes.len(), "{refused} refused");
    for (outcome, what) in outcomes {
        let fault = match outcome {
            Ok(told) => {
                assert!(!told.is_empty(), "{what}: nothing is told and nobody says so");
                continue;
            }
            Err(fault) => fault,
        };
        let kinds = [FaultKind::InvalidRequest, FaultKind::TooLarge];
        assert!(kinds.contains(&fault.kind), "{what}: {fault}");
        // Of what the router sees by itself, or of what a model found.
        let names_it = ["attachments[0]: ", "attachment 0: "].iter().any(|name| fault.message.contains(name));
        assert!(names_it, "{what}: {fault}");
    }

    // Nothing died, nothing is left, and the brain works on.
    assert_eq!(MODELS.iter().flat_map(|model| of_model(&brain, model)).collect::<Vec<_>>(), processes);
    for model in MODELS {
        let presence = presence(&bus, model).await.expect("presence");
        assert_eq!((presence.restarts, presence.in_flight, presence.queued), (0, 0, 0), "{model}");
    }
    let left: Vec<_> = files(scratch.path());
    // A `.ses` would be the session of ONNX Runtime's telemetry, which is off.
    assert!(left.is_empty(), "{left:?}");
    good_files_are_told(&bus).await;
    for ((model, pid), before) in measured.into_iter().zip(before) {
        let after = resident(pid);
        println!("{model}: from {before} to {after} bytes");
        assert!(after <= before + GROWTH, "{model}: from {before} to {after} bytes");
    }
}

async fn good_files_are_told(bus: &Bus) {
    let told = stream::iter(GOOD)
        .map(|(file, mime)| async move { (file, ask(bus, mime, media(file)).await) })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for (file, outcome) in told {
        assert!(outcome.is_ok(), "{file}: {}", outcome.unwrap_err());
    }
}

async fn ask(bus: &Bus, mime: &str, bytes: Vec<u8>) -> Result<String, megabrain_schemas::Fault> {
    let attachments = vec![Media::inline(mime, bytes)];
    // Nobody answers: what is found is the answer.
    let ask = Ask { attachments, models: Some(Vec::new()), ..Ask::default() };
    bus.call(&Target::Router, &ask, Call::within(LIMIT)).await.map(|reply| reply.text)
}

/// The processes of a model, of whatever name its program has.
fn of_model(brain: &Brain, model: &str) -> Vec<u32> {
    let program = if model == "whisper" { "megabrain-speech" } else { &format!("megabrain-{model}") };
    let found = brain.children(program);
    assert_eq!(found.len(), 1, "{program}: {found:?}");
    found
}

/// Memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// What lies in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

fn cases() -> Vec<Case> {
    // Always the same files: what fails once fails again.
    let mut random = StdRng::seed_from_u64(0x6d65_6761);
    let mut cases = Vec::new();
    for round in 0..ROUNDS {
        for (number, (file, mime)) in GOOD.into_iter().enumerate() {
            let bytes = media(file);
            let mut add = |what: &str, mime, bytes| {
                cases.push(Case { what: format!("{file} as {mime}, {what}, round {round}"), mime, bytes });
            };
            add("cut off", mime, bytes[..random.random_range(1..bytes.len())].to_vec());
            add("without its beginning", mime, bytes[random.random_range(1..bytes.len())..].to_vec());
            add("some bytes changed", mime, flipped(&bytes, 1 + bytes.len() / 2000, &mut random));
            add("its head changed", mime, [&flipped(&bytes[..64], 8, &mut random), &bytes[64..]].concat());
            let (_, other) = GOOD[(number + 1 + random.random_range(0..GOOD.len() - 1)) % GOOD.len()];
            add("of another type", other, bytes);
        }
    }
    for (_, mime) in GOOD {
        cases.push(Case { what: format!("empty {mime}"), mime, bytes: Vec::new() });
    }
    cases.extend(headers());
    cases.extend(films());
    cases
}

fn flipped(bytes: &[u8], times: usize, random: &mut StdRng) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..times {
        let at = random.random_range(0..changed.len());
        changed[at] ^= 1 << random.random_range(0..8);
    }
    changed
}

/// Files whose head says what cannot be.
fn headers() -> Vec<Case> {
    let wav = |rate: u32, channels: u16, bytes: u32| {
        let mut head = b"RIFF\x24\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0".to_vec();
        head.extend(channels.to_le_bytes());
        head.extend(rate.to_le_bytes());
        head.extend((rate.wrapping_mul(2)).to_le_bytes());
        head.extend(b"\x02\0\x10\0data");
        head.extend(bytes.to_le_bytes());
        head.extend([0_u8; 3200]);
        head
    };
    let mut huge = media("sign.png");
    huge[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let checksum = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&checksum.to_be_bytes());
    let gif = |width: u16, height: u16| {
        [b"GIF89a".as_slice(), &width.to_le_bytes(), &height.to_le_bytes(), b"\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0"]
            .concat()
    };
    let head = |what: &str, mime, bytes| Case { what: what.to_owned(), mime, bytes };
    vec![
        head("a sound of 0 Hz", "audio/wav", wav(0, 1, 3200)),
        head("a sound without channels", "audio/wav", wav(16_000, 0, 3200)),
        head("a sound of 4 GHz", "audio/wav", wav(u32::MAX, 1, 3200)),
        head("a sound that says it is longer than it is", "audio/wav", wav(16_000, 1, u32::MAX)),
        head("a picture of 20,000 by 20,000", "image/png", huge),
        head("a bomb of a picture", "image/gif", gif(65_535, 65_535)),
        head("a picture of nothing", "image/gif", gif(0, 0)),
        head(
            "a picture of one pixel",
            "image/gif",
            [&gif(1, 1), b"\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b".as_slice()].concat(),
        ),
    ]
}

/// The checksum of a PNG's chunk: CRC-32 of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    let of_byte = |rest: u32, byte: &u8| {
        (0..8).fold(rest ^ u32::from(*byte), |rest, _| (rest >> 1) ^ (0xedb8_8320 & (rest & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, of_byte)
}

/// Films that ffmpeg makes of the good one: some are fine, all must be answered.
fn films() -> Vec<Case> {
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("media/film.mp4");
    let folder = TempDir::new().unwrap();
    let made: [(&str, &str, &[&str]); 5] = [
        ("without sound", "mp4", &["-an", "-c", "copy"]),
        ("without pictures", "mp4", &["-vn", "-c", "copy"]),
        (
            "of a changing frame rate",
            "mp4",
            &["-vf", "select='mod(n,7)+not(mod(n,3))'", "-fps_mode", "vfr", "-an", "-t", "8"],
        ),
        ("of four pixels", "mkv", &["-vf", "scale=2:2", "-t", "4"]),
        ("of one picture", "mp4", &["-frames:v", "1", "-an"]),
    ];
    let make = |(what, container, arguments): (&str, &str, &[&str])| {
        let path = folder.path().join(format!("film.{container}"));
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-i"])
            .arg(&film)
            .args(arguments)
            .arg(&path)
            .status()
            .expect("ffmpeg: `make setup` installs it");
        assert!(status.success(), "{what}: {status}");
        Case { what: format!("a film {what}"), mime: "video/mp4", bytes: fs::read(&path).unwrap() }
    };
    made.into_iter().map(make).collect()
}
