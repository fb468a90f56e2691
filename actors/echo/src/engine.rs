//! How does the engine without a model work? It sends the same back, at once or after a delay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use megabrain_runtime::{Engine, Host, Job, LoadError, Profile, Step};
use megabrain_schemas::{Capability, Codec, ECHO_MIME, EchoReply, EchoRequest, Fault, Request as _};

use crate::config::Config;

/// Jobs that wait for their time, by when it comes.
pub(crate) struct Echo {
    slots: usize,
    waiting: BTreeMap<(Instant, u64), (Job, EchoRequest)>,
    started: u64,
}

impl Engine for Echo {
    const ACTOR: &'static str = "echo";
    const NICENESS: i32 = 0;
    type Config = Config;

    fn load(config: Config, _host: &Host) -> Result<Self, LoadError> {
        Ok(Self { slots: config.slots, waiting: BTreeMap::new(), started: 0 })
    }

    fn profile(&self) -> Profile {
        Profile {
            capabilities: vec![Capability::of::<EchoRequest>()],
            accepts: vec![ECHO_MIME.into()],
            slots: self.slots,
            ..Profile::default()
        }
    }

    fn start(&mut self, job: Job) {
        match read(&job) {
            Err(fault) => job.fail(fault),
            Ok(request) if request.delay_ms == 0 => answer(job, request),
            Ok(request) => {
                let due = Instant::now() + Duration::from_millis(request.delay_ms.min(86_400_000));
                self.started += 1;
                self.waiting.insert((due, self.started), (job, request));
            }
        }
    }

    fn step(&mut self) -> Step {
        let later = self.waiting.split_off(&(Instant::now(), u64::MAX));
        for (job, request) in std::mem::replace(&mut self.waiting, later).into_values() {
            answer(job, request);
        }
        self.waiting.first_key_value().map_or(Step::Idle, |((due, _), _)| Step::Until(*due))
    }

    fn interrupted(&mut self) {
        let interrupted = self.waiting.extract_if(.., |_, (job, _)| job.interruption().is_some());
        for (job, _) in interrupted.map(|(_, waiting)| waiting) {
            let fault = job.interruption().unwrap_or_else(|| Fault::engine("interrupted"));
            job.fail(fault);
        }
    }
}

/// The request itself, or the one inside an attachment. Fetching one that is given by reference holds the others up: good
/// enough for trials. `actors/speech` has threads for it.
fn read(job: &Job) -> Result<EchoRequest, Fault> {
    let request: EchoRequest = job.request()?;
    let Some(attachment) = &request.attachment else { return Ok(request) };
    let bytes = job.media(attachment, "attachment")?;
    Ok(Codec::detect(None, &bytes)?.decode(&bytes)?)
}

fn answer(mut job: Job, request: EchoRequest) {
    if request.is_stream() {
        for word in request.text.iter().flat_map(|text| text.split_inclusive(' ')) {
            job.frame(&EchoReply { text: Some(word.to_owned()), data: None });
        }
    }
    job.answer(&EchoReply { text: request.text, data: request.data });
}
