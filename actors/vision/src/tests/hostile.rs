//! Whatever the bytes, there is a fault or a picture: no panic gets out, nothing hangs, memory is bounded.

use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat};

use super::formats::encode;
use super::*;

/// Damaged copies of each picture: cut off, bits flipped, bytes overwritten, parts moved.
const ROUNDS: usize = 300;

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

fn damage(picture: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = picture.to_vec();
    // Headers are short and matter most.
    let place =
        |dice: &mut Dice| if dice.roll(2) == 0 { dice.roll(picture.len().min(600)) } else { dice.roll(picture.len()) };
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

fn survive(format: ImageFormat) {
    let picture = image::load_from_memory(&media("sign.png")).unwrap();
    let (whole, mut dice) = (encode(&DynamicImage::from(picture.to_rgb8()), format), Dice(0x9e37_79b9_7f4a_7c15));
    let (mut pictures, mut gave_up, mut slowest) = (0, 0, Duration::ZERO);
    for round in 0..ROUNDS {
        let bytes = damage(&whole, &mut dice);
        let began = Instant::now();
        match decode(&bytes) {
            Ok(_) => pictures += 1,
            Err(fault) => gave_up += usize::from(fault.message.contains("gave up")),
        }
        slowest = slowest.max(began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "{format:?}, round {round}: {:?}", began.elapsed());
    }
    println!("{format:?}: {pictures} of {ROUNDS} were still pictures, {gave_up} panics contained, slowest {slowest:?}");
    // VmHWM: the most memory that this process ever had, in kB.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: usize = most.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(most < 1_000_000, "{format:?}: {most} kB at the most");
}

#[test]
fn damaged_png_is_survived() {
    survive(ImageFormat::Png);
}

#[test]
fn damaged_jpeg_is_survived() {
    survive(ImageFormat::Jpeg);
}

#[test]
fn damaged_webp_is_survived() {
    survive(ImageFormat::WebP);
}

#[test]
fn damaged_gif_is_survived() {
    survive(ImageFormat::Gif);
}

#[test]
fn damaged_bmp_is_survived() {
    survive(ImageFormat::Bmp);
}

#[test]
fn damaged_tiff_is_survived() {
    survive(ImageFormat::Tiff);
}

#[test]
fn noise_is_no_picture() {
    let mut dice = Dice(1);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..dice.roll(60_000)).map(|_| dice.roll(256) as u8).collect();
        assert!(decode(&noise).is_err());
    }
}

#[test]
fn strips_and_specks_of_any_shape_are_looked_at_within_bounds() {
    let mut eyes = eyes();
    for (width, height) in [(8, 8), (9, 3000), (3000, 9), (4000, 31), (31, 4000), (1, 8000)] {
        let picture = encode(&DynamicImage::new_rgb8(width, height), ImageFormat::Png);
        let outcome = see(&mut eyes, &[picture], &[SeeTask::Classify, SeeTask::Read]);
        assert_eq!(outcome.is_err(), width.min(height) < 8, "{width} × {height}: {outcome:?}");
    }
}
