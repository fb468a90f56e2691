//! Where is a long sound track cut, so that it can be heard before it is read to its end and no word is cut in two?
//!
//! A track that is not longer than a piece stays whole. A longer one is cut in the quietest place of the last third of a
//! piece, if that is a pause; else in the first pause that comes later. Where there is none for long (music, noise) it is
//! cut in the quietest place after all.

use std::ops::Range;
use std::time::Duration;

/// Samples a second.
pub(crate) const RATE: u32 = 16_000;
/// The shortest that a piece may be set to.
pub(crate) const SHORTEST_PIECE: Duration = Duration::from_secs(5);

/// What stays for the next piece, at least: a few syllables without their neighbours are heard wrongly.
const TAIL: usize = RATE as usize;
/// A piece waits for a pause until it is so many times as long as it should be.
const LONGEST: usize = 4;
/// How much more has to come before a pause is looked for again.
const PROGRESS: usize = 5 * RATE as usize;
/// Resolution of the search: 10 ms.
const STEP: usize = RATE as usize / 100;
/// A pause between sentences, in steps: 300 ms.
const PAUSE: usize = 30;
/// How much fainter than the sound as a whole a pause is, in energy: 20 dB.
const FAINT: f64 = 100.0;
/// What never rises to this is silent: 60 dB below full scale, where the speech actor stops listening too.
const AUDIBLE: u16 = 33;

/// A stretch of the track.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    /// How many samples of the track come before it.
    pub(crate) start: u64,
    pub(crate) samples: Vec<i16>,
}

impl Piece {
    /// True if there is nothing in it to hear.
    pub(crate) fn is_silent(&self) -> bool {
        self.samples.iter().all(|sample| sample.unsigned_abs() < AUDIBLE)
    }
}

/// Cuts a track as it comes.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// Length of a piece, in samples.
    target: usize,
    waiting: Vec<i16>,
    /// Samples that have left.
    gone: u64,
    /// No use looking for a pause before so many wait.
    look_at: usize,
}

impl Cutter {
    /// Pieces are to be this long.
    pub(crate) fn new(piece: Duration) -> Self {
        let target = usize::try_from(piece.as_millis()).unwrap_or(usize::MAX / 64).saturating_mul(RATE as usize / 1000);
        Self { target, waiting: Vec::new(), gone: 0, look_at: target.saturating_add(TAIL) }
    }

    /// Takes samples of 16 bits, the lower byte first.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let samples = bytes.as_chunks::<2>().0;
        self.waiting.extend(samples.iter().map(|sample| i16::from_le_bytes(*sample)));
    }

    /// The next piece, if one is sure by now.
    pub(crate) fn piece(&mut self) -> Option<Piece> {
        if self.waiting.len() < self.look_at {
            return None;
        }
        let place = self.place();
        if place.is_none() {
            self.look_at = self.waiting.len() + PROGRESS;
        }
        place.map(|place| self.split_off(place))
    }

    /// The next piece of what is left when no more comes.
    pub(crate) fn rest(&mut self) -> Option<Piece> {
        let place = self.place().unwrap_or(self.waiting.len());
        (place > 0).then(|| self.split_off(place))
    }

    /// Samples taken so far.
    pub(crate) fn length(&self) -> u64 {
        self.gone + self.waiting.len() as u64
    }

    fn split_off(&mut self, place: usize) -> Piece {
        let later = self.waiting.split_off(place);
        let piece = Piece { start: self.gone, samples: std::mem::replace(&mut self.waiting, later) };
        self.gone += place as u64;
        self.look_at = self.target.saturating_add(TAIL);
        piece
    }

    fn place(&self) -> Option<usize> {
        let longest = self.target.saturating_mul(LONGEST);
        let latest = self.waiting.len().saturating_sub(TAIL).min(longest);
        if self.waiting.len() <= self.target {
            return None;
        }
        let earliest = self.target / 3 * 2;
        let first = self.quietest(earliest..self.target.min(latest)).filter(|quiet| quiet.is_pause);
        let first = first.or_else(|| self.quietest(earliest..latest))?;
        (first.is_pause || latest == longest).then_some(first.middle)
    }

    /// The quietest place of a pause's length; of equally quiet ones the last.
    fn quietest(&self, range: Range<usize>) -> Option<Quiet> {
        let steps: Vec<f64> = self.waiting.get(range.clone())?.chunks_exact(STEP).map(energy).collect();
        let pauses = steps.windows(PAUSE).map(|pause| pause.iter().sum::<f64>()).enumerate();
        let (index, least) = pauses.min_by(|(early, one), (late, other)| one.total_cmp(other).then(late.cmp(early)))?;
        let whole = self.waiting.get(..range.end)?;
        let usual = energy(whole) / whole.len() as f64 * (PAUSE * STEP) as f64;
        let inaudible = f64::from(AUDIBLE).powi(2) * (PAUSE * STEP) as f64;
        Some(Quiet {
            middle: range.start + (index + PAUSE / 2) * STEP,
            is_pause: least <= usual / FAINT || least <= inaudible,
        })
    }
}

