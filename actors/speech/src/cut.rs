//! Where is long sound cut, so that no word is cut in two?
//!
//! Whisper hears 30 seconds at a time. Each piece is one call of the model, so that segments stream out as they are
//! ready, and a new thread count or an interruption is seen between two.

use std::ops::Range;

use crate::resample::SAMPLE_RATE;

/// The most that the model hears at once.
pub(crate) const WINDOW: usize = 30 * SAMPLE_RATE;
/// How far back from the end of a window a quiet place is looked for.
const SEARCH: usize = 10 * SAMPLE_RATE;
/// No piece but the only one is shorter: a few syllables without their neighbours are heard wrongly.
pub(crate) const SHORTEST: usize = SAMPLE_RATE;
/// How far from a segment's end a pause is looked for: 200 ms. What is said between would be lost, or heard twice.
const NEAR: usize = SAMPLE_RATE / 5;
/// Resolution of the search: 10 ms.
const STEP: usize = SAMPLE_RATE / 100;
/// A pause between words, in steps: 200 ms.
const PAUSE: usize = 20;

/// The piece that begins at a sample: at most 30 seconds, to the quietest place in the last 10 of them. `None` past the end.
pub(crate) fn piece_from(samples: &[f32], start: usize) -> Option<Range<usize>> {
    let rest = samples.len().checked_sub(start).filter(|rest| *rest > 0)?;
    if rest <= WINDOW {
        return Some(start..samples.len());
    }
    let latest = WINDOW.min(rest - SHORTEST);
    Some(start..quietest(samples, start + WINDOW - SEARCH..start + latest))
}

/// The quietest place around a sample where something that is said ends, by a clock that is not exact.
pub(crate) fn pause_near(samples: &[f32], at: usize) -> usize {
    quietest(samples, at.saturating_sub(NEAR)..(at + NEAR).min(samples.len()))
}

/// The middle of the quietest pause within these samples; of equally quiet ones the last. Their end if they are too few.
fn quietest(samples: &[f32], within: Range<usize>) -> usize {
    let Range { start: earliest, end: latest } = within;
    let energies: Vec<f32> = samples
        .get(earliest..latest)
        .unwrap_or_default()
        .chunks_exact(STEP)
        .map(|step| step.iter().map(|sample| sample * sample).sum())
        .collect();
    energies
        .windows(PAUSE)
        .map(|pause| pause.iter().sum::<f32>())
        .enumerate()
        .min_by(|(early, one), (late, other)| one.total_cmp(other).then(late.cmp(early)))
        .map_or(latest, |(index, _)| earliest + (index + PAUSE / 2) * STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hum with pauses of 300 ms that begin at these times, in milliseconds.
    fn hum(milliseconds: usize, pauses: &[usize]) -> Vec<f32> {
        let mut samples: Vec<f32> =
            (0..milliseconds * SAMPLE_RATE / 1000).map(|n| (n as f32 * 0.3).sin() * 0.4).collect();
        for pause in pauses {
            samples[pause * 16..(pause + 300) * 16].fill(0.0);
        }
        samples
    }

    fn pieces(samples: &[f32]) -> impl Iterator<Item = Range<usize>> {
        std::iter::successors(piece_from(samples, 0), |piece| piece_from(samples, piece.end))
    }

    #[test]
    fn a_pause_near_a_place_is_found_and_no_other() {
        let samples = hum(10_000, &[2_000, 4_100]);
        assert!((4_100..4_400).contains(&(pause_near(&samples, 4_150 * 16) / 16)));
        assert!((4_100..4_400).contains(&(pause_near(&samples, 4_350 * 16) / 16)));
        assert!(pause_near(&samples, 3_000 * 16).abs_diff(3_000 * 16) <= NEAR);
        assert!(pause_near(&samples, samples.len()) <= samples.len());
    }

    #[test]
    fn thirty_seconds_are_one_piece() {
        let samples = hum(30_000, &[12_000]);
        assert_eq!(pieces(&samples).map(|piece| piece.len()).collect::<Vec<_>>(), [WINDOW]);
        assert_eq!(pieces(&[]).count(), 0);
    }

    #[test]
    fn pieces_join_without_a_gap_and_none_is_too_long() {
        for milliseconds in [30_001, 30_900, 45_000, 60_000, 100_000, 301_000] {
            let samples = hum(milliseconds, &[]);
            let mut end = 0;
            for piece in pieces(&samples) {
                assert_eq!(piece.start, end);
                assert!((SHORTEST..=WINDOW).contains(&piece.len()), "{milliseconds} ms: {piece:?}");
                end = piece.end;
            }
            assert_eq!(end, samples.len());
        }
    }

    #[test]
    fn the_cut_is_in_the_pause() {
        let samples = hum(58_000, &[10_000, 23_400, 47_000]);
        let cuts: Vec<usize> = pieces(&samples).map(|piece| piece.end / 16).collect();
        assert!((23_400..23_700).contains(&cuts[0]), "{cuts:?}");
        assert!((47_000..47_300).contains(&cuts[1]), "{cuts:?}");
        assert_eq!(cuts[2], 58_000);
    }

    #[test]
    fn digital_silence_is_cut_as_late_as_it_can_be() {
        let first = pieces(&vec![0.0; 90 * SAMPLE_RATE]).next().unwrap_or_default();
        assert!(first.end > WINDOW - SAMPLE_RATE, "{first:?}");
    }
}
