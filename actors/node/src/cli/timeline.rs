//! What was heard while what was shown? The evidence of an answer as a picture that any browser opens.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use megabrain_schemas::{Evidence, Modality};
use svg::Document;
use svg::node::element::{Group, Line, Rectangle, SVG, Style, Text, Title};

use crate::cli::{format, output};

/// All lengths are in pixels of a picture that scales.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 16.0;
const NAMES: f64 = 190.0;
const BAR: f64 = 26.0;
const GAP: f64 = 4.0;
const AXIS: f64 = 34.0;
/// About what a letter takes: what does not fit into a bar is cut there, and whole when pointed at.
const LETTER: f64 = 7.0;
/// The axis has so many marks at most.
const MOST_MARKS: f64 = 12.0;
/// Milliseconds between two marks: the first of these that makes few enough.
const STEPS: [f64; 14] = [100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1800e3];

/// Readable on paper, on a light screen and on a dark one.
const LOOK: &str = "\
    svg { font: 13px system-ui, sans-serif; background: #fff; }\
    text { fill: #1b1f24; } .mark { fill: #57606a; font-size: 11px; } .axis { stroke: #d0d7de; }\
    .audio rect { fill: #cfe8ff; stroke: #5b9bd5; } .image rect { fill: #ffe3b8; stroke: #d29a3a; }\
    .text rect { fill: #d7f0d2; stroke: #6cae5f; } .whole rect { stroke-dasharray: 5 3; }\
    @media (prefers-color-scheme: dark) {\
    svg { background: #0d1117; } text { fill: #e6edf3; } .mark { fill: #8b949e; } .axis { stroke: #30363d; }\
    .audio rect { fill: #10304d; } .image rect { fill: #47330e; } .text rect { fill: #173d17; } }";

/// Who found something of one kind in one attachment: a lane of the picture.
type Lane = (usize, u8, String);

/// Writes the picture, and says where it is.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, evidence: &[Evidence], titles: &[String]) -> anyhow::Result<()> {
    std::fs::write(path, draw(evidence, titles)).with_context(|| format!("the timeline {}", path.display()))?;
    Ok(output::line(format!("timeline: {}", path.display()))?)
}

/// Draws the evidence over time: a lane for each attachment and model, a bar for each finding. What has no time is as
/// wide as the picture and dashed.
fn draw(evidence: &[Evidence], titles: &[String]) -> String {
    let mut lanes: BTreeMap<Lane, Vec<&Evidence>> = BTreeMap::new();
    for item in evidence {
        lanes.entry((item.attachment, rank(item.modality), item.model.to_string())).or_default().push(item);
    }
    let end = evidence.iter().filter_map(|item| item.t1_ms.or(item.t0_ms)).fold(0.0, f64::max);
    let scale = Scale { end: if end > 0.0 { end } else { 1.0 } };
    let mut y = MARGIN + AXIS;
    let mut drawn = Group::new();
    for ((attachment, _, model), items) in &lanes {
        let (rows, deepest) = rows(items);
        let name = match titles.get(*attachment) {
            Some(title) if titles.len() > 1 => format!("{title}: {model}"),
            _ => model.clone(),
        };
        drawn = drawn.add(text(&fitting(&format::harmless(&name), NAMES), MARGIN, y + BAR * 0.67));
        for (item, row) in items.iter().zip(rows) {
            drawn = drawn.add(bar(item, &scale, y + row as f64 * (BAR + GAP)));
        }
        y += (deepest + 1) as f64 * (BAR + GAP) + 2.0 * GAP;
    }
    let height = y + MARGIN;
    let axis = if end > 0.0 { marks(&scale, height) } else { Group::new() };
    let picture: SVG = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("role", "img")
        .add(Title::new("What was heard and seen when"))
        .add(Style::new(LOOK))
        .add(axis)
        .add(drawn);
    picture.to_string()
}

/// From milliseconds to pixels.
struct Scale {
    end: f64,
}

impl Scale {
    fn x(&self, milliseconds: f64) -> f64 {
        let (left, right) = (MARGIN + NAMES, WIDTH - MARGIN);
        left + (milliseconds / self.end).clamp(0.0, 1.0) * (right - left)
    }
}

/// What is heard stands above what is seen, and that above what is read.
fn rank(modality: Modality) -> u8 {
    match modality {
        Modality::Audio => 0,
        Modality::Image => 1,
        Modality::Text => 2,
    }
}

/// The row of each item, so that no two of a row overlap in time; and the last row.
fn rows(items: &[&Evidence]) -> (Vec<usize>, usize) {
    let mut ends: Vec<f64> = Vec::new();
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let (from, to) = match (item.t0_ms, item.t1_ms) {
            (Some(from), to) => (from, to.unwrap_or(from)),
            (None, _) => (0.0, f64::INFINITY),
        };
        let free = ends.iter().position(|end| *end <= from).unwrap_or(ends.len());
        match ends.get_mut(free) {
            Some(end) => *end = to,
            None => ends.push(to),
        }
        rows.push(free);
    }
    (rows, ends.len().saturating_sub(1))
}

