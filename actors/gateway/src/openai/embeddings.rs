//! `POST /v1/embeddings`: which vectors do texts have?

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{EmbedReply, EmbedRequest, Request as _, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::doors::Shared;
use crate::error::ApiError;
use crate::parameters::{Harmless, OneOrMany, Parameters};
use crate::work::Work;
use crate::{body, encoded};

/// Ids that clients bring along; whichever model embeds here is meant.
pub(crate) const EMBEDDERS: &[&str] = &["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"];

/// Numbers that are few.
const FEW_NUMBERS: usize = 4096;

pub(crate) const HARMLESS: Harmless = Harmless { any: &["user"], only: &[] };

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
    let (EmbedCall { model, texts, encoding }, _room) = body::parameters(&doors, request, EmbedCall::read).await?;
    let asked = doors.asked(&model, EMBEDDERS)?;
    let request = EmbedRequest { input: texts, ..EmbedRequest::default() };
    request.check().map_err(|fault| ApiError::from(fault).about("input"))?;
    let reply = doors.bus.call(&asked.target(), &request, work.call()).await?;
    body::aside(are_few(&reply.embeddings), move || Ok(Json(List::of(reply, model, encoding)).into_response())).await
}

/// True if vectors are written in well under half a millisecond.
pub(crate) fn are_few(vectors: &[Vec<f32>]) -> bool {
    vectors.iter().map(Vec::len).sum::<usize>() <= FEW_NUMBERS
}

/// What is answered.
#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: EmbedUsage,
}

/// The vector of one text.
#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Written,
}

/// A vector as it was asked for.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Written {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct EmbedUsage {
    prompt_tokens: u32,
    total_tokens: u32,
}

impl List {
    fn of(reply: EmbedReply, model: String, encoding: Encoding) -> Self {
        let EmbedReply { embeddings, usage: Usage { prompt_tokens, .. } } = reply;
        let embedding =
            |(index, vector)| Embedding { object: "embedding", index, embedding: written(vector, encoding) };
        let data = embeddings.into_iter().enumerate().map(embedding).collect();
        Self { object: "list", data, model, usage: EmbedUsage { prompt_tokens, total_tokens: prompt_tokens } }
    }
}

fn written(vector: Vec<f32>, encoding: Encoding) -> Written {
    match encoding {
        Encoding::Float => Written::Floats(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            Written::Base64(encoded::encode(&bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openapi::telling::tells_all;
    use crate::parameters::read_text;

    fn read(body: &str) -> Result<EmbedCall, String> {
        read_text(body, EmbedCall::read)
    }

    #[test]
    fn the_document_tells_its_parameters() {
        tells_all("/v1/embeddings", r#"{"model":"embed","input":"a"}"#, EmbedCall::read, &[]);
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
        assert_eq!(written(vec![1.0, -2.5], Encoding::Base64), Written::Base64("AACAPwAAIMA=".into()));
        let (embeddings, usage) = (vec![vec![1.0, -2.5], vec![0.5]], Usage { prompt_tokens: 3, completion_tokens: 0 });
        let list = List::of(EmbedReply { embeddings, usage }, "embed".into(), Encoding::Float);
        let expected = json!({
            "object": "list", "model": "embed", "usage": { "prompt_tokens": 3, "total_tokens": 3 },
            "data": [
                { "object": "embedding", "index": 0, "embedding": [1.0, -2.5] },
                { "object": "embedding", "index": 1, "embedding": [0.5] },
            ],
        });
        assert_eq!(json!(list), expected);
    }
}
