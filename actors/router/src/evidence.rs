//! What was found, on the clock of its attachment?

use megabrain_schemas::{
    AttachmentReply, Evidence, Fault, LegStatus, Modality, Name, SeeReply, Seen, Segment, TranscribeReply,
};

use crate::hear::Partly;
use crate::plan::PlannedLeg;

/// Of a picture's classes, the likeliest counts, and so many at most of those that are likely enough.
const MOST_CLASSES: usize = 3;
const WORTH_A_WORD: f32 = 0.1;

/// How evidence begins that is a class, or text that was read.
pub(crate) const LIKENESS: &str = "looks like: ";
pub(crate) const WRITING: &str = "text: ";

/// Reads a leg's answer as evidence about its attachment.
///
/// # Errors
/// `engine` if the answer is not what its capability promises.
pub(crate) fn read(leg: &PlannedLeg, body: &[u8]) -> Result<Vec<Evidence>, Fault> {
    let attachment = leg.attachment;
    let found = match leg.capability.as_str() {
        "transcribe" => {
            let reply: TranscribeReply = leg.read(body)?;
            heard(&leg.model, attachment, reply.segments)
        }
        "see" => seen_by(&leg.model, attachment, &leg.read(body)?),
        _ => told(&leg.model, attachment, leg.read(body)?),
    };
    Ok(on_the_clock(leg, found))
}

/// What a leg that broke off had heard until then.
pub(crate) fn until_it_broke_off(leg: &PlannedLeg, partly: Partly, status: LegStatus) -> Vec<Evidence> {
    let found = heard(&partly.model, leg.attachment, partly.segments);
    on_the_clock(leg, found.into_iter().map(|item| Evidence { status, ..item }).collect())
}

/// Puts what was found in a part of a film on the film's clock.
fn on_the_clock(leg: &PlannedLeg, mut found: Vec<Evidence>) -> Vec<Evidence> {
    if let Some(at_ms) = leg.at_ms {
        for item in &mut found {
            item.t0_ms = Some(item.t0_ms.unwrap_or(0.0) + at_ms);
            item.t1_ms = item.t1_ms.map(|t1| t1 + at_ms);
        }
    }
    found
}

fn heard(model: &Name, attachment: usize, segments: Vec<Segment>) -> Vec<Evidence> {
    let segment = |segment: Segment| Evidence {
        attachment,
        modality: Modality::Audio,
        model: model.clone(),
        t0_ms: Some(segment.t0_ms),
        t1_ms: Some(segment.t1_ms),
        text: segment.text.trim().to_owned(),
        confidence: segment.confidence,
        status: LegStatus::Ok,
    };
    segments.into_iter().map(segment).collect()
}

fn seen_by(model: &Name, attachment: usize, reply: &SeeReply) -> Vec<Evidence> {
    let timeless = |(text, confidence): (String, Option<f32>)| Evidence {
        attachment,
        modality: Modality::Image,
        model: model.clone(),
        t0_ms: None,
        t1_ms: None,
        text,
        confidence,
        status: LegStatus::Ok,
    };
    reply.results.iter().flat_map(findings).map(timeless).collect()
}

fn findings(seen: &Seen) -> Vec<(String, Option<f32>)> {
    let described = seen.describe.iter().map(|description| (description.text.clone(), None));
    let read = seen.read.iter().flatten().map(|line| (format!("{WRITING}{}", line.text), Some(line.score)));
    let classes = seen.classify.iter().flatten().enumerate().take(MOST_CLASSES);
    // A guess is told where there is nothing better to tell.
    let is_all = seen.describe.is_none() && seen.read.as_ref().is_none_or(Vec::is_empty);
    let is_worth_it = |rank: usize, score: f32| score >= WORTH_A_WORD || (rank == 0 && is_all);
    let worth = classes.filter(|(rank, class)| is_worth_it(*rank, class.score)).map(|(_, class)| class);
    // The same words however sure it is: what many pictures show is told once.
    let classified = worth.map(|class| (format!("{LIKENESS}{}", class.label), Some(class.score)));
    described.chain(read).chain(classified).collect()
}

fn told(model: &Name, attachment: usize, reply: AttachmentReply) -> Vec<Evidence> {
    let evidence = |text| Evidence {
        attachment,
        modality: Modality::Text,
        model: model.clone(),
        t0_ms: None,
        t1_ms: None,
        text,
        confidence: None,
        status: LegStatus::Ok,
    };
    reply.text.into_iter().map(evidence).collect()
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{Classified, Read};

    use super::*;

    #[test]
    fn of_a_picture_the_text_and_the_likely_classes_are_evidence() {
        let class = |(label, score): (&str, f32)| Classified { label: label.into(), score };
        let see = |read: &[&str], classes: &[(&str, f32)]| {
            let line = |text: &&str| Read { text: (*text).into(), corners: [[0.0; 2]; 4], score: 0.9 };
            let seen = Seen {
                read: Some(read.iter().map(line).collect()),
                classify: Some(classes.iter().copied().map(class).collect()),
                ..Seen::default()
            };
            let evidence =
                seen_by(&Name::new("vision").unwrap(), 0, &SeeReply { results: vec![seen], ..SeeReply::default() });
            evidence.into_iter().map(|item| item.text).collect::<Vec<_>>()
        };
        assert_eq!(
            see(&["BERTH 42"], &[("cat", 0.6), ("lynx", 0.2), ("sofa", 0.02)]),
            ["text: BERTH 42", "looks like: cat", "looks like: lynx"]
        );
        assert_eq!(see(&["OPEN"], &[("envelope", 0.04)]), ["text: OPEN"]);
        assert_eq!(see(&[], &[("barbell", 0.04), ("racket", 0.03)]), ["looks like: barbell"]);
    }
}
