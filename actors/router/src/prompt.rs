//! How is what was found put to a model?

use std::collections::BTreeMap;
use std::fmt::Write as _;

use megabrain_schemas::{Evidence, LegStatus, Modality};

use crate::evidence::LIKENESS;

/// The question with the evidence; without a written question, what was heard is the question.
///
/// What a film shows and what is said meanwhile stand in one line, in whole sentences: a small model need not compare
/// times, and takes "said" and "shown" for one.
pub(crate) fn prompt<'e>(question: Option<&str>, evidence: impl Iterator<Item = &'e Evidence>) -> String {
    let evidence: Vec<&Evidence> = evidence.collect();
    let Some(question) = question else {
        return evidence.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(" ");
    };
    if evidence.is_empty() {
        return question.to_owned();
    }
    let mut attachments: BTreeMap<usize, Vec<&Evidence>> = BTreeMap::new();
    for item in evidence {
        attachments.entry(item.attachment).or_default().push(item);
    }
    let mut prompt = String::from("Here is what was found in the attachments.\n");
    for (attachment, items) in &attachments {
        let scenes = scenes(items);
        for (times, scene) in &scenes {
            scene.tell(&mut prompt, *attachment, *times);
        }
        let is_told = |item: &Evidence| !scenes.is_empty() && span(item).is_some();
        items.iter().filter(|item| !is_told(item)).for_each(|item| tell(&mut prompt, item));
        if let Some(end) =
            items.iter().filter(|item| item.status != LegStatus::Ok).filter_map(|item| item.t1_ms).next_back()
        {
            // Writing to a String does not fail.
            let _ = writeln!(prompt, "[attachment {attachment}] What is said after {} is not known.", clock(end));
        }
    }
    let _ = write!(prompt, "\n{question}");
    prompt
}

/// What is shown in one stretch of a film, and what is said meanwhile.
#[derive(Default)]
struct Scene<'e> {
    shown: Vec<&'e str>,
    heard: Vec<&'e str>,
}

impl Scene<'_> {
    fn tell(&self, prompt: &mut String, attachment: usize, (from, to): (u64, u64)) {
        let (from, to) = (clock(from as f64), clock(to as f64));
        let (shown, heard) = (self.shown.join("; "), self.heard.join(" "));
        let scene = match (shown.is_empty(), heard.is_empty()) {
            (false, false) => format!("The voice says: \"{heard}\" Meanwhile the picture shows: {shown}."),
            (false, true) => format!("The picture shows: {shown}."),
            (true, _) => format!("The voice says: \"{heard}\""),
        };
        // Writing to a String does not fail.
        let _ = writeln!(prompt, "[attachment {attachment}, {from} to {to}] {scene}");
    }
}

/// The stretches of a film by their times in milliseconds; none where not both is shown and said.
fn scenes<'e>(items: &[&'e Evidence]) -> BTreeMap<(u64, u64), Scene<'e>> {
    let timed = |modality| items.iter().filter(move |item| item.modality == modality);
    let mut scenes: BTreeMap<(u64, u64), Scene<'e>> = BTreeMap::new();
    for item in timed(Modality::Image) {
        let Some(times) = span(item) else { continue };
        scenes.entry(times).or_default().shown.push(item.text.strip_prefix(LIKENESS).unwrap_or(&item.text));
    }
    if scenes.is_empty() || timed(Modality::Audio).next().is_none() {
        return BTreeMap::new();
    }
    for item in items.iter().filter(|item| item.modality != Modality::Image) {
        let Some(times) = span(item) else { continue };
        let place = scene_of(scenes.keys().copied(), times).unwrap_or(times);
        scenes.entry(place).or_default().heard.push(&item.text);
    }
    scenes
}

/// Where something is said: of the scenes that most of it is said in, the shortest, as a title may be shown all the time;
/// over a cut, where it is said the longest.
fn scene_of(scenes: impl Iterator<Item = (u64, u64)> + Clone, said: (u64, u64)) -> Option<(u64, u64)> {
    let most = scenes.clone().filter(|scene| 2 * overlap(*scene, said) > said.1 - said.0);
    let shortest = most.min_by_key(|(from, to)| to - from);
    let meanwhile = scenes.filter(|scene| overlap(*scene, said) > 0);
    shortest.or_else(|| meanwhile.max_by_key(|scene| overlap(*scene, said)))
}

