//! How is a list of models tried in order? The router keeps the caller's reply subject and relays.

use megabrain_bus::{Bus, Incoming, Meta};
use megabrain_schemas::{Capability, Fault, Name, subject};

use crate::probe::Probe;

/// Tries each model in turn until one answers; a fault that another model could mend goes on to the next.
///
/// Once frames have been relayed there is no way back: a fault after them is the answer.
pub(crate) async fn relay(bus: Bus, capability: Capability, models: Vec<Name>, incoming: Incoming, mut probe: Probe) {
    let Incoming { payload, meta, mut responder, .. } = incoming;
    let mut last = Fault::unavailable(format!("no model is configured for {capability}"), 1000);
    for (number, model) in models.iter().enumerate() {
        let leg = Meta { leg: Some(number.to_string()), ..meta.clone() };
        let sent = bus.stream_raw(&subject::model(&capability, model), payload.clone(), leg).await;
        let mut stream = match sent {
            Ok(stream) => stream,
            Err(fault) => {
                responder.fail(&fault);
                return;
            }
        };
        let mut relayed = false;
        loop {
            match stream.next_raw().await {
                Some(Ok((stamp, body))) => {
                    relayed = true;
                    responder = match responder.relay(body, stamp.done, probe.due()) {
                        Some(responder) => responder,
                        None => return,
                    };
                }
                Some(Err(fault)) if relayed || !can_be_mended(&fault) => {
                    responder.fail(&fault);
                    return;
                }
                Some(Err(fault)) => {
                    if number + 1 < models.len() {
                        tracing::info!(%model, %capability, kind = %fault.kind, "fell back to the next model");
                    }
                    last = fault;
                    break;
                }
                None => break,
            }
        }
    }
    responder.fail(&last);
}

/// True if another model may succeed where this one failed.
pub(crate) fn can_be_mended(fault: &Fault) -> bool {
    use megabrain_schemas::FaultKind::{Engine, NotFound, Overloaded, Unavailable, WorkerLost};
    matches!(fault.kind, Engine | NotFound | Overloaded | Unavailable | WorkerLost)
}
