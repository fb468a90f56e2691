//! Whatever the bytes, there is a clear fault or an honest part of the film: nothing dies, nothing is left behind.

use std::time::{Duration, Instant};

use megabrain_schemas::FaultKind;

use super::*;

/// Damaged copies of each film: cut off, bits flipped, bytes overwritten, parts moved.
const ROUNDS: usize = 100;

/// xorshift64*: the same damage on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }
}

fn damage(film: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = film.to_vec();
    // Headers are short and matter most.
    let place =
        |dice: &mut Dice| if dice.roll(2) == 0 { dice.roll(film.len().min(2000)) } else { dice.roll(film.len()) };
    match dice.roll(5) {
        0 => bytes.truncate(place(dice)),
        1 => (0..=dice.roll(40)).for_each(|_| bytes[place(dice)] ^= 1 << dice.roll(8)),
        2 => (0..=dice.roll(20)).for_each(|_| bytes[place(dice)] = [0, 0xff, 0x7f, 0x80][dice.roll(4)]),
        3 => {
            let (start, length) = (place(dice), dice.roll(64));
            let end = (start + length).min(bytes.len());
            bytes[start..end].fill(0xff);
        }
        _ => {
            let (from, to, length) = (place(dice), place(dice), dice.roll(512));
            let part = bytes[from..(from + length).min(bytes.len())].to_vec();
            bytes.splice(to..to, part);
        }
    }
    bytes
}

fn survive(name: &str, codecs: &[&str]) {
    let bench = Bench::new();
    let film = tiny(name, 2, codecs);
    bench.split(&film).unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut whole, mut partial, mut refused, mut slowest) = (0, 0, 0, Duration::ZERO);
    let (before, files) = (resident_kib(), open_files());
    for round in 0..ROUNDS {
        let bytes = damage(&film, &mut dice);
        let began = Instant::now();
        match bench.split(&bytes) {
            Ok((SplitReply { note: Some(_), .. }, _)) => partial += 1,
            Ok(_) => whole += 1,
            Err(fault) => {
                let kinds = [FaultKind::InvalidRequest, FaultKind::TooLarge];
                assert!(kinds.contains(&fault.kind), "{name}, round {round}: {fault}");
                refused += 1;
            }
        }
        slowest = slowest.max(began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(20), "{name}, round {round}: {:?}", began.elapsed());
    }
    let grown = resident_kib().saturating_sub(before);
    println!("{name}: {whole} whole, {partial} in part, {refused} refused; slowest {slowest:?}; grown {grown} KiB");
    assert!(grown < 32 * 1024, "{name}: grown by {grown} KiB");
    assert_eq!(open_files(), files, "a pipe or a file is still open");
}

fn resident_kib() -> u64 {
    megabrain_runtime::resident_bytes() / 1024
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn damaged_mp4_is_survived() {
    survive("film.mp4", &["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-movflags", "+faststart"]);
}

#[test]
fn damaged_webm_is_survived() {
    survive("film.webm", &["-c:v", "libvpx", "-deadline", "realtime", "-b:v", "200k", "-c:a", "libopus"]);
}

#[test]
fn damaged_ts_is_survived() {
    survive("film.ts", &["-c:v", "mpeg2video", "-c:a", "mp2"]);
}

#[test]
fn damaged_avi_is_survived() {
    survive("film.avi", &["-c:v", "mpeg4", "-c:a", "mp3"]);
}

#[test]
fn a_film_that_is_cut_off_is_taken_up_to_there_and_says_so() {
    let bench = Bench::new();
    for (name, form) in [("film.mkv", &["-c", "copy"][..]), ("film.mp4", &["-c", "copy", "-movflags", "+faststart"])] {
        let whole = remade(name, &[], form);
        let (reply, came) = bench.split(&whole[..whole.len() / 2]).unwrap();
        assert!(!came.pictures.is_empty() && !came.sounds.is_empty(), "{name}: {reply:?}");
        let note = reply.note.unwrap();
        assert!(note.contains("the film tells of 24."), "{name}: {note}");
        assert!((4_000.0..20_000.0).contains(&reply.duration_ms), "{name}: {}", reply.duration_ms);
        println!("{name}: {note}");
        let truth = super::truth::truth();
        for (time, _) in &came.pictures {
            assert!(*time <= reply.duration_ms, "{name}: a picture at {time} of {}", reply.duration_ms);
        }
        let scenes = truth.shown.iter().filter(|scene| scene.t0_ms < came.pictures.last().unwrap().0).count();
        assert!(scenes >= 2, "{name}");
    }
}

#[test]
fn damage_in_the_middle_is_told_and_the_rest_is_taken() {
    let mut film = remade("film.ts", &[], &["-c:v", "mpeg2video", "-q:v", "4", "-c:a", "mp2"]);
    let middle = film.len() / 2;
    film[middle..middle + 20_000].fill(0x55);
    let (reply, came) = Bench::new().split(&film).unwrap();
    assert!(came.pictures.last().unwrap().0 > 18_000.0, "the end is there");
    let note = reply.note.unwrap();
    assert!(note.contains("damaged"), "{note}");
}