/// The quietest place of a stretch.
struct Quiet {
    middle: usize,
    is_pause: bool,
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hum with pauses that begin at these times and last so long, in milliseconds.
    fn hum(milliseconds: usize, pauses: &[(usize, usize)]) -> Vec<u8> {
        let mut samples: Vec<i16> = (0..milliseconds * 16).map(|n| ((n as f32 * 0.3).sin() * 9000.0) as i16).collect();
        for (start, length) in pauses {
            // A pause is not quite silent.
            samples[start * 16..(start + length) * 16].iter_mut().for_each(|sample| *sample /= 20);
        }
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    /// Where the pieces of 30 s begin, in milliseconds; taken in chunks as ffmpeg makes them.
    fn cuts(track: &[u8]) -> Vec<u64> {
        let mut cutter = Cutter::new(Duration::from_secs(30));
        let mut pieces: Vec<Piece> = Vec::new();
        for chunk in track.chunks(742) {
            cutter.take(chunk);
            pieces.extend(cutter.piece());
        }
        pieces.extend(std::iter::from_fn(|| cutter.rest()));
        let joined: Vec<i16> = pieces.iter().flat_map(|piece| piece.samples.clone()).collect();
        assert_eq!(joined.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>(), track, "nothing is lost");
        assert_eq!(cutter.length(), joined.len() as u64);
        pieces.iter().map(|piece| piece.start / 16).collect()
    }

    #[test]
    fn what_is_no_longer_than_a_piece_stays_whole() {
        assert_eq!(cuts(&hum(30_000, &[(12_000, 400), (25_000, 400)])), [0]);
        assert_eq!(cuts(&hum(20, &[])), [0]);
        assert!(cuts(&[]).is_empty());
    }

    #[test]
    fn the_cut_is_in_the_pause() {
        let cuts = cuts(&hum(70_000, &[(5_000, 400), (24_000, 400), (27_000, 200), (50_000, 400), (51_000, 100)]));
        assert!((24_000..24_400).contains(&cuts[1]), "{cuts:?}");
        assert!((50_000..50_400).contains(&cuts[2]), "{cuts:?}");
        assert_eq!(cuts.len(), 3);
    }

    #[test]
    fn without_a_pause_it_goes_on_to_the_next() {
        let cuts = cuts(&hum(90_000, &[(47_000, 500)]));
        assert!((47_000..47_500).contains(&cuts[1]), "{cuts:?}");
        let never = self::cuts(&hum(300_000, &[]));
        assert!(never.len() >= 3 && never[1] <= 120_000, "{never:?}");
    }

    #[test]
    fn the_last_piece_is_not_a_snippet() {
        let cuts = cuts(&hum(30_500, &[(22_000, 300), (29_000, 500)]));
        assert!((29_000..29_500).contains(&cuts[1]) || (22_000..22_300).contains(&cuts[1]), "{cuts:?}");
        assert!(30_500 - cuts[1] >= 1_000, "{cuts:?}");
    }

    #[test]
    fn silence_is_told_from_faint_sound() {
        let piece = |peak: i16| Piece { start: 0, samples: vec![0, peak, 0, -peak] };
        assert!(piece(32).is_silent() && !piece(33).is_silent() && !piece(i16::MAX).is_silent());
        assert!(!Piece { start: 0, samples: vec![i16::MIN] }.is_silent());
    }
}