fn bar(item: &Evidence, scale: &Scale, y: f64) -> Group {
    let kind = match item.modality {
        Modality::Audio => "audio",
        Modality::Image => "image",
        Modality::Text => "text",
    };
    let timed = item.t0_ms.map(|from| (scale.x(from), scale.x(item.t1_ms.unwrap_or(from))));
    let (left, right) = timed.unwrap_or((scale.x(0.0), scale.x(scale.end)));
    let width = (right - left).max(3.0);
    let words = format::harmless(item.text.trim()).replace('\n', " ");
    let when = format::span(item.t0_ms, item.t1_ms);
    let sure = item.confidence.map(|confidence| format!(" ({confidence:.2})")).unwrap_or_default();
    let class = if timed.is_some() { kind.to_owned() } else { format!("{kind} whole") };
    // The surer, the fuller.
    let fill = f64::from(item.confidence.unwrap_or(1.0).clamp(0.0, 1.0)).mul_add(0.8, 0.2);
    let shape = Rectangle::new().set("x", left).set("y", y).set("width", width).set("height", BAR).set("rx", 4);
    let shape = shape.set("fill-opacity", (fill * 100.0).round() / 100.0);
    // An inner picture hides what is wider than itself.
    let inner = SVG::new().set("x", left).set("y", y).set("width", (width - 4.0).max(0.0)).set("height", BAR);
    let words_of_bar = inner.add(text(&fitting(&words, width - 8.0), 5.0, BAR * 0.67));
    let pointed_at = Title::new(format!("{when} {words}{sure}").trim());
    Group::new().set("class", class).add(pointed_at).add(shape).add(words_of_bar)
}

fn marks(scale: &Scale, height: f64) -> Group {
    let step = STEPS.into_iter().find(|step| scale.end / step <= MOST_MARKS).unwrap_or(scale.end / MOST_MARKS);
    let times = (0..).map(|number| f64::from(number) * step).take_while(|time| *time <= scale.end);
    times.fold(Group::new(), |group, time| {
        let x = scale.x(time);
        let line = Line::new().set("class", "axis").set("x1", x).set("x2", x);
        let line = line.set("y1", MARGIN + AXIS - 10.0).set("y2", height - MARGIN);
        // The last one must not stand out over the edge.
        let anchor = if x > WIDTH - 3.0 * MARGIN { "end" } else { "middle" };
        let label = text(&format::clock(time), x, MARGIN + 14.0).set("class", "mark").set("text-anchor", anchor);
        group.add(line).add(label)
    })
}

fn text(words: &str, x: f64, y: f64) -> Text {
    Text::new(words).set("x", x).set("y", y)
}

/// As much of a text as has room in so many pixels.
fn fitting(words: &str, width: f64) -> String {
    let room = (width / LETTER).max(0.0) as usize;
    if words.chars().count() <= room {
        return words.to_owned();
    }
    match room {
        0..=2 => String::new(),
        _ => words.chars().take(room - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{LegStatus, Name};

    use super::*;

    fn item(modality: Modality, model: &str, times: Option<(f64, f64)>, text: &str) -> Evidence {
        Evidence {
            attachment: 0,
            modality,
            model: Name::sanitized(model),
            t0_ms: times.map(|(from, _)| from),
            t1_ms: times.map(|(_, to)| to),
            text: text.into(),
            confidence: Some(0.5),
            status: LegStatus::Ok,
        }
    }

    #[test]
    fn what_overlaps_has_rows_of_its_own_and_what_follows_shares_one() {
        let all = [
            item(Modality::Image, "vision", Some((0.0, 4000.0)), "cat"),
            item(Modality::Image, "vision", Some((2000.0, 3000.0)), "sofa"),
            item(Modality::Image, "vision", Some((4000.0, 5000.0)), "dog"),
            item(Modality::Image, "vision", None, "always"),
        ];
        assert_eq!(rows(&all.iter().collect::<Vec<_>>()), (vec![0, 1, 0, 2], 2));
    }

    #[test]
    fn bars_lie_where_their_times_are_and_carry_their_words() {
        let all = [
            item(Modality::Audio, "whisper", Some((0.0, 12_000.0)), "look at <her> & \u{1b}him"),
            item(Modality::Image, "vision", Some((12_000.0, 24_000.0)), "cat"),
        ];
        let drawn = draw(&all, &["film.mp4".into()]);
        let middle = (MARGIN + NAMES + WIDTH - MARGIN) / 2.0;
        assert!(drawn.contains(&format!("x=\"{middle}\"")), "{drawn}");
        assert!(drawn.contains("00:12.0-00:24.0 cat (0.50)"), "{drawn}");
        assert!(drawn.contains("look at &lt;her&gt; &amp; \u{fffd}him"), "{drawn}");
        assert!(!drawn.contains('\u{1b}') && drawn.contains("\n00:10.0\n"), "{drawn}");
    }

    #[test]
    fn an_answer_without_a_clock_has_no_axis() {
        let drawn = draw(&[item(Modality::Image, "vision", None, "cat")], &[]);
        assert!(drawn.contains("image whole") && !drawn.contains("class=\"axis\""), "{drawn}");
        assert!(draw(&[], &[]).starts_with("<svg"));
    }
}
