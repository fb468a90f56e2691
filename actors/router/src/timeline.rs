//! What was heard while what was seen? Everything on the clock of its attachment, and what lasts told once.

use std::collections::BTreeMap;

use megabrain_schemas::{Evidence, Modality};

/// What is known of a film's clock.
#[derive(Debug, Default)]
pub(crate) struct Film {
    /// When its pictures were taken, in milliseconds.
    pub(crate) frames: Vec<f64>,
    /// Its length, once its end was read.
    pub(crate) length_ms: Option<f64>,
    /// Pictures and pieces of sound so far.
    pub(crate) parts: usize,
}

/// Gives what is seen its end (the next picture, or the film's end), merges what several pictures in a row show, and
/// sorts by attachment and time; what has no time comes first.
pub(crate) fn join(evidence: &mut Vec<Evidence>, films: &BTreeMap<usize, Film>) {
    for item in evidence.iter_mut().filter(|item| item.t1_ms.is_none()) {
        if let (Some(t0), Some(film)) = (item.t0_ms, films.get(&item.attachment)) {
            item.t1_ms = Some(end_of(film, t0));
        }
    }
    let time = |item: &Evidence| item.t0_ms.unwrap_or(-1.0);
    evidence.sort_by(|one, other| one.attachment.cmp(&other.attachment).then(time(one).total_cmp(&time(other))));
    merge(evidence);
}

/// When the picture that is taken at `t0` gives way to the next.
fn end_of(film: &Film, t0: f64) -> f64 {
    let later = film.frames.iter().copied().chain(film.length_ms).filter(|time| *time > t0);
    later.min_by(f64::total_cmp).unwrap_or(t0)
}

/// A text without its blanks: readers see them on one picture and not on the next.
fn letters(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Makes one of what the same model says of pictures that follow each other. Expects them sorted.
fn merge(evidence: &mut Vec<Evidence>) {
    let mut merged: Vec<Evidence> = Vec::with_capacity(evidence.len());
    // The last one with this text that may go on.
    let mut last: BTreeMap<(usize, String, String), usize> = BTreeMap::new();
    for item in evidence.drain(..) {
        let key = (item.attachment, item.model.to_string(), letters(&item.text));
        if item.modality == Modality::Image
            && let (Some(t0), Some(t1)) = (item.t0_ms, item.t1_ms)
        {
            let before = last.get(&key).and_then(|index| merged.get_mut(*index));
            if let Some(before) = before.filter(|before| before.t1_ms.is_some_and(|end| t0 <= end + 1.0)) {
                before.t1_ms = before.t1_ms.map(|end| end.max(t1));
                before.confidence = before.confidence.into_iter().chain(item.confidence).reduce(f32::max);
                continue;
            }
            last.insert(key, merged.len());
        }
        merged.push(item);
    }
    *evidence = merged;
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{LegStatus, Name};

    use super::*;

    fn seen(t0: f64, text: &str, confidence: f32) -> Evidence {
        Evidence {
            attachment: 0,
            modality: Modality::Image,
            model: Name::sanitized("vision"),
            t0_ms: Some(t0),
            t1_ms: None,
            text: text.into(),
            confidence: Some(confidence),
            status: LegStatus::Ok,
        }
    }

    fn heard(t0: f64, t1: f64, text: &str) -> Evidence {
        Evidence { modality: Modality::Audio, t1_ms: Some(t1), ..seen(t0, text, 1.0) }
    }

    #[test]
    fn what_many_pictures_show_is_one_span_on_the_clock_of_what_is_said() {
        let film = Film { frames: vec![0.0, 2000.0, 4000.0, 6000.0], length_ms: Some(7000.0), parts: 5 };
        let mut all = vec![
            seen(4000.0, "dog", 0.7),
            seen(6000.0, "cat", 0.6),
            seen(2000.0, "cat", 0.9),
            heard(1500.0, 3000.0, "look at her"),
            seen(0.0, "cat", 0.8),
        ];
        join(&mut all, &BTreeMap::from([(0, film)]));
        let told: Vec<_> = all.iter().map(|item| (item.text.as_str(), item.t0_ms, item.t1_ms)).collect();
        assert_eq!(
            told,
            [
                ("cat", Some(0.0), Some(4000.0)),
                ("look at her", Some(1500.0), Some(3000.0)),
                ("dog", Some(4000.0), Some(6000.0)),
                ("cat", Some(6000.0), Some(7000.0)),
            ]
        );
        assert_eq!(all.first().and_then(|item| item.confidence), Some(0.9));
    }

    #[test]
    fn a_picture_of_its_own_has_no_clock_and_comes_first() {
        let mut all = vec![heard(0.0, 10.0, "a"), Evidence { t0_ms: None, ..seen(0.0, "cat", 0.5) }];
        join(&mut all, &BTreeMap::new());
        assert_eq!(all.first().map(|item| (item.text.as_str(), item.t1_ms)), Some(("cat", None)));
    }
}
