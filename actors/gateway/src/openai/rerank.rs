//! `POST /v1/rerank`: which documents answer a query best? OpenAI has no such door; this is the one that clients of Jina,
//! Cohere, vLLM and llama-server know.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{Ranked, Request as _, RerankReply, RerankRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::parameters::{Harmless, Parameters};
use crate::work::Work;

/// Ids that clients bring along; whichever model ranks here is meant.
const RERANKERS: &[&str] = &[
    "rerank-v3.5",
    "rerank-english-v3.0",
    "rerank-multilingual-v3.0",
    "jina-reranker-v2-base-multilingual",
    "jina-reranker-m0",
];

/// Results that are few.
const FEW: usize = 256;

pub(crate) const HARMLESS: Harmless = Harmless { any: &["user"], only: &[] };

/// A document as clients send it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Text(String),
    Object(OnlyText),
}

/// What else it has would not be read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyText {
    text: String,
}

struct RerankCall {
    model: String,
    request: RerankRequest,
    return_documents: bool,
}

impl RerankCall {
    fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let query = parameters.need("query")?;
        let documents = serde_json::from_value::<Vec<Document>>(parameters.need::<Value>("documents")?);
        let documents = documents.map_err(|_| {
            ApiError::parameter("documents", "`documents`: expected a list of texts, or of objects with a `text` alone")
        })?;
        let text = |document| match document {
            Document::Text(text) | Document::Object(OnlyText { text }) => text,
        };
        let top_n = parameters.take("top_n")?;
        let truncate = parameters.take("truncate")?.unwrap_or(true);
        let return_documents = parameters.take("return_documents")?.unwrap_or(true);
        parameters.finish(&HARMLESS)?;
        let documents = documents.into_iter().map(text).collect();
        let request = RerankRequest { query, documents, top_n, truncate, ..RerankRequest::default() };
        Ok(Self { model, request, return_documents })
    }
}

/// Ranks documents.
pub(crate) async fn rerank(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let (call, _room) = body::parameters(&doors, request, RerankCall::read).await?;
    let RerankCall { model, request, return_documents } = call;
    let asked = doors.asked(&model, RERANKERS)?;
    request.check().map_err(ApiError::from)?;
    let reply = doors.bus.call(&asked.target(), &request, work.call()).await?;
    let documents = if return_documents { request.documents } else { Vec::new() };
    let are_few = reply.results.len() <= FEW;
    body::aside(are_few, move || Ok(Json(List::of(&reply, model, documents)).into_response())).await
}

/// What is answered.
#[derive(Serialize)]
struct List {
    object: &'static str,
    model: String,
    results: Vec<Told>,
    usage: Usage,
}

/// One result.
#[derive(Serialize)]
struct Told {
    index: u32,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Text>,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
}

impl List {
    /// The results, with those of the documents that they are about.
    fn of(reply: &RerankReply, model: String, mut documents: Vec<String>) -> Self {
        let told = |Ranked { index, relevance_score }: &Ranked| {
            let document = documents.get_mut(*index as usize).map(|text| Text { text: std::mem::take(text) });
            Told { index: *index, relevance_score: *relevance_score, document }
        };
        let results = reply.results.iter().map(told).collect();
        let prompt_tokens = reply.usage.prompt_tokens;
        Self { object: "list", model, results, usage: Usage { prompt_tokens, total_tokens: prompt_tokens } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openapi::telling::tells_all;
    use crate::parameters::read_text;

    fn read(body: &str) -> Result<RerankCall, String> {
        read_text(body, RerankCall::read)
    }

    #[test]
    fn the_document_tells_its_parameters() {
        tells_all("/v1/rerank", r#"{"model":"rerank","query":"a","documents":["b"]}"#, RerankCall::read, &[]);
    }

    #[test]
    fn documents_are_texts_or_objects_with_one() {
        let call = read(r#"{"model":"rerank","query":"q","documents":["a",{"text":"b"}],"top_n":1}"#).unwrap();
        assert_eq!(call.request.documents, ["a", "b"]);
        assert_eq!((call.request.top_n, call.request.truncate, call.return_documents), (Some(1), true, true));
        for (documents, told) in
            [(r#""a""#, "`documents`"), (r#"[{"text":"a","image":"b"}]"#, "`documents`"), ("null", "documents")]
        {
            let body = format!(r#"{{"model":"rerank","query":"q","documents":{documents}}}"#);
            assert!(read(&body).err().unwrap().contains(told), "{documents}");
        }
        let unknown = r#"{"model":"rerank","query":"q","documents":["a"],"rank_fields":["b"]}"#;
        assert!(read(unknown).err().unwrap().contains("`rank_fields`"));
    }

    #[test]
    fn a_result_has_its_document() {
        let results = [(1, 0.75), (0, 0.25)].map(|(index, relevance_score)| Ranked { index, relevance_score }).to_vec();
        let usage = megabrain_schemas::Usage { prompt_tokens: 7, completion_tokens: 0 };
        let reply = RerankReply { results, usage };
        let list = json!(List::of(&reply, "rerank".into(), vec!["a".into(), "b".into()]));
        assert_eq!(
            list,
            json!({
                "object": "list", "model": "rerank", "usage": { "prompt_tokens": 7, "total_tokens": 7 },
                "results": [
                    { "index": 1, "relevance_score": 0.75, "document": { "text": "b" } },
                    { "index": 0, "relevance_score": 0.25, "document": { "text": "a" } },
                ],
            })
        );
        let bare = json!(List::of(&reply, "rerank".into(), Vec::new()));
        assert_eq!(bare["results"][0], json!({ "index": 1, "relevance_score": 0.75 }));
    }
}
