//! `POST /v1/embeddings`: which vectors do texts have?

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{EmbedRequest, Request as _};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::doors::Shared;
use crate::error::ApiError;
use crate::models::json_answer;
use crate::parameters::{Harmless, OneOrMany, Parameters};
use crate::work::Work;
use crate::{body, encoded};

/// Ids that clients bring along; whichever model embeds here is meant.
pub(crate) const EMBEDDERS: &[&str] = &["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"];

const HARMLESS: Harmless = Harmless { any: &["user"], only: &[] };

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    #[default]
    Float,
    /// Little-endian 32-bit floats.
    Base64,
}

struct EmbedCall {
    model: String,
    texts: Vec<String>,
    encoding: Encoding,
}

impl EmbedCall {
    fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let input = parameters.need::<Value>("input")?;
        let input = serde_json::from_value::<OneOrMany>(input).map_err(|_| {
            ApiError::parameter("input", "`input`: expected a text or a list of texts; tokens are not taken")
        })?;
        let encoding = parameters.take("encoding_format")?.unwrap_or_default();
        parameters.finish(&HARMLESS)?;
        Ok(Self { model, texts: input.into_vec(), encoding })
    }
}

/// Embeds texts.
pub(crate) async fn embeddings(
    State(doors): State<Shared>,
    work: Work,
    request: Request,
) -> Result<Response, ApiError> {
    let EmbedCall { model, texts, encoding } = body::parameters(&doors, request, EmbedCall::read).await?;
    let asked = doors.asked(&model, EMBEDDERS)?;
    let request = EmbedRequest { input: texts, ..EmbedRequest::default() };
    request.check().map_err(|fault| ApiError::from(fault).about("input"))?;
    let reply = doors.bus.call(&asked.target(), &request, work.call()).await?;
    let data: Vec<Value> = reply
        .embeddings
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": written(vector, encoding) }))
        .collect();
    let tokens = reply.usage.prompt_tokens;
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    let reply = json!({ "object": "list", "data": data, "model": model, "usage": usage });
    Ok((work.headers(), json_answer(&reply)).into_response())
}

fn written(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            encoded::encode(&bytes).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;

    fn read(body: &str) -> Result<EmbedCall, String> {
        Parameters::read(body.as_bytes()).and_then(EmbedCall::read).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_document_tells_its_parameters() {
        tells_all("/v1/embeddings", r#"{"model":"embed","input":"a"}"#, EmbedCall::read, &[], &[]);
    }

    #[test]
    fn one_text_or_several_and_no_tokens() {
        assert_eq!(read(r#"{"model":"embed","input":"a"}"#).unwrap().texts, ["a"]);
        let call = read(r#"{"model":"embed","input":["a","b"],"encoding_format":"base64","user":"me"}"#).unwrap();
        assert_eq!((call.texts.len(), call.encoding), (2, Encoding::Base64));
        assert!(read(r#"{"model":"embed","input":[1,2]}"#).err().unwrap().contains("tokens are not taken"));
        assert!(read(r#"{"model":"embed","input":"a","dimensions":64}"#).err().unwrap().contains("`dimensions`"));
        assert!(
            read(r#"{"model":"embed","input":"a","encoding_format":"hex"}"#)
                .err()
                .unwrap()
                .contains("`encoding_format`")
        );
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        assert_eq!(written(&[1.0, -2.5], Encoding::Base64), Value::from("AACAPwAAIMA="));
        assert_eq!(written(&[1.0, -2.5], Encoding::Float), json!([1.0, -2.5]));
    }
}
