//! Which parameters does a request have, and are all of them understood? One that is not is refused by name.

use axum::http::StatusCode;
use megabrain_schemas::ChatRequest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The parameters of one request, taken out one by one. `null` is the same as absent.
pub(crate) struct Parameters(Map<String, Value>);

/// What a door takes although it does nothing: it changes no answer.
pub(crate) struct Harmless {
    /// Taken with any value.
    pub(crate) any: &'static [&'static str],
    /// Taken with these values only, as JSON: what an engine that does not know the parameter does anyway.
    pub(crate) only: &'static [(&'static str, &'static [&'static str])],
}

/// A list that may be written as its one element.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl From<Map<String, Value>> for Parameters {
    fn from(parameters: Map<String, Value>) -> Self {
        #[cfg(test)]
        crate::known::begin();
        Self(parameters)
    }
}

impl Parameters {
    /// Reads a body.
    ///
    /// # Errors
    /// It is no JSON object.
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let read = serde_json::from_slice::<Map<String, Value>>(body);
        read.map(Self::from).map_err(|error| ApiError::invalid(format!("the body is no JSON object: {error}")))
    }

    /// Takes a parameter out, if it is there.
    ///
    /// # Errors
    /// It is not what it should be.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        #[cfg(test)]
        crate::known::name(name);
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| ApiError::parameter(name, format!("`{name}`: {error}"))),
        }
    }

    /// Takes a parameter out that must be there.
    ///
    /// # Errors
    /// It is missing, or not what it should be.
    pub(crate) fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ApiError> {
        self.take(name)?.ok_or_else(|| ApiError::parameter(name, format!("`{name}` is missing")))
    }

    /// The seed of the randomness. Clients have larger numbers than engines: those are folded, the same to the same.
    ///
    /// # Errors
    /// It is no whole number.
    pub(crate) fn take_seed(&mut self) -> Result<Option<u32>, ApiError> {
        let fold = |seed: i64| u32::try_from(seed).unwrap_or((seed ^ (seed >> 32)) as u32);
        Ok(self.take::<i64>("seed")?.map(fold))
    }

    /// How tokens are chosen, as far as every door says it in the same words.
    ///
    /// # Errors
    /// One of them is no number.
    pub(crate) fn take_sampling(&mut self) -> Result<ChatRequest, ApiError> {
        Ok(ChatRequest {
            temperature: self.take("temperature")?,
            top_p: self.take("top_p")?,
            top_k: self.take("top_k")?,
            min_p: self.take("min_p")?,
            // What changes nothing is left out: it need not keep a question from the brain.
            presence_penalty: self.take("presence_penalty")?.filter(|penalty| *penalty != 0.0),
            frequency_penalty: self.take("frequency_penalty")?.filter(|penalty| *penalty != 0.0),
            repeat_penalty: self.take("repeat_penalty")?.filter(|penalty| *penalty != 1.0),
            logit_bias: self.take("logit_bias")?.unwrap_or_default(),
            seed: self.take_seed()?,
            ..ChatRequest::default()
        })
    }

    /// Nothing may be left that changes the answer.
    ///
    /// # Errors
    /// The first parameter that this brain does not know, by name.
    pub(crate) fn finish(mut self, harmless: &Harmless) -> Result<(), ApiError> {
        #[cfg(test)]
        crate::known::end(harmless.any.iter().copied().chain(harmless.only.iter().map(|(name, _)| *name)));
        self.0.retain(|_, value| !value.is_null());
        for name in harmless.any {
            self.0.remove(*name);
        }
        for (name, values) in harmless.only {
            if self.0.get(*name).is_some_and(|value| values.iter().any(|text| is_same(value, text))) {
                self.0.remove(*name);
            }
        }
        let Some((name, value)) = self.0.iter().next() else { return Ok(()) };
        let known = harmless.only.iter().find(|(only, _)| only == name).map(|(_, values)| values.join(" or "));
        let message = match known {
            Some(values) => format!("`{name}` is {}: this brain knows {values} only", short(value)),
            None => format!("`{name}` is not known to this brain: leave it out"),
        };
        Err(ApiError::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message).about(name))
    }
}

fn is_same(value: &Value, text: &str) -> bool {
    let Ok(other) = serde_json::from_str::<Value>(text) else { return false };
    match (value.as_f64(), other.as_f64()) {
        // Close to it is not it.
        (Some(one), Some(other)) => one == other,
        _ => *value == other,
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// What a door makes of a body, or the message that refuses it.
#[cfg(test)]
pub(crate) fn read_text<T>(body: &str, read: fn(Parameters) -> Result<T, ApiError>) -> Result<T, String> {
    Parameters::read(body.as_bytes()).and_then(read).map_err(|error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMLESS: Harmless = Harmless { any: &["user"], only: &[("n", &["1"]), ("tools", &["[]"])] };

    fn left(body: &str) -> Result<(), String> {
        Parameters::read(body.as_bytes()).unwrap().finish(&HARMLESS).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_changes_nothing_is_taken_and_everything_else_is_refused_by_name() {
        assert_eq!(left(r#"{"user":"me","n":1.0,"tools":[],"logit_bias":null}"#), Ok(()));
        assert!(left(r#"{"n":1.0000000000000002}"#).is_err());
        assert!(left(r#"{"n":2}"#).unwrap_err().contains("`n` is 2: this brain knows 1 only"));
        assert!(left(r#"{"mirostat":1}"#).unwrap_err().contains("`mirostat` is not known"));
    }

    #[test]
    fn a_parameter_of_the_wrong_type_is_named() {
        let mut parameters = Parameters::read(br#"{"temperature":"warm","stop":"."}"#).unwrap();
        assert!(parameters.take::<f32>("temperature").unwrap_err().message().contains("`temperature`"));
        assert_eq!(parameters.need::<OneOrMany>("stop").unwrap().into_vec(), ["."]);
        assert!(parameters.need::<String>("model").unwrap_err().message().contains("missing"));
        assert!(Parameters::read(b"[]").is_err());
    }

    #[test]
    fn large_and_negative_seeds_are_seeds() {
        let seed = |text: &str| Parameters::read(text.as_bytes()).unwrap().take_seed().unwrap();
        assert_eq!(seed(r#"{"seed":7}"#), Some(7));
        assert!(seed(r#"{"seed":-1}"#).is_some());
        assert_ne!(seed(r#"{"seed":4294967297}"#), seed(r#"{"seed":4294967298}"#));
    }
}
