//! Whatever the bytes, there is a fault or a sound: no panic gets out, nothing hangs, memory is bounded.

use std::time::Instant;

use super::*;

/// Damaged copies of each clip: cut off, bits flipped, bytes overwritten, parts moved.
const ROUNDS: usize = 400;

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

fn damage(clip: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = clip.to_vec();
    // Headers are short and matter most.
    let place =
        |dice: &mut Dice| if dice.roll(2) == 0 { dice.roll(clip.len().min(600)) } else { dice.roll(clip.len()) };
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

fn survive(file: &str) {
    let (clip, mut dice) = (media(file), Dice(0x9e37_79b9_7f4a_7c15));
    let (mut sounds, mut gave_up, mut slowest) = (0, 0, Duration::ZERO);
    for round in 0..ROUNDS {
        let bytes = damage(&clip, &mut dice);
        let began = Instant::now();
        match decode(&bytes) {
            Ok(samples) => {
                sounds += 1;
                assert!(samples.iter().all(|sample| sample.is_finite()), "{file}, round {round}");
            }
            Err(fault) => gave_up += usize::from(fault.message.contains("gave up")),
        }
        slowest = slowest.max(began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "{file}, round {round}: {:?}", began.elapsed());
    }
    println!("{file}: {sounds} of {ROUNDS} were still sounds, {gave_up} panics contained, slowest {slowest:?}");
    // VmHWM: the most memory that this process ever had, in kB.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most: usize = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(most < 1_000_000, "{file}: {most} kB at the most");
}

#[test]
fn damaged_wav_is_survived() {
    survive("question.wav");
}

#[test]
fn damaged_mp3_is_survived() {
    survive("question.mp3");
}

#[test]
fn damaged_m4a_is_survived() {
    survive("question.m4a");
}

#[test]
fn damaged_flac_is_survived() {
    survive("question.flac");
}

#[test]
fn damaged_vorbis_is_survived() {
    survive("question-vorbis.ogg");
}

#[test]
fn damaged_opus_is_survived() {
    survive("question-opus.ogg");
}

#[test]
fn damaged_webm_is_survived() {
    survive("question-opus.webm");
}

#[test]
fn noise_is_no_sound() {
    let mut dice = Dice(1);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..dice.roll(60_000)).map(|_| dice.roll(256) as u8).collect();
        // Random bytes hold sync words of MP3 now and then; what comes of them is a fault or short rubbish.
        if let Ok(samples) = decode(&noise) {
            assert!(samples.len() < 160_000, "{} samples", samples.len());
        }
    }
}
