//! What the engine promises, with a real cross-encoder.

use std::path::Path;

use megabrain_schemas::Capability;
use serde::Deserialize;

use super::*;
use crate::config::Config;
use crate::devices::Cards;
use crate::load::Native;
use crate::reading::Desk;
use crate::testing::reranker;

// One, so that a machine with other work to do does not make threads wait for each other.
const THREADS: usize = 1;

/// What the reference says of one document: `models/make_scores.py` tells how it was asked.
#[derive(Clone, Deserialize)]
struct Expected {
    query: String,
    document: String,
    tokens: u32,
    score: f32,
}

fn expected() -> Vec<Expected> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/scores.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn engine() -> Desk<RerankRequest> {
    let config = Config { device: "ram".to_owned(), ..Config::of_weights(reranker()) };
    let native = Native::start(None, Cards::LeaveAlone).unwrap();
    let loaded = native.load(&config, THREADS, |_| ()).unwrap();
    Desk::new(native, loaded, &config)
}

fn request(query: &str, documents: &[&str]) -> RerankRequest {
    let documents = documents.iter().map(|&text| text.to_owned()).collect();
    RerankRequest { query: query.to_owned(), documents, ..RerankRequest::default() }
}

fn answer(engine: &mut Desk<RerankRequest>, mut request: RerankRequest) -> Result<RerankReply, Fault> {
    engine.reader.admit(request.passages()).unwrap();
    loop {
        if let Some((_, result)) = engine.reader.step().results.pop() {
            return result.and_then(|read| request.reply(read));
        }
    }
}

#[test]
fn scores_are_those_of_the_reference_whatever_is_read_beside_them() {
    let mut engine = engine();
    let all = expected();
    let mut queries: Vec<&str> = all.iter().map(|one| one.query.as_str()).collect();
    queries.dedup();
    assert!(queries.len() > 3);
    for query in queries {
        let expected: Vec<&Expected> = all.iter().filter(|one| one.query == query).collect();
        let documents: Vec<&str> = expected.iter().map(|one| one.document.as_str()).collect();
        let reply = answer(&mut engine, request(query, &documents)).unwrap();
        assert_eq!(reply.usage.prompt_tokens, expected.iter().map(|one| one.tokens).sum::<u32>(), "{query}");
        assert!(reply.results.is_sorted_by(|one, next| one.relevance_score >= next.relevance_score), "{reply:?}");
        assert_eq!(reply.results.len(), expected.len());
        for Ranked { index, relevance_score } in reply.results {
            let Expected { document, score, .. } = expected[index as usize];
            assert!((relevance_score - score).abs() < 0.003, "{relevance_score} and {score}: {query} {document}");
        }
    }
}

#[test]
fn only_the_best_are_told_if_so_many_are_asked_for() {
    let mut engine = engine();
    let documents = ["Paris is in France.", "The giant panda is a bear.", "hi"];
    let best = RerankRequest { top_n: Some(1), ..request("what is a panda?", &documents) };
    let reply = answer(&mut engine, best).unwrap();
    assert_eq!(reply.results.iter().map(|one| one.index).collect::<Vec<_>>(), [1]);
    let more = RerankRequest { top_n: Some(9), ..request("what is a panda?", &documents) };
    assert_eq!(answer(&mut engine, more).unwrap().results.len(), 3);
}

#[test]
fn what_is_too_long_is_cut_or_refused_and_a_query_leaves_room_for_a_text() {
    let mut engine = engine();
    let long = "The harbour is open. ".repeat(300);
    let asked = request("Is the harbour open?", &["No.", &long]);
    let fault = answer(&mut engine, asked.clone()).unwrap_err();
    assert!(fault.message.starts_with("documents[1] has") && fault.message.contains("beside the query"), "{fault}");
    let reply = answer(&mut engine, RerankRequest { truncate: true, ..asked }).unwrap();
    assert_eq!(reply.results[0].index, 1, "{reply:?}");
    assert!(reply.usage.prompt_tokens > 512 && reply.usage.prompt_tokens < 540, "{reply:?}");
    for query in [&*"Is it open? ".repeat(128), &*long] {
        let fault = answer(&mut engine, request(query, &["Yes."])).unwrap_err();
        assert!(fault.message.contains("`query`") && fault.kind == FaultKind::InvalidRequest, "{fault}");
    }
    assert!(answer(&mut engine, request("Is it open?", &["Yes."])).is_ok(), "it reads on");
}

#[test]
fn the_profile_tells_the_capability() {
    let profile = engine().profile();
    assert_eq!((profile.capabilities, profile.context), (vec![Capability::of::<RerankRequest>()], Some(512)));
}

#[test]
fn results_that_no_answer_has_room_for_are_refused() {
    let many = request("a", &vec!["b"; 1000]);
    assert!(many.check_room(1, Codec::Json, 64_000).is_ok());
    let fault = many.check_room(1, Codec::Json, 63_999).unwrap_err();
    assert!(fault.kind == FaultKind::TooLarge && fault.message.contains("`top_n`"), "{fault}");
    let few = RerankRequest { top_n: Some(10), ..many };
    assert!(few.check_room(1, Codec::Json, 640).is_ok());
}

#[test]
fn verdicts_are_told_apart_where_their_scores_are_not() {
    let read = |rows: &[f32]| Read::of(rows.iter().map(|verdict| vec![*verdict]).collect());
    let reply = request("a", &["b"; 4]).reply(read(&[20.0, 30.0, -200.0, 0.0])).unwrap();
    assert_eq!(reply.results.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 0, 3, 2]);
    assert_eq!(reply.results.iter().map(|one| one.relevance_score).collect::<Vec<_>>(), [1.0, 1.0, 0.5, 0.0]);
}

#[test]
fn a_verdict_that_is_no_number_is_a_fault() {
    for useless in [vec![f32::NAN], vec![f32::INFINITY], vec![], vec![1.0, 2.0]] {
        assert!(verdict((0, &useless)).is_err());
    }
}
