//! How far is it? Bars on a terminal, else a line every few seconds, JSON lines, silence, or whatever a caller does.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

const BAR: &str = "{msg:.bold}  {prefix:8} {bar:24.cyan}  {percent:>3}%  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta}";

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes arrive.
    Download,
    /// A script makes the file out of what arrived.
    Prepare,
    /// The checksum is computed.
    Verify,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Prepare => "prepare",
            Self::Verify => "verify",
        }
    }
}

/// A sign of progress: also a JSON line of [`Reporter::json`] and of `pull.py --progress json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// The artefact, or the hub file.
    pub name: String,
    /// What happens to it.
    pub stage: Stage,
    /// Bytes done; the first event of a resumed download has what an earlier run brought.
    pub done: u64,
    /// Bytes in all; 0 if nobody knows.
    pub total: u64,
}

/// Where progress is shown. Clones show it in the same place.
#[derive(Clone)]
pub struct Reporter {
    style: Style,
}

#[derive(Clone)]
enum Style {
    Bars(MultiProgress),
    Lines,
    Json,
    Events(Arc<dyn Fn(&Event) + Send + Sync>),
}

impl Reporter {
    /// Bars if standard error is a terminal, else lines. All reporters made so share one place on the screen.
    #[must_use]
    pub fn auto() -> Self {
        static SCREEN: LazyLock<MultiProgress> =
            LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        if io::stderr().is_terminal() {
            return Self::bars(SCREEN.clone());
        }
        Self { style: Style::Lines }
    }

    /// Bars among the caller's own, which may then print between them with [`MultiProgress::suspend`].
    #[must_use]
    pub fn bars(place: MultiProgress) -> Self {
        Self { style: Style::Bars(place) }
    }

    /// JSON lines on standard output, one [`Event`] each, at most five a second.
    #[must_use]
    pub fn json() -> Self {
        Self { style: Style::Json }
    }

    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::events(|_| ())
    }

    /// Hands every event, unthrottled, to `listener`, which must return fast: the transfer waits for it.
    #[must_use]
    pub fn events(listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self { style: Style::Events(Arc::new(listener)) }
    }

    /// Says something in between.
    pub(super) fn note(&self, text: &str) {
        match &self.style {
            Style::Bars(place) => drop(place.println(text)),
            Style::Lines | Style::Json => write_line(io::stderr(), text),
            Style::Events(_) => {}
        }
    }

    /// Begins a stage. The meter's drop ends it where it is.
    pub(super) fn meter(&self, name: &str, stage: Stage, total: u64) -> Meter {
        let bar = match &self.style {
            Style::Bars(place) => Some(place.add(bar(name, stage, total))),
            _ => None,
        };
        let every = match &self.style {
            Style::Lines => Duration::from_secs(5),
            Style::Json => Duration::from_millis(200),
            Style::Bars(_) | Style::Events(_) => Duration::ZERO,
        };
        let now = Instant::now();
        Meter {
            style: self.style.clone(),
            bar,
            every,
            name: name.to_owned(),
            stage,
            total,
            state: Mutex::new(State { first: None, started: now, shown: now }),
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = match self.style {
            Style::Bars(_) => "bars",
            Style::Lines => "lines",
            Style::Json => "json",
            Style::Events(_) => "events",
        };
        formatter.debug_tuple("Reporter").field(&style).finish()
    }
}

/// One stage of one file.
pub(super) struct Meter {
    style: Style,
    bar: Option<ProgressBar>,
    every: Duration,
    name: String,
    stage: Stage,
    total: u64,
    state: Mutex<State>,
}

struct State {
    first: Option<u64>,
    started: Instant,
    shown: Instant,
}

impl Meter {
    /// Reports that `done` bytes are there, of which those of the first call came from an earlier run.
    pub(super) fn at(&self, done: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.first.is_none() {
            state.first = Some(done);
            if let Some(bar) = &self.bar {
                bar.set_position(done);
                bar.reset_eta();
            }
        }
        if state.shown.elapsed() >= self.every {
            state.shown = Instant::now();
            self.show(done, &state);
        }
    }

    /// Ends the stage: everything is there.
    pub(super) fn finish(self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(self.total, &state);
        let Some(bar) = &self.bar else { return };
        match self.stage {
            Stage::Download => bar.finish(),
            Stage::Prepare | Stage::Verify => bar.finish_and_clear(),
        }
    }

    pub(super) fn belongs_to(&self, event: &Event) -> bool {
        self.name == event.name && self.stage == event.stage && self.total == event.total
    }

    fn show(&self, done: u64, state: &State) {
        let event = || Event { name: self.name.clone(), stage: self.stage, done, total: self.total };
        match &self.style {
            Style::Bars(_) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(done);
                }
            }
            Style::Lines => write_line(io::stderr(), &self.line(done, state)),
            Style::Json => {
                if let Ok(line) = serde_json::to_string(&event()) {
                    write_line(io::stdout(), &line);
                }
            }
            Style::Events(listener) => listener(&event()),
        }
    }

    fn line(&self, done: u64, state: &State) -> String {
        let seconds = state.started.elapsed().as_secs_f64().max(0.1);
        let speed = done.saturating_sub(state.first.unwrap_or(0)) as f64 / seconds;
        let percent = (done * 100).checked_div(self.total).unwrap_or(0).min(100);
        format!(
            "{}: {} {percent:>3}%  {} of {}  {}/s",
            self.name,
            self.stage.word(),
            DecimalBytes(done),
            DecimalBytes(self.total),
            DecimalBytes(speed as u64),
        )
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| !bar.is_finished()) {
            bar.abandon();
        }
    }
}

fn bar(name: &str, stage: Stage, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total)
        .with_style(style.progress_chars("█▓░"))
        .with_message(name.to_owned())
        .with_prefix(stage.word())
}

/// Like `println!`, but a reader who has gone is no reason to panic.
fn write_line(mut place: impl Write, text: &str) {
    let _ = writeln!(place, "{text}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_bar_has_the_style_it_is_meant_to_have() {
        ProgressStyle::with_template(BAR).unwrap();
    }

    #[test]
    fn a_line_tells_share_size_and_speed() {
        let meter = Reporter { style: Style::Lines }.meter("tiny", Stage::Download, 2_000_000);
        let state = State { first: Some(500_000), started: Instant::now(), shown: Instant::now() };
        let line = meter.line(1_000_000, &state);
        assert_eq!(line, "tiny: download  50%  1.00 MB of 2.00 MB  5.00 MB/s");
    }
}