fn span(item: &Evidence) -> Option<(u64, u64)> {
    Some((item.t0_ms?.max(0.0) as u64, item.t1_ms?.max(0.0) as u64))
}

fn overlap(one: (u64, u64), other: (u64, u64)) -> u64 {
    one.1.min(other.1).saturating_sub(one.0.max(other.0))
}

fn tell(prompt: &mut String, item: &Evidence) {
    let kind = match item.modality {
        Modality::Audio => "heard",
        Modality::Image => "seen",
        Modality::Text => "read",
    };
    let times = match (item.t0_ms, item.t1_ms) {
        (Some(from), Some(to)) => format!(", {} to {}", clock(from), clock(to)),
        _ => String::new(),
    };
    let _ = writeln!(prompt, "[{kind}, attachment {}{times}] {}", item.attachment, item.text);
}

fn clock(milliseconds: f64) -> String {
    let tenths = (milliseconds.max(0.0) / 100.0).round() as u64;
    let (minutes, seconds) = (tenths / 600, tenths % 600);
    format!("{minutes:02}:{:02}.{}", seconds / 10, seconds % 10)
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Name;

    use super::*;

    fn item(attachment: usize, modality: Modality, times: Option<(f64, f64)>, text: &str) -> Evidence {
        Evidence {
            attachment,
            modality,
            model: Name::new("whisper").unwrap(),
            t0_ms: times.map(|(from, _)| from),
            t1_ms: times.map(|(_, to)| to),
            text: text.into(),
            confidence: None,
            status: LegStatus::Ok,
        }
    }

    fn heard(from: f64, to: f64, text: &str) -> Evidence {
        item(0, Modality::Audio, Some((from, to)), text)
    }

    #[test]
    fn without_a_written_question_what_was_heard_is_the_question() {
        let all = [heard(10.0, 500.0, "a"), heard(900.0, 1400.0, "b"), item(1, Modality::Audio, Some((0.0, 5.0)), "c")];
        assert_eq!(prompt(None, all.iter()), "a b c");
    }

    #[test]
    fn a_written_question_comes_after_the_evidence() {
        let text = prompt(Some("Who?"), [heard(61_500.0, 62_000.0, "hello")].iter());
        assert!(text.contains("[heard, attachment 0, 01:01.5 to 01:02.0] hello"), "{text}");
        assert!(text.ends_with("Who?"));
        assert_eq!(prompt(Some("Who?"), [].iter()), "Who?");
    }

    #[test]
    fn what_is_said_stands_with_what_is_shown_meanwhile() {
        let shown = |from, to, text| item(0, Modality::Image, Some((from, to)), text);
        let all = [
            shown(0.0, 4600.0, "astronaut"),
            heard(600.0, 2800.0, "Good morning."),
            heard(4000.0, 7000.0, "My brother sleeps."),
            shown(4600.0, 9600.0, "looks like: cat"),
            shown(4600.0, 9600.0, "sofa"),
            heard(9700.0, 9900.0, "Bye."),
            item(1, Modality::Text, None, "a note"),
        ];
        let text = prompt(Some("?"), all.iter());
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "[attachment 0, 00:00.0 to 00:04.6] The voice says: \"Good morning.\" Meanwhile the picture shows: astronaut.",
                "[attachment 0, 00:04.6 to 00:09.6] The voice says: \"My brother sleeps.\" Meanwhile the picture shows: cat; sofa.",
                "[attachment 0, 00:09.7 to 00:09.9] The voice says: \"Bye.\"",
                "[read, attachment 1] a note",
                "",
                "?"
            ]
        );
    }

    #[test]
    fn what_is_said_over_a_cut_is_said_in_a_scene_and_not_while_the_title_is_shown() {
        let scenes = [(0, 24_000), (0, 4600), (4600, 9600)];
        let place = |said| scene_of(scenes.into_iter(), said);
        assert_eq!(place((4000, 7000)), Some((4600, 9600)));
        assert_eq!(place((3000, 5000)), Some((0, 4600)));
        assert_eq!(place((11_000, 12_000)), Some((0, 24_000)));
        assert_eq!(place((30_000, 31_000)), None);
        assert_eq!(place((23_000, 30_000)), Some((0, 24_000)), "the least that is true");
    }

    #[test]
    fn a_minute_is_never_sixty_seconds() {
        assert_eq!([clock(0.0), clock(59_960.0), clock(61_500.0)], ["00:00.0", "01:00.0", "01:01.5"]);
    }
}
