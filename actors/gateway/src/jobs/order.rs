//! What is a job to do? A request as the bus knows it, written down.

use std::time::Duration;

use bytes::Bytes;
use megabrain_schemas::{Capability, ChatRequest, Codec, Fault, Name, subject};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;
use crate::parameters::{Harmless, Parameters};

/// What is asked for by `POST /v1/jobs`.
pub(super) struct JobCall {
    pub(super) capability: Capability,
    pub(super) model: Option<Name>,
    pub(super) instance: Option<Name>,
    pub(super) body: Map<String, Value>,
    pub(super) callback_url: Option<String>,
}

/// The longest address that is called back: each job keeps its own for days.
const LONGEST_URL: usize = 2048;

/// A task in the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) id: Name,
    pub(super) subject: String,
    pub(super) body: Map<String, Value>,
    /// Time for one attempt.
    pub(super) deadline_ms: u64,
    pub(super) traceparent: Option<String>,
}

/// Who is needed to do it: whoever does this, this model, or for a question the models that are to answer.
pub(super) fn needs(
    capability: &Capability,
    model: Option<&Name>,
    body: &Map<String, Value>,
) -> Vec<(Capability, Option<Name>)> {
    if subject::capability(capability) != subject::ASK {
        return vec![(capability.clone(), model.cloned())];
    }
    let chat = Capability::of::<ChatRequest>();
    let models = body.get("models").and_then(Value::as_array).into_iter().flatten();
    models
        .filter_map(Value::as_str)
        .filter_map(|name| Name::new(name).ok())
        .map(|name| (chat.clone(), Some(name)))
        .collect()
}

impl JobCall {
    pub(super) fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let call = Self {
            capability: parameters.need("capability")?,
            model: parameters.take("model")?,
            instance: parameters.take("instance")?,
            body: parameters.need("body")?,
            callback_url: parameters.take("callback_url")?,
        };
        parameters.finish(&Harmless { any: &[], only: &[] })?;
        let Self { capability, model, instance, callback_url, .. } = &call;
        if callback_url.as_ref().is_some_and(|url| url.len() > LONGEST_URL) {
            let message = format!("`callback_url` is longer than {LONGEST_URL} bytes");
            return Err(ApiError::parameter("callback_url", message));
        }
        let is_ask = subject::capability(capability) == subject::ASK;
        if capability.is_reserved() && !is_ask {
            return Err(ApiError::parameter("capability", format!("`capability`: {capability} cannot be asked for")));
        }
        if is_ask && model.is_some() {
            return Err(ApiError::parameter("model", "`model`: an ask goes to the router; name its model in `body`"));
        }
        if instance.is_some() && model.is_none() {
            return Err(ApiError::parameter("instance", "`instance` needs `model`"));
        }
        Ok(call)
    }

    /// Where it goes on the bus.
    pub(super) fn subject(&self) -> String {
        match (&self.model, &self.instance) {
            (Some(model), Some(instance)) => subject::instance(&self.capability, model, instance),
            (Some(model), None) => subject::model(&self.capability, model),
            (None, _) => subject::capability(&self.capability),
        }
    }

    /// The same for the same request: a key that comes again for another is a mistake.
    pub(super) fn fingerprint(&self) -> String {
        let body = Value::Object(self.body.clone());
        let all = format!("{}\n{}\n{body}", self.subject(), self.callback_url.as_deref().unwrap_or_default());
        format!("{:x}", Sha256::digest(all))
    }
}

impl Order {
    pub(super) fn read(task: &[u8]) -> Result<Self, Fault> {
        Codec::Json.decode(task).map_err(|error| Fault::engine(format!("a task cannot be read: {error}")))
    }

    /// The task, made sure to be one that can be read again.
    ///
    /// # Errors
    /// Its body nests deeper than the bus reads.
    pub(super) fn write(&self) -> Result<Bytes, ApiError> {
        let task: Bytes = Codec::Json.encode(self).map_err(ApiError::from)?.into();
        let read = Codec::Json.decode::<Self>(&task);
        read.map(|_| task).map_err(|error| ApiError::parameter("body", format!("`body`: {error}")))
    }

    /// Takes out the request as it goes onto the bus.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn take_request(&mut self) -> Result<Bytes, Fault> {
        Ok(Codec::Json.encode(&std::mem::take(&mut self.body))?.into())
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;

    fn read(body: &str) -> Result<JobCall, String> {
        Parameters::read(body.as_bytes()).and_then(JobCall::read).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_document_tells_its_parameters() {
        tells_all("/v1/jobs", r#"{"capability":"ask","body":{}}"#, JobCall::read, &[]);
    }

    #[test]
    fn any_request_of_the_bus_can_be_a_job() {
        for (body, subject) in [
            (r#"{"capability":"ask","body":{"text":"x"}}"#, "mb.v1.ask"),
            (r#"{"capability":"chat","model":"fast","body":{}}"#, "mb.v1.chat.fast"),
            (r#"{"capability":"echo","model":"echo","instance":"echo-1","body":{}}"#, "mb.v1.echo.echo.echo-1"),
        ] {
            assert_eq!(read(body).unwrap().subject(), subject);
        }
    }

    #[test]
    fn what_is_none_is_told() {
        for (body, told) in [
            (r#"{"body":{}}"#, "`capability` is missing"),
            (r#"{"capability":"event","body":{}}"#, "cannot be asked for"),
            (r#"{"capability":"a.b","body":{}}"#, "`capability`"),
            (r#"{"capability":"ask","model":"fast","body":{}}"#, "the router"),
            (r#"{"capability":"chat","instance":"x","body":{}}"#, "needs `model`"),
            (r#"{"capability":"chat","body":"x"}"#, "`body`"),
            (r#"{"capability":"chat","body":{},"webhook":"x"}"#, "`webhook` is not known"),
        ] {
            let error = read(body).err().unwrap();
            assert!(error.contains(told), "{body}: {error}");
        }
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint() {
        let one = read(r#"{"capability":"ask","body":{"text":"x","need":1}}"#).unwrap().fingerprint();
        assert_eq!(one, read(r#"{"body":{"text":"x","need":1},"capability":"ask"}"#).unwrap().fingerprint());
        assert_ne!(one, read(r#"{"capability":"ask","body":{"text":"y","need":1}}"#).unwrap().fingerprint());
    }
}
