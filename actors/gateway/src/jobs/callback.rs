//! How is somebody told that their job has ended? By a signed POST, again and again until it is taken.
//!
//! Headers and signature are those of standardwebhooks.com. The id is the job's, the same at each try: whoever is told
//! twice can tell.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use megabrain_bus::{QueueWorker, Task};
use megabrain_schemas::{Codec, Fault, Name, subject};
use sha2::Sha256;

use super::keep::Keep;
use super::record::{Callback, Record, Told, now};
use super::run::delay;
use super::{JobsConfig, crew};
use crate::outbound::Outbound;

/// Longer than one try takes at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tries at the same time.
const CONCURRENT: usize = 16;
/// The one status that says: never again.
const GONE: u16 = 410;

/// Makes callbacks.
#[derive(Clone)]
pub(super) struct Callbacks {
    config: JobsConfig,
    keep: Keep,
    outbound: Outbound,
}

impl Callbacks {
    pub(super) fn new(config: JobsConfig, keep: Keep, outbound: Outbound) -> Self {
        Self { config, keep, outbound }
    }

    /// Takes callbacks out of the queue.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn worker(keep: &Keep) -> Result<QueueWorker, Fault> {
        keep.queue.worker("callback", &subject::job_callback("*"), PATIENCE).await
    }

    pub(super) async fn work(self, worker: QueueWorker) {
        crew::work(worker, CONCURRENT, |task| self.clone().take(task)).await;
    }

    async fn take(self, task: Task) {
        let id = std::str::from_utf8(task.payload()).ok().and_then(|id| Name::new(id).ok());
        let Some(id) = id else { return task.done().await };
        match self.tell(&id).await {
            Ok(true) => task.done().await,
            Ok(false) => {
                let delay = delay(task.deliveries());
                task.again_in(delay).await;
            }
            Err(fault) => tracing::debug!(%fault, job = %id, "a callback is left as it is"),
        }
    }

    /// Tells once; true if that is the end of it.
    async fn tell(&self, id: &Name) -> Result<bool, Fault> {
        let Some(record) = self.keep.get(id).await? else { return Ok(true) };
        let Some(callback) = record.callback.clone().filter(|callback| callback.status == Told::Pending) else {
            return Ok(true);
        };
        let body = self.body(id, &record).await?;
        let time = now();
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id.to_string()),
            ("webhook-timestamp", time.to_string()),
            ("webhook-signature", sign(&self.config.secret, id, time, &body)),
        ];
        let (outbound, url) = (self.outbound.clone(), callback.url);
        let answered = tokio::task::spawn_blocking(move || outbound.post(&url, &headers, &body)).await;
        let answered = answered.unwrap_or_else(|error| Err(format!("the call stumbled: {error}")));
        let (status, error) = match answered {
            Ok(answer) if (200..300).contains(&answer.status) => (Told::Delivered, None),
            Ok(answer) if answer.status == GONE => (Told::Failed, Some("it answered 410: never again".to_owned())),
            Ok(answer) => (Told::Pending, Some(format!("it answered {}", answer.status))),
            Err(error) => (Told::Pending, Some(error)),
        };
        let until = record.ended_at.unwrap_or(time).saturating_add(self.config.give_up.as_secs());
        let status = if status == Told::Pending && now() > until { Told::Failed } else { status };
        let (record, _) = self.keep.change(id, |record| tried(record, status, error.clone())).await?;
        if let Some(error) = error {
            tracing::info!(job = %id, %error, ?status, "a callback was not taken");
        }
        Ok(record.callback.is_none_or(|callback| callback.status != Told::Pending))
    }

    /// The job with its answer; without, if that is larger than it may be or kept no longer.
    async fn body(&self, id: &Name, record: &Record) -> Result<Vec<u8>, Fault> {
        let result = match self.keep.answer(record).await {
            Err(fault) if fault.kind.is_retryable() => return Err(fault),
            answer => answer.unwrap_or_default(),
        };
        Codec::Json.encode(&record.public(id, result))
    }
}

fn tried(record: &Record, status: Told, error: Option<String>) -> Option<Record> {
    let callback = record.callback.as_ref().filter(|callback| callback.status == Told::Pending)?;
    let callback = Callback { status, attempts: callback.attempts + 1, error, url: callback.url.clone() };
    Some(Record { callback: Some(callback), ..record.clone() })
}

/// The signature of one try: HMAC-SHA256 of `id.time.body`.
fn sign(secret: &str, id: &Name, time: u64, body: &[u8]) -> String {
    let secret = secret.strip_prefix("whsec_").unwrap_or(secret);
    // Checked when the gateway began.
    let key = BASE64_STANDARD.decode(secret).unwrap_or_default();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    mac.update(format!("{id}.{time}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_standards() {
        // The example in the specification's reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let id = Name::new("msg_p5jXN8AQM9LWM0D4loKWxJek").unwrap();
        let signature = sign(secret, &id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
