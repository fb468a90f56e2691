//! Is a question answered from what could be found, by the time it has, and never from less than it needs?

use std::time::{Duration, Instant};

use megabrain_bus::{Call, Target};
use megabrain_schemas::{
    Ask, AskReply, Codec, ECHO_MIME, EchoRequest, Fault, FaultKind, LegStatus, Media, Need, NeedWord,
};
use megabrain_tests::{Brain, name};

const LIMIT: Duration = Duration::from_secs(60);

fn attachment(text: &str, delay_ms: u64) -> Media {
    let echo = EchoRequest { text: Some(text.into()), delay_ms, ..EchoRequest::default() };
    Media::inline(ECHO_MIME, Codec::MessagePack.encode(&echo).unwrap())
}

fn broken() -> Media {
    Media::inline(ECHO_MIME, b"\xc1".to_vec())
}

#[tokio::test]
async fn a_question_says_how_many_of_its_attachments_it_needs() {
    let mut brain = Brain::start("[models.echo]\nactor = \"echo\"\n").await;
    brain.ready(&["echo"], LIMIT).await;
    let bus = brain.client().await;
    let ask = async |need: Option<Need>| -> Result<AskReply, Fault> {
        let ask = Ask {
            attachments: vec![attachment("found", 0), broken()],
            models: Some(Vec::new()),
            need,
            ..Ask::default()
        };
        bus.call(&Target::Router, &ask, Call::within(LIMIT)).await
    };
    for enough in [None, Some(Need::Word(NeedWord::Any)), Some(Need::Count(1)), Some(Need::Count(0))] {
        let reply = ask(enough).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.legs.len()), ("found", 2), "{enough:?}");
        assert_eq!(reply.legs[1].status, Some(LegStatus::Failed), "{enough:?}");
    }
    for too_few in [Need::Word(NeedWord::All), Need::Count(2), Need::Count(9)] {
        let fault = ask(Some(too_few)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest, "{too_few:?}: {fault}");
        assert!(fault.message.contains("attachment 1") && !fault.message.contains("attachment 0"), "{fault}");
    }
}

#[tokio::test]
async fn a_leg_that_is_late_is_left_behind_and_the_question_is_answered() {
    let models =
        "[models.echo]\nactor = \"echo\"\n[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 512\n";
    let mut brain = Brain::start(models).await;
    brain.ready(&["echo", "fast"], LIMIT).await;
    let bus = brain.client().await;
    let ask = Ask {
        text: Some("What was found?".into()),
        attachments: vec![attachment("a red boat", 0), attachment("never", 3_600_000)],
        models: Some(vec![name("fast")]),
        max_tokens: Some(8),
        ..Ask::default()
    };
    let began = Instant::now();
    let reply: AskReply = bus.call(&Target::Router, &ask, Call::within(Duration::from_secs(10))).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let status: Vec<_> = reply.legs.iter().map(|leg| (leg.leg.as_str(), leg.status.unwrap())).collect();
    assert_eq!(status, [("0", LegStatus::Ok), ("1", LegStatus::Late), ("2", LegStatus::Ok)]);
    assert_eq!(reply.evidence.len(), 1);
    assert!(!reply.text.is_empty() && reply.left_out.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_into_the_context_is_left_out_and_told() {
    let models =
        "[models.echo]\nactor = \"echo\"\n[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 512\n";
    let mut brain = Brain::start(models).await;
    brain.ready(&["echo", "fast"], LIMIT).await;
    let bus = brain.client().await;
    let ask = Ask {
        text: Some("What was found?".into()),
        attachments: (0..40).map(|number| attachment(&format!("boat number {number} of the harbour"), 0)).collect(),
        models: Some(vec![name("fast")]),
        max_tokens: Some(8),
        ..Ask::default()
    };
    let reply: AskReply = bus.call(&Target::Router, &ask, Call::within(LIMIT)).await.unwrap();
    assert_eq!(reply.evidence.len(), 40);
    assert!((1..40).contains(&reply.left_out.len()), "{:?}", reply.left_out);
    let prompt_tokens = reply.usage.unwrap().prompt_tokens;
    assert!((200..512 - 8).contains(&prompt_tokens), "{prompt_tokens} tokens were put to the model");
}
