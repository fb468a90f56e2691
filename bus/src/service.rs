//! How is a model discovered by tools that know nothing of megabrain? By NATS' micro-service protocol (ADR-32).
//!
//! `async-nats` has a service API; there an endpoint owns its subscription and its errors have empty bodies. Ours belong
//! to the runtime (admission, drain, faults with a body), so only the three discovery verbs are answered here.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use megabrain_schemas::{Fault, Name, subject};
use serde::{Deserialize, Serialize};

use crate::Bus;
use crate::publish::Outgoing;

const PREFIX: &str = "$SRV";

/// What a service says of itself to `$SRV.INFO`.
#[derive(Clone, Debug)]
pub struct ServiceDescription {
    /// The service: a model's name.
    pub name: Name,
    /// The one who serves: an instance.
    pub id: Name,
    /// One line for people.
    pub description: String,
    /// Anything that planners and tools want to know.
    pub metadata: BTreeMap<String, String>,
    /// Endpoint name, subject, queue group.
    pub endpoints: Vec<(String, String, String)>,
}

/// An answer to `$SRV.INFO`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// The service.
    pub name: String,
    /// The one who serves.
    pub id: String,
    /// Semantic version.
    pub version: String,
    /// Anything that planners and tools want to know.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// `io.nats.micro.v1.info_response`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// What can be called.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub subject: String,
    /// In which queue group.
    #[serde(default)]
    pub queue_group: String,
    /// Requests so far; only in `$SRV.STATS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_requests: Option<u64>,
    /// Faults so far; only in `$SRV.STATS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_errors: Option<u64>,
}

/// What a service has done so far, for `$SRV.STATS`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceStats {
    /// Requests answered.
    pub requests: u64,
    /// Of them, with a fault.
    pub faults: u64,
}

impl Bus {
    /// Answers `$SRV.PING`, `INFO` and `STATS` for this service until the connection closes.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed.
    pub async fn announce(
        &self,
        description: ServiceDescription,
        stats: Arc<dyn Fn() -> ServiceStats + Send + Sync>,
    ) -> Result<(), Fault> {
        for verb in ["PING", "INFO", "STATS"] {
            let (name, id) = (&description.name, &description.id);
            for address in
                [format!("{PREFIX}.{verb}"), format!("{PREFIX}.{verb}.{name}"), format!("{PREFIX}.{verb}.{name}.{id}")]
            {
                let mut questions =
                    self.client().subscribe(address).await.map_err(|error| crate::connect::away(&error))?;
                let (bus, description, stats) = (self.clone(), description.clone(), stats.clone());
                tokio::spawn(async move {
                    while let Some(question) = questions.next().await {
                        let Some(reply) = question.reply.filter(|reply| subject::is_inbox(reply)) else { continue };
                        let info = description.answer(verb, stats());
                        let Ok(payload) = serde_json::to_vec(&info) else { continue };
                        let sent = bus.send_now(Outgoing {
                            subject: reply,
                            reply: None,
                            headers: None,
                            payload: payload.into(),
                        });
                        if let Err(fault) = sent {
                            tracing::debug!(%fault, "discovery not answered");
                        }
                    }
                });
            }
        }
        Ok(())
    }

    /// Asks everybody who they are and gives the answers that come within `time`.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed.
    pub async fn discover(&self, time: std::time::Duration) -> Result<Vec<ServiceInfo>, Fault> {
        let inbox = self.client().new_inbox();
        let mut answers = self.client().subscribe(inbox.clone()).await.map_err(|error| crate::connect::away(&error))?;
        self.send(Outgoing {
            subject: format!("{PREFIX}.INFO").into(),
            reply: Some(inbox.into()),
            headers: None,
            payload: bytes::Bytes::new(),
        })
        .await?;
        let mut found = Vec::new();
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(answer)) = tokio::time::timeout_at(end, answers.next()).await {
            if answer.status.is_some() {
                break;
            }
            if let Ok(info) = serde_json::from_slice(&answer.payload) {
                found.push(info);
            }
        }
        Ok(found)
    }
}

impl ServiceDescription {
    fn answer(&self, verb: &str, stats: ServiceStats) -> ServiceInfo {
        let is_stats = verb == "STATS";
        let endpoints = self.endpoints.iter().map(|(name, subject, queue_group)| Endpoint {
            name: name.clone(),
            subject: subject.clone(),
            queue_group: queue_group.clone(),
            num_requests: is_stats.then_some(stats.requests),
            num_errors: is_stats.then_some(stats.faults),
        });
        ServiceInfo {
            name: self.name.to_string(),
            id: self.id.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            metadata: self.metadata.clone(),
            kind: format!("io.nats.micro.v1.{}_response", verb.to_lowercase()),
            description: self.description.clone(),
            endpoints: if verb == "PING" { Vec::new() } else { endpoints.collect() },
        }
    }
}
