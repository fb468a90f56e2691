//! What do every model and every node tell of themselves, as Prometheus reads it? Their presence; who was not heard for three
//! seconds is told no more.

use std::fmt;

use megabrain_schemas::{ModelState, NodePresence, Presence};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::present::Present;

/// Name, help, and where the number is.
type Figure = (&'static str, &'static str, fn(&Presence) -> Option<f64>);

const FIGURES: [Figure; 14] = [
    ("model_ready", "1 if the instance serves", |one| Some(f64::from(u8::from(one.state == ModelState::Ready)))),
    ("model_slots", "Works that run at the same time", |one| Some(one.slots.into())),
    ("model_running", "Works that run", |one| Some(one.in_flight.into())),
    ("model_queued", "Works that wait", |one| Some(one.queued.into())),
    ("model_queue_limit", "Works that wait at most", |one| Some(one.queue_limit.into())),
    ("model_tokens_per_second", "Tokens that came out in the last second of work", |one| Some(one.tokens_per_second)),
    ("model_finished", "Works answered since the process started", |one| Some(one.finished as f64)),
    ("model_faults", "Of them, with a fault", |one| Some(one.faults as f64)),
    ("model_took_seconds", "What they took from their arrival, in sum", |one| Some(one.took_ms / 1000.0)),
    ("model_prompt_tokens", "Tokens read since the process started", |one| Some(one.prompt_tokens as f64)),
    ("model_completion_tokens", "Tokens that came out since then", |one| Some(one.completion_tokens as f64)),
    ("model_restarts", "How often the process was started again", |one| Some(one.restarts.into())),
    ("model_memory_bytes", "Resident memory of the process", |one| Some(one.memory_bytes as f64)),
    ("model_device_memory_bytes", "Memory taken on the device", |one| {
        one.device_memory_bytes.map(|bytes| bytes as f64)
    }),
];

/// The same of a node.
type NodeFigure = (&'static str, &'static str, fn(&NodePresence) -> f64);

const NODE_FIGURES: [NodeFigure; 5] = [
    ("node_memory_bytes", "Memory of the machine", |node| node.memory_bytes as f64),
    ("node_memory_available_bytes", "Of it, what is free", |node| node.memory_available_bytes as f64),
    ("node_cores", "Cores that the models share", |node| node.cores.into()),
    ("node_asks_running", "Questions that are being answered", |node| node.asks_in_flight.into()),
    ("node_up_seconds", "Time since the node started", |node| node.up_ms as f64 / 1000.0),
];

/// The presence of all models and nodes, as metrics.
#[derive(Debug)]
pub(crate) struct Models(Present);

impl Models {
    pub(crate) fn new(present: Present) -> Self {
        Self(present)
    }
}

impl Collector for Models {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let heard = self.0.look();
        for (name, help, figure) in FIGURES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for presence in heard.roster.all() {
                let Some(number) = figure(presence) else { continue };
                let device = presence.device.as_deref().unwrap_or("none");
                let labels = [
                    ("model", presence.model.as_str()),
                    ("model_instance", presence.instance.as_str()),
                    ("actor", presence.actor.as_str()),
                    ("device", device),
                ];
                ConstGauge::new(number).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, figure) in NODE_FIGURES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (node, presence) in heard.nodes() {
                ConstGauge::new(figure(presence)).encode(family.encode_family(&[("node", node.as_str())])?)?;
            }
        }
        let mut cards = encoder.encode_descriptor("card_memory_bytes", "Memory of a card", None, MetricType::Gauge)?;
        for (node, presence) in heard.nodes() {
            for card in &presence.cards {
                let labels = [("node", node.as_str()), ("device", &card.name), ("description", &card.description)];
                ConstGauge::new(card.memory_bytes as f64).encode(cards.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
