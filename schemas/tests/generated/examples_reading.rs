//! What do the messages look like by which texts are read: `embed` and `rerank`?

use megabrain_schemas::*;

use super::examples::{Made, end_of, work};
use super::message::{MessageType, Part};

pub(super) fn reading() -> Made<Vec<MessageType>> {
    let to_embed = EmbedRequest {
        model: Some("embed".into()),
        input: vec!["a berth".into(), "a mooring".into()],
        truncate: true,
        deadline_ms: Some(2000),
        work: Some(work()),
    };
    let embed = EmbedReply {
        embeddings: vec![vec![0.5, -0.5, 0.5, -0.5], vec![0.0, 1.0, 0.0, 0.0]],
        usage: Usage { prompt_tokens: 9, completion_tokens: 0 },
    };
    let to_rank = RerankRequest {
        model: Some("rerank".into()),
        query: "Which berth is free?".into(),
        documents: vec!["Berth 41 is taken.".into(), "Berth 42 is free.".into()],
        top_n: Some(1),
        truncate: true,
        deadline_ms: Some(2000),
        work: Some(work()),
    };
    let ranked = RerankReply {
        results: vec![Ranked { index: 1, relevance_score: 0.75 }],
        usage: Usage { prompt_tokens: 27, completion_tokens: 0 },
    };
    let short = RerankRequest {
        query: "Which berth is free?".into(),
        documents: vec!["Berth 42 is free.".into()],
        ..RerankRequest::default()
    };
    Ok(vec![
        MessageType::new::<EmbedRequest>("embed_request", Part::Request)?
            .plain("", &to_embed)?
            .plain("short", &EmbedRequest { input: vec!["a berth".into()], ..EmbedRequest::default() })?,
        MessageType::new::<EmbedReply>("embed_reply", Part::Reply)?.stamped("", &end_of("embed"), &embed)?,
        MessageType::new::<RerankRequest>("rerank_request", Part::Request)?
            .plain("", &to_rank)?
            .plain("short", &short)?,
        MessageType::new::<RerankReply>("rerank_reply", Part::Reply)?.stamped("", &end_of("rerank"), &ranked)?,
    ])
}
