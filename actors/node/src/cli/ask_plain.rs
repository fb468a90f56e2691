//! What is written while the brain thinks, where there is no terminal? Whole lines, each saying who speaks.

use std::collections::BTreeMap;
use std::io;

use megabrain_schemas::{AskFrame, Name};

use crate::cli::ask_live::{leg_line, mark_of, outcome};
use crate::cli::format::wrap;

/// Text of one model is written once there is so much of it, or a line ends.
const LINE: usize = 96;

/// A view as lines.
pub(crate) struct PlainView<W> {
    titles: Vec<String>,
    pending: BTreeMap<Name, String>,
    write: W,
}

impl<W: FnMut(String) -> io::Result<()>> PlainView<W> {
    pub(crate) fn new(titles: &[String], write: W) -> Self {
        Self { titles: titles.to_vec(), pending: BTreeMap::new(), write }
    }

    /// Writes what there is to say of a frame.
    ///
    /// # Errors
    /// As `write`.
    pub(crate) fn note(&mut self, frame: &AskFrame) -> io::Result<()> {
        if let Some(leg) = &frame.leg {
            let what = leg_line(leg, &self.titles);
            match leg.status {
                None => (self.write)(format!("… {what}"))?,
                Some(status) => {
                    if let Some(model) = &leg.model {
                        self.flush(model)?;
                    }
                    (self.write)(format!("{} {what}  {}", mark_of(status), outcome(leg)))?;
                }
            }
        }
        match (&frame.delta, &frame.model) {
            (Some(delta), Some(model)) => self.delta(model, delta),
            _ => Ok(()),
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As `write`.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let models: Vec<Name> = self.pending.keys().cloned().collect();
        models.iter().try_for_each(|model| self.flush(model))
    }

    fn delta(&mut self, model: &Name, delta: &str) -> io::Result<()> {
        let text = self.pending.entry(model.clone()).or_default();
        text.push_str(delta);
        let mut lines = wrap(text, LINE);
        // The last line may go on, unless it has been ended.
        *text = if text.ends_with('\n') { String::new() } else { trailing(text, lines.pop()) };
        lines.into_iter().try_for_each(|line| (self.write)(format!("{model} | {line}")))
    }

    fn flush(&mut self, model: &Name) -> io::Result<()> {
        let text = self.pending.remove(model).unwrap_or_default();
        wrap(&text, LINE).into_iter().try_for_each(|line| (self.write)(format!("{model} | {line}")))
    }
}

/// The line that is not finished, with the blanks at its end, which a wrapped line has lost.
fn trailing(text: &str, last: Option<String>) -> String {
    let blanks = text.len() - text.trim_end_matches(' ').len();
    format!("{}{}", last.unwrap_or_default(), " ".repeat(blanks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(model: &str, delta: &str) -> AskFrame {
        AskFrame { delta: Some(delta.into()), model: Some(Name::new(model).unwrap()), ..AskFrame::default() }
    }

    #[test]
    fn two_models_that_speak_at_once_stay_readable() {
        let mut lines = Vec::new();
        let mut view = PlainView::new(&[], |line| {
            lines.push(line);
            Ok(())
        });
        for frame in [
            delta("fast", "The an"),
            delta("deep", "It"),
            delta("fast", "swer\nis"),
            delta("deep", " "),
            delta("deep", "is so."),
            delta("fast", " 42."),
        ] {
            view.note(&frame).unwrap();
        }
        view.finish().unwrap();
        assert_eq!(lines, ["fast | The answer", "deep | It is so.", "fast | is 42."]);
    }
}
