//! What is true of `film.mp4`, and does what came agree?

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::*;

/// `tests/media/film.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Truth {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: f64,
    pub(crate) duration_ms: f64,
    pub(crate) shown: Vec<Shown>,
    pub(crate) said: Vec<Said>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Shown {
    pub(crate) t0_ms: f64,
    pub(crate) t1_ms: f64,
    pub(crate) what: String,
    quarters: [[i32; 3]; 4],
}

#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    pub(crate) t0_ms: f64,
    pub(crate) t1_ms: f64,
}

pub(crate) fn truth() -> Truth {
    serde_json::from_slice(&std::fs::read(media("film.json")).unwrap()).unwrap()
}

impl Truth {
    /// One picture's time.
    pub(crate) fn frame_ms(&self) -> f64 {
        1000.0 / self.fps
    }

    /// Checks that every picture shows what is shown at its time, and that every scene has one at its beginning; both
    /// within one frame. The film's clock may have been set `later_ms` back.
    pub(crate) fn check_pictures(&self, pictures: &[(f64, Vec<u8>)], later_ms: f64, slack_ms: f64) {
        for (time, jpeg) in pictures {
            let at = time - later_ms;
            let shows = self.shown_by(jpeg);
            let is_right = at >= shows.t0_ms - slack_ms && at < shows.t1_ms + slack_ms;
            assert!(is_right, "at {time} ms is {}, shown from {} ms on", shows.what, shows.t0_ms);
        }
        for scene in &self.shown {
            let nearest =
                pictures.iter().map(|(time, _)| (time - later_ms - scene.t0_ms).abs()).fold(f64::MAX, f64::min);
            assert!(nearest <= slack_ms, "{} begins {nearest} ms from the nearest picture", scene.what);
        }
        assert!(pictures.is_sorted_by(|(one, _), (other, _)| one < other), "not in order");
    }

    /// Checks that speech begins and ends in the sound when it does in the film.
    pub(crate) fn check_sound(&self, sounds: &[(f64, f64, Vec<i16>)], later_ms: f64, slack_ms: f64) {
        let mut loud: Vec<f64> = Vec::new();
        for (t0_ms, duration_ms, samples) in sounds {
            assert!((samples.len() as f64 / 16.0 - duration_ms).abs() < 0.1);
            let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            let is_loud = |sample: &i16| f64::from(sample.unsigned_abs()) > f64::from(peak) * 0.02;
            let at = samples.iter().enumerate().filter(|(_, sample)| is_loud(sample));
            loud.extend(at.map(|(n, _)| t0_ms + n as f64 / 16.0 - later_ms));
        }
        for said in &self.said {
            let within = |time: &&f64| **time > said.t0_ms - 400.0 && **time < said.t1_ms + 400.0;
            let (begins, ends) = (loud.iter().find(within).unwrap(), loud.iter().rfind(within).unwrap());
            assert!((begins - said.t0_ms).abs() <= slack_ms, "heard from {begins} ms on, said from {}", said.t0_ms);
            assert!((ends - said.t1_ms).abs() <= slack_ms, "heard until {ends} ms, said until {}", said.t1_ms);
        }
    }

    /// What this picture shows.
    fn shown_by(&self, jpeg: &[u8]) -> &Shown {
        let colours = quarters(jpeg);
        let distance = |shown: &&Shown| -> i32 {
            let pairs = shown.quarters.as_flattened().iter().zip(colours.as_flattened());
            pairs.map(|(one, other)| (one - other).abs()).sum()
        };
        let nearest = self.shown.iter().min_by_key(distance).unwrap();
        assert!(distance(&nearest) < 12 * 12, "{colours:?} is none of the film's pictures");
        nearest
    }
}

/// The mean colours of a picture's quarters.
fn quarters(jpeg: &[u8]) -> [[i32; 3]; 4] {
    let words = [
        "-v",
        "error",
        "-f",
        "mjpeg",
        "-i",
        "-",
        "-vf",
        "scale=2:2:flags=area",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ];
    let mut child = Command::new("ffmpeg").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(jpeg).unwrap();
    let bytes: [u8; 12] = child.wait_with_output().unwrap().stdout.try_into().unwrap();
    std::array::from_fn(|quarter| std::array::from_fn(|channel| bytes[quarter * 3 + channel].into()))
}
