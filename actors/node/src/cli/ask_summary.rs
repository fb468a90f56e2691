//! What is left on the screen when the brain has answered? Answers, evidence, and what each leg took.

use megabrain_schemas::{Answer, AskReply, Evidence, FinishReason, LegReport, LegStatus, Modality, Name};

use crate::cli::ask_live::mark_of;
use crate::cli::table::Table;
use crate::cli::{format, output};

/// The widest text that reads well.
const WIDEST: usize = 100;

/// Writes the summary; without the answers, if these have been written as they came.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(reply: &AskReply, titles: &[String], answers_shown: bool) -> std::io::Result<()> {
    let width = output::width();
    if !answers_shown {
        for answer in &reply.answers {
            output::line(format!("{}\n", answer_block(answer, width)))?;
        }
    }
    if reply.answers.is_empty() && reply.evidence.is_empty() {
        output::line(format!("{}\n", format::harmless(&reply.text)))?;
    }
    let evidence = evidence_table(&reply.evidence, &reply.left_out, titles);
    if !evidence.is_empty() {
        output::line(format!("{}{}\n", if answers_shown { "\n" } else { "" }, evidence.render(width)))?;
    } else if answers_shown {
        output::line("")?;
    }
    let legs = leg_table(&reply.legs);
    if !legs.is_empty() {
        output::line(legs.render(width))?;
    }
    let work = reply.work.as_ref().map(|work| format!(", work {work}")).unwrap_or_default();
    output::line(format!("took {}{work}", format::took(reply.took_ms)))
}

fn answer_block(answer: &Answer, width: Option<usize>) -> String {
    let Answer { model, text, finish_reason, usage, took_ms } = answer;
    let cut = if *finish_reason == FinishReason::Length { ", cut off at max_tokens" } else { "" };
    let mut block = format!("{model}  ({} tokens in {}{cut})", usage.completion_tokens, format::took(*took_ms));
    let lines = match width {
        Some(width) => format::wrap(text.trim(), width.min(WIDEST).saturating_sub(2)),
        None => format::harmless(text.trim()).lines().map(str::to_owned).collect(),
    };
    for line in lines {
        block.push_str("\n  ");
        block.push_str(&line);
    }
    block
}

/// What was found; `left_out` are the numbers of what the model had no room for.
fn evidence_table(evidence: &[Evidence], left_out: &[usize], titles: &[String]) -> Table {
    let columns = ["attachment", "time", "modality", "model", "#confidence", "leg", "model read it", "evidence"];
    let mut table = Table::new(&columns);
    for (number, item) in evidence.iter().enumerate() {
        let title = titles.get(item.attachment).cloned().unwrap_or_else(|| item.attachment.to_string());
        let modality = match item.modality {
            Modality::Audio => "audio",
            Modality::Image => "image",
            Modality::Text => "text",
        };
        table.row([
            if titles.len() > 1 { title } else { String::new() },
            format::span(item.t0_ms, item.t1_ms),
            modality.to_owned(),
            item.model.to_string(),
            item.confidence.map(|confidence| format!("{confidence:.2}")).unwrap_or_default(),
            if item.status == LegStatus::Ok { String::new() } else { item.status.as_str().to_owned() },
            if left_out.contains(&number) { "no room".to_owned() } else { String::new() },
            item.text.trim().to_owned(),
        ]);
    }
    table
}

fn leg_table(legs: &[LegReport]) -> Table {
    let mut table = Table::new(&["leg", "subject", "model", "status", "#queued", "#took", "note"]);
    for leg in legs {
        table.row([
            leg.leg.clone(),
            leg.subject.clone(),
            leg.model.as_ref().map(Name::to_string).unwrap_or_default(),
            leg.status.map(|status| format!("{} {}", mark_of(status), status.as_str())).unwrap_or_default(),
            leg.queued_ms.map(format::took).unwrap_or_default(),
            format::took(leg.took_ms),
            leg.error.as_ref().map(ToString::to_string).or(leg.note.clone()).unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Usage;

    use super::*;

    fn whisper() -> Name {
        Name::new("whisper").unwrap()
    }

    #[test]
    fn the_evidence_is_a_table() {
        let heard = Evidence {
            attachment: 0,
            modality: Modality::Audio,
            model: whisper(),
            t0_ms: Some(0.0),
            t1_ms: Some(10_990.0),
            text: " And so. ".into(),
            confidence: Some(0.943),
            status: LegStatus::Ok,
        };
        let expected = "time             modality  model    confidence  evidence\n\
                        00:00.0-00:11.0  audio     whisper        0.94  And so.";
        let titles = ["talk.mp3".to_owned()];
        assert_eq!(evidence_table(std::slice::from_ref(&heard), &[], &titles).render(None), expected);
        let expected = "time             modality  model    confidence  model read it  evidence\n\
                        00:00.0-00:11.0  audio     whisper        0.94  no room        And so.";
        assert_eq!(evidence_table(&[heard], &[0], &titles).render(None), expected);
    }

    #[test]
    fn the_legs_are_a_table() {
        let leg = LegReport {
            leg: "0".into(),
            subject: "mb.v1.transcribe.whisper".into(),
            model: Some(whisper()),
            status: Some(LegStatus::Ok),
            queued_ms: Some(1.0),
            took_ms: 870.0,
            note: None,
            error: None,
        };
        let expected = "leg  subject                   model    status  queued    took\n\
                        0    mb.v1.transcribe.whisper  whisper  ✓ ok    1.0 ms  870 ms";
        assert_eq!(leg_table(&[leg]).render(None), expected);
    }

    #[test]
    fn an_answer_is_wrapped_under_the_name_of_its_model() {
        let answer = Answer {
            model: Name::new("fast").unwrap(),
            text: "one two three".into(),
            finish_reason: FinishReason::Length,
            usage: Usage { prompt_tokens: 9, completion_tokens: 3 },
            took_ms: 85.0,
        };
        let expected = "fast  (3 tokens in 85 ms, cut off at max_tokens)\n  one two\n  three";
        assert_eq!(answer_block(&answer, Some(10)), expected);
    }
}
