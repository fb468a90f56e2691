//! What does a caller see of an answer that goes wrong on its way, and does whoever works on it then stop?

use std::time::Duration;

use bytes::Bytes;
use megabrain_bus::{Bus, Call, Frame, FrameStream, Incoming, RawSubscription, Requests, Target};
use megabrain_node::connection::Role;
use megabrain_schemas::{ChatFrame, ChatReply, ChatRequest, Fault, FaultKind, FinishReason, Message, Name};
use megabrain_schemas::{Timings, Usage, subject};
use megabrain_tests::{Server, name};

/// A bus, a caller, and a model that the test writes by hand.
struct Bench {
    server: Server,
    caller: Bus,
    writer: Bus,
    requests: Requests,
    cancels: RawSubscription,
}

impl Bench {
    async fn new() -> Self {
        let mut server = Server::new().await;
        server.start().await;
        let caller = server.connection().connect(Role::Client, "caller", false).await.unwrap();
        let writer = server.connection().connect(Role::Node, "writer", false).await.unwrap();
        let requests = writer.serve("mb.v1.chat.writer", None).await.unwrap();
        let cancels = writer.subscribe("mb.v1.cancel.*", None).await.unwrap();
        reached(&writer).await;
        Self { server, caller, writer, requests, cancels }
    }

    /// Opens a stream: its reader, its work, and the request as the model has it.
    async fn open(&mut self) -> (FrameStream, Name, Incoming) {
        let (call, work) = call();
        let stream = self.caller.stream(&Target::Model(name("writer")), &story(), call).await.unwrap();
        (stream, work, next(&mut self.requests).await)
    }

    async fn send(&self, to: &Incoming, body: impl Into<Bytes>) {
        self.writer.publish(to.responder.reply(), None, body.into()).await.unwrap();
    }

    /// The next cancel that the model hears must be of this work.
    async fn hears_cancel(&mut self, work: &Name) {
        let heard =
            tokio::time::timeout(Duration::from_secs(5), self.cancels.next()).await.expect("no cancel").unwrap();
        assert_eq!(heard.subject, subject::cancel(work));
    }
}

/// Waits until the server knows of everything that was sent, subscriptions too.
async fn reached(bus: &Bus) {
    assert_eq!(bus.refusal().await, None);
}

async fn next(requests: &mut Requests) -> Incoming {
    tokio::time::timeout(Duration::from_secs(5), requests.next()).await.expect("no request").unwrap()
}

fn call() -> (Call, Name) {
    let call = Call::within(Duration::from_secs(30));
    let work = call.meta.work.clone();
    (call, work)
}

fn story() -> ChatRequest {
    ChatRequest { messages: vec![Message::user("Tell a story.")], stream: true, ..ChatRequest::default() }
}

fn end() -> ChatReply {
    let (usage, timings) = (Usage::default(), Timings::default());
    ChatReply { message: None, finish_reason: FinishReason::Stop, usage, timings }
}

