//! How is a picture described where no model can put it into words? From its classes and its text, and marked so.

use megabrain_schemas::{Classified, Description, Read};

/// A class below this is not worth a word.
const WORTH_A_WORD: f32 = 0.1;
/// As many classes at most.
const CLASSES: usize = 3;

/// Composes a description of what `classify` and `read` found, each if it was there to ask; `by` says which.
pub(crate) fn compose(classified: Option<&[Classified]>, read: Option<&[Read]>) -> Description {
    let mut sentences = Vec::new();
    if let Some(classes) = classified {
        sentences.push(shown(classes));
    }
    if let Some(lines) = read {
        sentences.push(written(lines));
    }
    let by = [classified.map(|_| "classify"), read.map(|_| "read")].into_iter().flatten().collect::<Vec<_>>();
    Description { text: sentences.join(" "), by: by.join("+") }
}

fn shown(classes: &[Classified]) -> String {
    let likely: Vec<String> = classes
        .iter()
        .take(CLASSES)
        .filter(|class| class.score >= WORTH_A_WORD)
        .map(|class| format!("{} ({:.0} %)", class.label, class.score * 100.0))
        .collect();
    match likely.split_last() {
        None => "It shows nothing that is recognised with confidence.".to_owned(),
        Some((only, [])) => format!("It looks like: {only}."),
        Some((last, others)) => format!("It looks like: {} or {last}.", others.join(", ")),
    }
}

fn written(lines: &[Read]) -> String {
    if lines.is_empty() {
        return "No text was found in it.".to_owned();
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("“{}”", line.text)).collect();
    format!("It reads {}.", lines.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(scores: &[(&str, f32)]) -> Vec<Classified> {
        scores.iter().map(|(label, score)| Classified { label: (*label).to_owned(), score: *score }).collect()
    }

    #[test]
    fn a_description_says_what_was_found_and_how() {
        let read = [Read { text: "BERTH 42".into(), corners: [[0.0; 2]; 4], score: 0.9 }];
        let cats = classes(&[("tabby cat", 0.5), ("lynx", 0.2), ("sofa", 0.01)]);
        let description = compose(Some(&cats), Some(&read));
        assert_eq!(description.text, "It looks like: tabby cat (50 %) or lynx (20 %). It reads “BERTH 42”.");
        assert_eq!(description.by, "classify+read");
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let description = compose(Some(&classes(&[("barbell", 0.04)])), Some(&[]));
        assert_eq!(description.text, "It shows nothing that is recognised with confidence. No text was found in it.");
        assert_eq!(compose(None, Some(&[])).by, "read");
    }
}
