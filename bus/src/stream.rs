//! How are numbered frames read, and a missing one noticed?

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use megabrain_schemas::{Capability, Codec, Fault, FaultKind, Request, Stamp};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::call::{GRACE, closed, nobody, out_of_time, unreadable};
use crate::cancel::CancelOnDrop;
use crate::inbox::{Arrival, Place, read_fault};
use crate::publish::Outgoing;
use crate::{Bus, Call, Meta, Target};

/// Frames that wait for a slow reader before the stream is given up.
const CAPACITY: usize = 8192;

/// What a stream yields: frames, then exactly one end.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame<F, R> {
    /// One frame, and the model that sent it.
    Part(Stamp, F),
    /// The terminal answer.
    End(Stamp, R),
}

/// The frames of one streamed request. Dropping it before its end cancels the work.
pub struct FrameStream {
    _place: Place,
    arrivals: mpsc::Receiver<Arrival>,
    /// None after the end. Dropped as it is, it cancels the work.
    cancel: Option<CancelOnDrop>,
    subject: String,
    meta: Meta,
    next_seq: u64,
}

impl Bus {
    /// Sends a request whose `stream` field is true; its frames are then read from the result.
    ///
    /// # Errors
    /// `too_large` before sending, `unavailable` if the connection is closed.
    pub async fn stream<R: Request>(&self, target: &Target, request: &R, call: Call) -> Result<FrameStream, Fault> {
        let (headers, payload) = call.meta.envelope(call.codec, request)?;
        self.open_stream(&target.subject(&Capability::of::<R>()), headers, payload, call.meta).await
    }

    /// As [`Bus::stream`], for a body that is encoded already.
    ///
    /// # Errors
    /// As [`Bus::stream`].
    pub async fn stream_raw(&self, subject: &str, payload: Bytes, meta: Meta) -> Result<FrameStream, Fault> {
        self.open_stream(subject, Some(meta.to_headers()), payload, meta).await
    }

    async fn open_stream(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        meta: Meta,
    ) -> Result<FrameStream, Fault> {
        let (place, arrivals) = self.inbox().expect_many(CAPACITY);
        self.send(Outgoing { subject: Subject::from(subject), reply: Some(place.reply.clone()), headers, payload })
            .await?;
        let cancel = Some(CancelOnDrop::new(self, &meta));
        Ok(FrameStream { _place: place, arrivals, cancel, subject: subject.to_owned(), meta, next_seq: 0 })
    }
}

impl FrameStream {
    /// The next frame; `None` after the end. Cancel-safe.
    ///
    /// # Errors
    /// The fault that ended the stream: the one answered, or `worker_lost` if frames are missing or were read too slowly,
    /// `engine` if one cannot be read, `unavailable` if the bus went away, `deadline_exceeded`. Nothing follows an error;
    /// where the work may go on after it, it is cancelled.
    pub async fn next<R: Request>(&mut self) -> Option<Result<Frame<R::Frame, R::Reply>, Fault>> {
        match self.next_raw().await? {
            Ok((stamp, body)) => Some(read_frame::<R::Frame, R::Reply>(stamp, &body).map_err(|error| {
                self.cancel = None;
                unreadable(&self.subject, &error)
            })),
            Err(fault) => Some(Err(fault)),
        }
    }

    /// The next frame's stamp and body as it came. Cancel-safe.
    ///
    /// # Errors
    /// As [`FrameStream::next`].
    pub async fn next_raw(&mut self) -> Option<Result<(Stamp, Bytes), Fault>> {
        self.cancel.as_ref()?;
        let arrival = match self.meta.time_left() {
            None => self.arrivals.recv().await,
            Some(left) => match tokio::time::timeout(left + GRACE, self.arrivals.recv()).await {
                Ok(arrival) => arrival,
                Err(_) => {
                    self.cancel = None;
                    return Some(Err(out_of_time(&self.subject)));
                }
            },
        };
        let has_ended = matches!(arrival, Some(Arrival::NoResponders | Arrival::Body { is_fault: true, .. }));
        let outcome = match arrival {
            Some(Arrival::Body { payload, is_fault: false }) => self.check(payload),
            Some(Arrival::Body { payload, is_fault: true }) => Err(read_fault(&payload)),
            Some(Arrival::NoResponders) => Err(nobody(&self.subject)),
            Some(Arrival::Lost(fault)) => Err(fault),
            None => Err(closed()),
        };
        match &outcome {
            Ok((stamp, _)) if !stamp.done => {}
            Err(_) if !has_ended => self.cancel = None,
            _ => self.end(),
        }
        Some(outcome)
    }

    fn check(&mut self, payload: Bytes) -> Result<(Stamp, Bytes), Fault> {
        let stamp: Stamp = Codec::detect(None, &payload)
            .and_then(|codec| codec.decode(&payload))
            .map_err(|error| unreadable(&self.subject, &error))?;
        let seq = stamp.seq.unwrap_or(0);
        if seq != self.next_seq {
            return Err(Fault::new(
                FaultKind::WorkerLost,
                format!("frames {} to {} of the stream are missing", self.next_seq, seq.saturating_sub(1)),
            ));
        }
        self.next_seq += 1;
        Ok((stamp, payload))
    }

    /// The work has ended: nothing is left to be cancelled.
    fn end(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            cancel.disarm();
        }
    }
}

fn read_frame<F: DeserializeOwned, R: DeserializeOwned>(
    stamp: Stamp,
    body: &[u8],
) -> Result<Frame<F, R>, megabrain_schemas::DecodeError> {
    let codec = Codec::detect(None, body)?;
    if stamp.done {
        codec.decode(body).map(|reply| Frame::End(stamp, reply))
    } else {
        codec.decode(body).map(|frame| Frame::Part(stamp, frame))
    }
}