/// Reads parts until something else comes: how many there were, and what came.
async fn read(stream: &mut FrameStream) -> (usize, Result<ChatReply, Fault>) {
    for parts in 0.. {
        match stream.next::<ChatRequest>().await.expect("an end") {
            Ok(Frame::Part(..)) => {}
            Ok(Frame::End(_, reply)) => return (parts, Ok(reply)),
            Err(fault) => return (parts, Err(fault)),
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_gap_and_a_frame_that_cannot_be_read_end_the_stream_and_cancel_the_work() {
    let mut bench = Bench::new().await;
    for (second, kind, part) in [
        (r#"{"seq":2,"delta":"b"}"#, FaultKind::WorkerLost, "frames 1 to 1"),
        (r#"{"seq":1,"delta":5}"#, FaultKind::Engine, "cannot be read"),
        (r#"{"seq":"#, FaultKind::Engine, "cannot be read"),
    ] {
        let (mut stream, work, request) = bench.open().await;
        bench.send(&request, r#"{"seq":0,"delta":"a"}"#).await;
        bench.send(&request, second).await;
        let (parts, ended) = read(&mut stream).await;
        let fault = ended.unwrap_err();
        assert_eq!((parts, fault.kind), (1, kind), "{fault}");
        assert!(fault.message.contains(part), "{fault}");
        assert!(stream.next::<ChatRequest>().await.is_none(), "nothing follows an error");
        bench.hears_cancel(&work).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_read_too_slowly_says_so_and_cancels_the_work() {
    let mut bench = Bench::new().await;
    let (mut stream, work, mut request) = bench.open().await;
    for _ in 0..10 {
        (0..1000).for_each(|_| request.responder.frame(&ChatFrame::text("a"), None));
        bench.writer.flush().await.unwrap();
    }
    // What is answered on the same connection after all frames comes after them.
    let mut questions = bench.writer.serve("mb.v1.chat.after", None).await.unwrap();
    reached(&bench.writer).await;
    let target = Target::Model(name("after"));
    let (question, chat) = (call().0, story());
    let asking = bench.caller.call(&target, &chat, question);
    let answering = async { next(&mut questions).await.responder.answer(&end()) };
    tokio::join!(asking, answering).0.unwrap();

    let (parts, ended) = read(&mut stream).await;
    let fault = ended.unwrap_err();
    assert_eq!(fault.kind, FaultKind::WorkerLost, "{fault}");
    assert!(
        fault.message.contains("read too slowly") && fault.message.contains(&parts.to_string()),
        "{parts}: {fault}"
    );
    assert!(stream.next::<ChatRequest>().await.is_none(), "nothing follows an error");
    bench.hears_cancel(&work).await;
}

#[tokio::test]
async fn a_stream_that_has_ended_is_not_cancelled() {
    let mut bench = Bench::new().await;
    let (mut stream, _, mut request) = bench.open().await;
    request.responder.frame(&ChatFrame::text("a"), None);
    request.responder.answer(&end());
    assert_eq!(read(&mut stream).await, (1, Ok(end())));
    let (mut stream, _, request) = bench.open().await;
    request.responder.fail(&Fault::engine("it broke"));
    assert_eq!(read(&mut stream).await, (0, Err(Fault::engine("it broke"))));
    let mut stream = bench.caller.stream(&Target::Model(name("nobody")), &story(), call().0).await.unwrap();
    assert_eq!(read(&mut stream).await.1.unwrap_err().kind, FaultKind::Unavailable);
    let marker = name("marker");
    bench.caller.cancel(&marker);
    bench.hears_cancel(&marker).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_the_callers_fault() {
    let mut bench = Bench::new().await;
    let target = Target::Model(name("writer"));
    for body in [&b"\xc1nonsense"[..], b"", b"{\"message\":"] {
        let (caller, chat) = (bench.caller.clone(), story());
        let asking = caller.call(&target, &chat, call().0);
        let answering = async {
            let request = next(&mut bench.requests).await;
            bench.writer.publish(request.responder.reply(), None, Bytes::copy_from_slice(body)).await.unwrap();
        };
        let fault = tokio::join!(asking, answering).0.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Engine, "{fault}");
        assert!(fault.message.contains("cannot be read"), "{fault}");
    }
}

#[tokio::test]
async fn a_bus_that_is_dropped_says_its_last_word_and_closes_its_connection() {
    let mut bench = Bench::new().await;
    let mut ends = bench.writer.subscribe("$SYS.ACCOUNT.MB.DISCONNECT", None).await.unwrap();
    reached(&bench.writer).await;
    let leaving = bench.server.connection().connect(Role::Client, "leaving", false).await.unwrap();
    let (call, work) = call();
    let stream = leaving.stream(&Target::Model(name("writer")), &story(), call).await.unwrap();
    next(&mut bench.requests).await;
    drop(stream);
    drop(leaving);
    bench.hears_cancel(&work).await;
    let closed = tokio::time::timeout(Duration::from_secs(5), ends.next()).await.expect("it stays open").unwrap();
    let event: serde_json::Value = serde_json::from_slice(&closed.payload).unwrap();
    assert_eq!(event["client"]["name"], "leaving", "{event}");
}
