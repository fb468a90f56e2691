//! What does a person see while the brain thinks? One line per leg, and a block of text per model that answers.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use megabrain_schemas::{AskFrame, Evidence, LegReport, LegStatus, Name};

use crate::cli::{format, output};

const TICK: Duration = Duration::from_millis(100);
/// A block of text has at least so many lines, whatever else is on the screen.
const FEWEST_LINES: usize = 3;
/// The widest text that reads well.
const WIDEST: usize = 100;

/// A view on a terminal that changes in place. Dropping it clears it.
pub(crate) struct LiveView {
    bars: MultiProgress,
    legs: BTreeMap<String, ProgressBar>,
    blocks: Vec<Block>,
    titles: Vec<String>,
}

/// What one model has said so far. Its last lines are shown: the whole follows when it is done.
struct Block {
    model: Name,
    text: String,
    bar: ProgressBar,
}

impl LiveView {
    /// A view of a question with these attachments.
    pub(crate) fn new(titles: &[String]) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self { bars, legs: BTreeMap::new(), blocks: Vec::new(), titles: titles.to_vec() }
    }

    pub(crate) fn note(&mut self, frame: &AskFrame) {
        if let Some(leg) = &frame.leg {
            self.leg(leg);
        }
        if let Some(evidence) = &frame.evidence {
            self.evidence(evidence);
        }
        if let Some(delta) = &frame.delta {
            let model = frame.model.clone().unwrap_or_else(|| Name::sanitized("answer"));
            self.delta(&model, delta);
        }
    }

    fn leg(&mut self, report: &LegReport) {
        let what = leg_line(report, &self.titles);
        match report.status {
            None => {
                // Legs stand above the blocks, in the order in which they began.
                let bar = self.bars.insert(self.legs.len(), ProgressBar::new_spinner());
                bar.set_style(style("{spinner:.cyan} {msg} {elapsed:.dim}"));
                bar.set_message(what);
                bar.enable_steady_tick(TICK);
                self.legs.insert(report.leg.clone(), bar);
            }
            Some(status) => {
                let Some(bar) = self.legs.get(&report.leg) else { return };
                let mark = if status == LegStatus::Ok { "{msg:.green}" } else { "{msg:.red}" };
                bar.set_style(style(mark));
                bar.finish_with_message(clip(&format!("{} {what}  {}", mark_of(status), outcome(report))));
            }
        }
    }

    fn evidence(&mut self, evidence: &Evidence) {
        let Some(bar) = self.legs.get(&evidence.attachment.to_string()) else { return };
        let text = format::harmless(&evidence.text).replace('\n', " ");
        bar.set_message(clip(&format!("{} \"{}\"", evidence.model, text.trim())));
    }

    fn delta(&mut self, model: &Name, delta: &str) {
        if !self.blocks.iter().any(|block| block.model == *model) {
            let bar = self.bars.add(ProgressBar::new_spinner());
            bar.set_style(style("{msg}"));
            self.blocks.push(Block { model: model.clone(), text: String::new(), bar });
        }
        let room = self.lines_per_block();
        for block in self.blocks.iter_mut().filter(|block| block.model == *model) {
            block.text.push_str(delta);
            block.draw(room);
        }
    }

    fn lines_per_block(&self) -> usize {
        let (_, height) = output::terminal().unwrap_or((80, 24));
        let blocks = self.blocks.len().max(1);
        // One line for the cursor; a block has a heading and a blank line.
        let free = height.saturating_sub(self.legs.len() + 1 + 2 * blocks);
        (free / blocks).max(FEWEST_LINES)
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        for bar in self.legs.values().chain(self.blocks.iter().map(|block| &block.bar)) {
            bar.finish_and_clear();
        }
        // A terminal that has gone needs no clearing.
        let _ = self.bars.clear();
    }
}

impl Block {
    fn draw(&self, room: usize) {
        let width = output::width().unwrap_or(80).min(WIDEST).saturating_sub(4);
        let lines = format::wrap(&self.text, width);
        let hidden = lines.len().saturating_sub(room);
        let more = if hidden > 0 { format!("  ({hidden} lines above)") } else { String::new() };
        let mut shown = format!("\n{}{more}", self.model);
        for line in lines.iter().skip(hidden) {
            shown.push_str("\n  │ ");
            shown.push_str(line);
        }
        self.bar.set_message(shown);
    }
}

/// `whisper hears talk.mp3`: which actor works on what.
pub(crate) fn leg_line(report: &LegReport, titles: &[String]) -> String {
    let capability = report.subject.split('.').nth(2).unwrap_or("work");
    let model = report.model.as_ref().map_or("somebody", Name::as_str);
    let attachment = report.leg.split('.').next().and_then(|index| index.parse::<usize>().ok());
    let title = attachment.and_then(|index| titles.get(index)).map_or("the attachment", String::as_str);
    let title = match report.leg.split_once('.') {
        Some((_, part)) if part.parse::<usize>().is_ok() => format!("part {part} of {title}"),
        _ => title.to_owned(),
    };
    match capability {
        "chat" => format!("{model} answers"),
        "transcribe" => format!("{model} hears {title}"),
        "see" => format!("{model} looks at {title}"),
        "split" => format!("{model} takes {title} apart"),
        other => format!("{model} works on {title} ({other})"),
    }
}

/// `870 ms`, or why it failed.
pub(crate) fn outcome(report: &LegReport) -> String {
    let took = format::took(report.took_ms);
    let queued = report
        .queued_ms
        .filter(|queued| *queued >= 1.0)
        .map(|queued| format!(", {} of it queued", format::took(queued)));
    match &report.error {
        Some(error) => format!("{took}: {}", format::harmless(&error.to_string())),
        None if let Some(note) = &report.note => format!("{took}: {}", format::harmless(note)),
        None => format!("{took}{}", queued.unwrap_or_default()),
    }
}

pub(crate) fn mark_of(status: LegStatus) -> &'static str {
    if status == LegStatus::Ok { "✓" } else { "✗" }
}

/// One line of the terminal.
fn clip(text: &str) -> String {
    let width = output::width().unwrap_or(80).saturating_sub(10);
    text.chars().take(width).collect()
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; a wrong one shows as a plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Fault;

    use super::*;

    fn report(leg: &str, subject: &str) -> LegReport {
        LegReport {
            leg: leg.into(),
            subject: subject.into(),
            model: Some(Name::new("whisper").unwrap()),
            status: None,
            queued_ms: None,
            took_ms: 870.0,
            note: None,
            error: None,
        }
    }

    #[test]
    fn a_leg_says_which_actor_works_on_what() {
        let titles = ["talk.mp3".to_owned()];
        assert_eq!(leg_line(&report("0", "mb.v1.transcribe.whisper"), &titles), "whisper hears talk.mp3");
        assert_eq!(leg_line(&report("1", "mb.v1.chat.fast"), &titles), "whisper answers");
        assert_eq!(leg_line(&report("7", "mb.v1.see.vision"), &titles), "whisper looks at the attachment");
        assert_eq!(leg_line(&report("0.3", "mb.v1.see.vision"), &titles), "whisper looks at part 3 of talk.mp3");
    }

    #[test]
    fn a_leg_says_what_it_took_and_why_it_failed() {
        let good = LegReport { queued_ms: Some(12.0), ..report("0", "x") };
        assert_eq!(outcome(&good), "870 ms, 12 ms of it queued");
        let bad = LegReport { error: Some(Fault::engine("no sound")), ..report("0", "x") };
        assert_eq!(outcome(&bad), "870 ms: engine: no sound");
    }
}
