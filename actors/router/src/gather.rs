//! How do attachments become evidence? A leg for each, and more for what films are taken apart into, all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use megabrain_bus::Meta;
use megabrain_schemas::{
    Ask, AskFrame, Evidence, Fault, FaultKind, LegReport, LegStatus, Media, Need, SplitFrame, SplitReply,
};
use tokio::sync::mpsc;

use crate::ask::{Frames, together};
use crate::choose::Wish;
use crate::evidence;
use crate::leg::{EndedLeg, begun, run};
use crate::plan::{Look, PlannedLeg, attachment_leg};
use crate::router::Shared;
use crate::split::take_apart;
use crate::timeline::{self, Film};

/// Parts of films that wait to be sent on. A film that is read faster waits: nothing is lost.
const PARTS_WAITING: usize = 64;

/// What the attachments of a question yielded.
pub(crate) struct Gathered {
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) legs: Vec<LegReport>,
}

/// The attachments of one question in the works.
struct Gathering<'a> {
    shared: &'a Shared,
    meta: &'a Meta,
    ask: &'a Ask,
    deadline: Instant,
    found: Vec<Evidence>,
    reports: Vec<LegReport>,
    /// Attachments in which something was found.
    yielded: BTreeSet<usize>,
    /// The first fault about each attachment.
    faults: BTreeMap<usize, Fault>,
    films: BTreeMap<usize, Film>,
    parts: usize,
}

type Running<'a> = FuturesUnordered<BoxFuture<'a, EndedLeg>>;
type Parts = mpsc::Sender<(usize, SplitFrame)>;

/// Sends all legs at once, sends on what films yield as it comes, and joins what comes back on one clock.
///
/// # Errors
/// A fault that names each attachment that yielded nothing, if fewer than the question needs did.
pub(crate) async fn gather(
    shared: &Shared,
    meta: &Meta,
    ask: &Ask,
    planned: Vec<PlannedLeg>,
    deadline: Instant,
    frames: &mut Frames,
) -> Result<Gathered, Fault> {
    let mut gathering = Gathering {
        shared,
        meta,
        ask,
        deadline,
        found: Vec::new(),
        reports: Vec::new(),
        yielded: BTreeSet::new(),
        faults: BTreeMap::new(),
        films: BTreeMap::new(),
        parts: 0,
    };
    let (sender, mut parts) = mpsc::channel(PARTS_WAITING);
    let running = Running::new();
    for leg in planned {
        gathering.begin(leg, &running, Some(&sender), frames);
    }
    drop(sender);
    let mut running = running;
    loop {
        tokio::select! {
            biased;
            Some((attachment, part)) = parts.recv() => {
                if let Some(leg) = gathering.part(attachment, part) {
                    gathering.begin(leg, &running, None, frames);
                }
            }
            Some(ended) = running.next() => gathering.end(ended, frames),
            else => break,
        }
    }
    gathering.join()
}

impl<'a> Gathering<'a> {
    fn begin(&mut self, leg: PlannedLeg, running: &Running<'a>, parts: Option<&Parts>, frames: &mut Frames) {
        frames.leg(&begun(&leg));
        let (shared, meta, deadline) = (self.shared, self.meta, self.deadline);
        running.push(match parts {
            Some(parts) if leg.capability.as_str() == "split" => {
                self.films.entry(leg.attachment).or_default();
                take_apart(shared, meta, leg, deadline, parts.clone()).boxed()
            }
            _ => run(shared, meta, leg, deadline).boxed(),
        });
    }

    /// The leg of a part of a film; `None`, and a report, if it is sent nowhere.
    fn part(&mut self, attachment: usize, part: SplitFrame) -> Option<PlannedLeg> {
        let film = self.films.entry(attachment).or_default();
        let (mime, blob, at_ms) = match part {
            SplitFrame { frame: Some(frame), .. } => {
                film.frames.push(frame.t_ms);
                ("image/jpeg", frame.blob, frame.t_ms)
            }
            SplitFrame { sound: Some(sound), .. } => ("audio/wav", sound.blob, sound.t0_ms),
            SplitFrame { .. } => return None,
        };
        let path = format!("{attachment}.{}", film.parts);
        film.parts += 1;
        self.parts += 1;
        let limit = self.shared.config.max_parts;
        let planned = if self.parts > limit {
            let message =
                format!("the films have more parts than the {limit} of one question (`max_parts` of [router])");
            Err(Fault::new(FaultKind::TooLarge, message))
        } else {
            let mut roster = self.shared.roster.lock();
            let media = Media { mime: Some(mime.to_owned()), blob: Some(blob), data: None };
            let wish = Wish { session: self.ask.session.as_deref() };
            let prefer = &self.shared.config.prefer;
            attachment_leg(&mut roster, attachment, mime, &media, Look::of(self.ask), wish, prefer)
        };
        match planned {
            Ok(leg) => Some(PlannedLeg { path, at_ms: Some(at_ms), ..leg }),
            Err(fault) => {
                self.reports.push(LegReport {
                    leg: path,
                    subject: String::new(),
                    model: None,
                    status: Some(LegStatus::Skipped),
                    queued_ms: None,
                    took_ms: 0.0,
                    note: None,
                    error: Some(fault.clone()),
                });
                self.faults.entry(attachment).or_insert(fault);
                None
            }
        }
    }

    fn end(&mut self, ended: EndedLeg, frames: &mut Frames) {
        let EndedLeg { leg, report, outcome, partly } = ended;
        let attachment = leg.attachment;
        let read = outcome.and_then(|body| match self.films.get_mut(&attachment) {
            Some(film) if leg.capability.as_str() == "split" => {
                let reply: SplitReply = leg.read(&body)?;
                film.length_ms = Some(reply.duration_ms);
                // It is its parts that yield something.
                Ok(Vec::new())
            }
            _ => evidence::read(&leg, &body),
        });
        let items = read.unwrap_or_else(|fault| {
            self.faults.entry(attachment).or_insert(fault);
            let status = report.status.unwrap_or(LegStatus::Failed);
            partly.map(|partly| evidence::until_it_broke_off(&leg, partly, status)).unwrap_or_default()
        });
        if !items.is_empty() {
            self.yielded.insert(attachment);
        }
        for item in &items {
            frames.send(&AskFrame { evidence: Some(item.clone()), ..AskFrame::default() });
        }
        self.found.extend(items);
        frames.leg(&report);
        self.reports.push(report);
    }

    fn join(mut self) -> Result<Gathered, Fault> {
        let attachments = self.ask.attachments.len();
        let needed = match self.ask.need {
            Some(Need::Count(count)) => attachments.min(count as usize),
            Some(Need::Word(megabrain_schemas::NeedWord::All)) => attachments,
            Some(Need::Word(megabrain_schemas::NeedWord::Any)) | None => attachments.min(1),
        };
        if self.yielded.len() < needed {
            let what = if self.yielded.is_empty() {
                "no attachment could be used".to_owned()
            } else {
                format!("{} of {attachments} attachments could be used, and {needed} are needed", self.yielded.len())
            };
            let nothing = Fault::invalid("nothing is said, shown or written in it");
            let unused = (0..attachments).filter(|attachment| !self.yielded.contains(attachment));
            let faults =
                unused.map(|unused| (format!("attachment {unused}"), self.faults.get(&unused).unwrap_or(&nothing)));
            return Err(together(&what, faults));
        }
        timeline::join(&mut self.found, &self.films);
        Ok(Gathered { evidence: self.found, legs: self.reports })
    }
}
