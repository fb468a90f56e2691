//! What was found, on one clock, and how is it put to a model?

use std::fmt::Write as _;

use megabrain_schemas::{AttachmentReply, Evidence, Fault, Modality, Name, SeeReply, Seen, TranscribeReply};

use crate::plan::PlannedLeg;

/// Reads a leg's answer as evidence about attachment number `attachment`.
///
/// # Errors
/// `engine` if the answer is not what its capability promises.
pub(crate) fn read(leg: &PlannedLeg, attachment: usize, body: &[u8]) -> Result<Vec<Evidence>, Fault> {
    let mut found = match leg.capability.as_str() {
        "transcribe" => heard(&leg.model, attachment, leg.read(body)?),
        "see" => seen(&leg.model, attachment, &leg.read(body)?),
        _ => told(&leg.model, attachment, leg.read(body)?),
    };
    if let Some(at_ms) = leg.at_ms {
        found.iter_mut().for_each(|item| shift(item, at_ms));
    }
    Ok(found)
}

/// Puts what was found in a part of a film on the film's clock.
fn shift(item: &mut Evidence, at_ms: f64) {
    item.t0_ms = Some(item.t0_ms.unwrap_or(0.0) + at_ms);
    item.t1_ms = item.t1_ms.map(|t1| t1 + at_ms);
}

fn heard(model: &Name, attachment: usize, reply: TranscribeReply) -> Vec<Evidence> {
    let segment = |segment: megabrain_schemas::Segment| Evidence {
        attachment,
        modality: Modality::Audio,
        model: model.clone(),
        t0_ms: Some(segment.t0_ms),
        t1_ms: Some(segment.t1_ms),
        text: segment.text.trim().to_owned(),
        confidence: segment.confidence,
    };
    reply.segments.into_iter().map(segment).collect()
}

fn seen(model: &Name, attachment: usize, reply: &SeeReply) -> Vec<Evidence> {
    let timeless = |(text, confidence): (String, Option<f32>)| Evidence {
        attachment,
        modality: Modality::Image,
        model: model.clone(),
        t0_ms: None,
        t1_ms: None,
        text,
        confidence,
    };
    reply.results.iter().flat_map(findings).map(timeless).collect()
}

fn findings(seen: &Seen) -> Vec<(String, Option<f32>)> {
    let described = seen.describe.iter().map(|description| (description.text.clone(), None));
    let read = seen.read.iter().flatten().map(|line| (format!("text: {}", line.text), Some(line.score)));
    let classified = seen.classify.iter().flatten().take(3).map(|class| (class.label.clone(), Some(class.score)));
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
    };
    reply.text.into_iter().map(evidence).collect()
}

/// What is put to a model: the question with the evidence; without a written question, what was heard is the question.
pub(crate) fn prompt<'e>(question: Option<&str>, evidence: impl Iterator<Item = &'e Evidence>) -> String {
    let mut evidence = evidence.peekable();
    let Some(question) = question else { return evidence.map(|item| item.text.as_str()).collect::<Vec<_>>().join(" ") };
    if evidence.peek().is_none() {
        return question.to_owned();
    }
    let mut prompt = String::from("Here is what was found in the attachments.\n");
    for item in evidence {
        let kind = match item.modality {
            Modality::Audio => "heard",
            Modality::Image => "seen",
            Modality::Text => "read",
        };
        // Writing to a String does not fail.
        let _ = match (item.t0_ms, item.t1_ms) {
            (Some(from), Some(to)) => {
                writeln!(
                    prompt,
                    "[{kind}, attachment {}, {} to {}] {}",
                    item.attachment,
                    clock(from),
                    clock(to),
                    item.text
                )
            }
            _ => writeln!(prompt, "[{kind}, attachment {}] {}", item.attachment, item.text),
        };
    }
    let _ = write!(prompt, "\n{question}");
    prompt
}

fn clock(milliseconds: f64) -> String {
    let tenths = (milliseconds.max(0.0) / 100.0).round() as u64;
    let (minutes, seconds) = (tenths / 600, tenths % 600);
    format!("{minutes:02}:{:02}.{}", seconds / 10, seconds % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(attachment: usize, t0: Option<f64>, text: &str) -> Evidence {
        Evidence {
            attachment,
            modality: Modality::Audio,
            model: Name::new("whisper").unwrap(),
            t0_ms: t0,
            t1_ms: t0.map(|t0| t0 + 500.0),
            text: text.into(),
            confidence: None,
        }
    }

    #[test]
    fn without_a_written_question_what_was_heard_is_the_question() {
        let all = [item(0, Some(10.0), "a"), item(0, Some(900.0), "b"), item(1, Some(0.0), "c")];
        assert_eq!(prompt(None, all.iter()), "a b c");
    }

    #[test]
    fn a_minute_is_never_sixty_seconds() {
        assert_eq!([clock(0.0), clock(59_960.0), clock(61_500.0)], ["00:00.0", "01:00.0", "01:01.5"]);
    }

    #[test]
    fn a_written_question_comes_after_the_evidence() {
        let text = prompt(Some("Who?"), [item(0, Some(61_500.0), "hello")].iter());
        assert!(text.contains("[heard, attachment 0, 01:01.5 to 01:02.0] hello"), "{text}");
        assert!(text.ends_with("Who?"));
    }
}
