//! How is somebody told that their job has ended? By a signed POST, again and again until it is taken.
//!
//! Headers and signature are those of standardwebhooks.com. The id is the job's, the same at each try: whoever is told
//! twice can tell.

use std::time::Duration;

use axum::http::Uri;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use megabrain_bus::{QueueWorker, Task};
use megabrain_schemas::{Codec, Fault, Name, subject};
use sha2::Sha256;

use super::keep::Keep;
use super::record::{Callback, Record, Told, now, shortened};
use super::{JobsConfig, crew};
use crate::outbound::Outbound;
use crate::share::Shares;

/// Longer than one try takes at most, with what is read and written for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tries at the same time.
const CONCURRENT: usize = 16;
/// Of them to one receiver: one that never answers leaves places for the others.
const SHARE: usize = 4;
/// Between two tries; it doubles.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);
/// About so long a callback that found no place waits; it doubles, so that thousands that wait cost little.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The one status that says: never again.
const GONE: u16 = 410;

/// Makes callbacks.
#[derive(Clone)]
pub(super) struct Callbacks {
    config: JobsConfig,
    keep: Keep,
    outbound: Outbound,
    shares: Shares,
}

impl Callbacks {
    pub(super) fn new(config: JobsConfig, keep: Keep, outbound: Outbound) -> Self {
        Self { config, keep, outbound, shares: Shares::new(SHARE) }
    }

    /// Takes callbacks out of the queue.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn worker(keep: &Keep) -> Result<QueueWorker, Fault> {
        keep.callbacks.worker("callback", &subject::job_callback("*"), PATIENCE).await
    }

    pub(super) async fn work(self, worker: QueueWorker) {
        crew::work(worker, CONCURRENT, |task| self.clone().take(task)).await;
    }

    async fn take(self, task: Task) {
        let id = std::str::from_utf8(task.payload()).ok().and_then(|id| Name::new(id).ok());
        let Some(id) = id else { return task.done().await };
        match self.tell(&id, task.deliveries()).await {
            Ok(None) => task.done().await,
            Ok(Some(delay)) => task.again_in(delay).await,
            Err(fault) => tracing::debug!(%fault, job = %id, "a callback is left as it is"),
        }
    }

    /// Tells once, if the receiver has a place left; gives the time until the next try, if there is to be one.
    async fn tell(&self, id: &Name, deliveries: u32) -> Result<Option<Duration>, Fault> {
        let Some(record) = self.keep.get(id).await? else { return Ok(None) };
        let pending = record.callback.as_ref().filter(|callback| callback.status == Told::Pending);
        let Some(callback) = pending else { return Ok(None) };
        let until = record.ended_at.unwrap_or_else(now).saturating_add(self.config.give_up.as_secs());
        let (status, error) = match self.shares.take(receiver(&callback.url)) {
            Some(_place) => {
                let body = self.body(id, &record).await?;
                self.call(id, callback.url.clone(), body).await
            }
            None if now() <= until => return Ok(Some(wait(deliveries))),
            None => (Told::Pending, Some("its receiver never had a place left for it".to_owned())),
        };
        let status = if status == Told::Pending && now() > until { Told::Failed } else { status };
        let error = error.map(|error| shortened(&error));
        let (record, _) = self.keep.change(id, |record| tried(record, status, error.clone())).await?;
        if let Some(error) = error {
            tracing::info!(job = %id, %error, ?status, "a callback was not taken");
        }
        let pending = record.callback.filter(|callback| callback.status == Told::Pending);
        Ok(pending.map(|callback| delay(callback.attempts)))
    }

    /// One try: what became of it, and why it was not taken.
    async fn call(&self, id: &Name, url: String, body: Vec<u8>) -> (Told, Option<String>) {
        let time = now();
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id.to_string()),
            ("webhook-timestamp", time.to_string()),
            ("webhook-signature", sign(&self.config.secret, id, time, &body)),
        ];
        let outbound = self.outbound.clone();
        let answered = tokio::task::spawn_blocking(move || outbound.post(&url, &headers, &body)).await;
        match answered.unwrap_or_else(|error| Err(format!("the call stumbled: {error}"))) {
            Ok(answer) if (200..300).contains(&answer.status) => (Told::Delivered, None),
            Ok(answer) if answer.status == GONE => (Told::Failed, Some("it answered 410: never again".to_owned())),
            Ok(answer) => (Told::Pending, Some(format!("it answered {}", answer.status))),
            Err(error) => (Told::Pending, Some(error)),
        }
    }

    /// The job with its answer; without, if that is larger than it may be or kept no longer.
    async fn body(&self, id: &Name, record: &Record) -> Result<Vec<u8>, Fault> {
        let told = match self.keep.told(id, record).await {
            Err(fault) if !fault.kind.is_retryable() => record.public(id, None),
            told => told?,
        };
        Codec::Json.encode(&told)
    }
}

fn tried(record: &Record, status: Told, error: Option<String>) -> Option<Record> {
    let callback = record.callback.as_ref().filter(|callback| callback.status == Told::Pending)?;
    let callback = Callback { status, attempts: callback.attempts + 1, error, url: callback.url.clone() };
    Some(Record { callback: Some(callback), ..record.clone() })
}

/// Who is called by this address: the same for all addresses of one server.
fn receiver(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return url.to_owned() };
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    format!("{scheme}://{host}:{port}")
}

/// How long a callback waits that was tried so often.
fn delay(attempts: u32) -> Duration {
    doubled(FIRST_DELAY, attempts, LONGEST_DELAY)
}

/// How long a callback waits that found no place. Not all of them for the same time: they came together.
fn wait(deliveries: u32) -> Duration {
    doubled(FIRST_WAIT, deliveries, LONGEST_WAIT).mul_f64(rand::random_range(0.5..1.5))
}

fn doubled(first: Duration, count: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << count.saturating_sub(1).min(16)).min(longest)
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

    #[test]
    fn one_server_is_one_receiver_whatever_is_asked_of_it() {
        for same in
            ["https://example.org/a", "https://EXAMPLE.org:443/b?c=d", "HTTPS://example.org.", "https://example.org/"]
        {
            assert_eq!(receiver(same), "https://example.org:443", "{same}");
        }
        assert_eq!(receiver("http://[::1]/x"), "http://[::1]:80");
        for other in ["http://example.org/a", "https://example.org:444/a", "https://www.example.org/a"] {
            assert_ne!(receiver(other), receiver("https://example.org/a"), "{other}");
        }
    }

    #[test]
    fn a_callback_is_tried_ever_more_slowly() {
        let seconds = |attempts| delay(attempts).as_secs_f64();
        assert_eq!([1, 2, 3, 11, 12, 1000].map(seconds), [0.5, 1.0, 2.0, 512.0, 900.0, 900.0]);
        for (deliveries, least, most) in [(2, 1, 3), (4, 4, 12), (100, 30, 90)] {
            let wait = wait(deliveries);
            assert!(Duration::from_secs(least) <= wait && wait < Duration::from_secs(most), "{deliveries}: {wait:?}");
        }
    }
}
