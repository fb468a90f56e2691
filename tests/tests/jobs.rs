//! Does a job that was taken in come to its one end, whatever dies meanwhile, and is its caller told?

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use megabrain_node::connection::Role;
use megabrain_schemas::{BlobRef, subject};
use megabrain_tests::{Brain, Doors, Receiver, Server, error, megabrain, ordeal, presence, programs, said, signal};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";

/// Doors that may call this receiver.
pub(crate) async fn doors_for(receiver: &Receiver) -> Doors {
    Doors::open(&settings_for(receiver), &["echo"], LIMIT).await
}

pub(crate) fn settings_for(receiver: &Receiver) -> String {
    format!("[gateway]\nlisten = \"127.0.0.1:0\"\nallow = [\"{}\"]\n{ECHO}", receiver.host())
}

pub(crate) fn echo(body: &Value) -> Value {
    json!({ "capability": "echo", "model": "echo", "body": body })
}

pub(crate) async fn hand_in(doors: &Doors, job: &Value) -> String {
    let answer = doors.post("/v1/jobs", job).await;
    let (status, location) = (answer.status(), answer.headers().get("location").cloned());
    let told: Value = answer.json().await.unwrap();
    assert_eq!(status, 202, "{told}");
    let id = told["id"].as_str().unwrap().to_owned();
    assert_eq!(location.unwrap(), format!("/v1/jobs/{id}"));
    id
}

pub(crate) async fn look(doors: &Doors, id: &str) -> Value {
    doors.get(&format!("/v1/jobs/{id}")).send().await.unwrap().json().await.unwrap()
}

/// The job, as soon as its status is this.
pub(crate) async fn until(doors: &Doors, id: &str, status: &str) -> Value {
    let end = Instant::now() + LIMIT;
    loop {
        let job = look(doors, id).await;
        if job["status"] == status {
            return job;
        }
        assert!(Instant::now() < end, "it is not {status}: {job}\n{}", doors.brain.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_job_is_done_and_its_callback_is_signed_and_tried_until_it_is_taken() {
    // As n8n does until its Wait node waits.
    let receiver = Receiver::start(&[409, 409, 500]).await;
    let doors = doors_for(&receiver).await;
    let mut job = echo(&json!({ "text": "hello" }));
    job["callback_url"] = receiver.url().into();
    let id = hand_in(&doors, &job).await;
    let done = until(&doors, &id, "succeeded").await;
    assert_eq!((&done["result"]["text"], &done["attempts"]), (&json!("hello"), &json!(1)), "{done}");
    assert!(done["created_at"].as_u64() <= done["ended_at"].as_u64(), "{done}");

    let calls = receiver.until(4, LIMIT).await;
    let secret = std::fs::read_to_string(doors.brain.folder().join("bus/callback.secret")).unwrap();
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    for call in &calls {
        assert_eq!((call.header("webhook-id"), call.header("content-type")), (id.as_str(), "application/json"));
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{}.", call.header("webhook-timestamp")).as_bytes());
        mac.update(&call.bytes);
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(call.header("webhook-signature"), signature);
        assert_eq!((&call.body()["status"], &call.body()["result"]["text"]), (&json!("succeeded"), &json!("hello")));
    }
    let end = Instant::now() + LIMIT;
    while look(&doors, &id).await["callback"]["status"] != "delivered" {
        assert!(Instant::now() < end, "{}", look(&doors, &id).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(look(&doors, &id).await["callback"]["attempts"], 4);
    assert_eq!(receiver.calls().len(), 4, "it is told once that it was taken");
    let page = doors.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "megabrain_jobs_accepted_total 1",
        "megabrain_job_attempts_total 1",
        "megabrain_jobs_ended_total{status=\"succeeded\"} 1",
        "megabrain_job_callbacks_total{outcome=\"again\"} 3",
        "megabrain_job_callbacks_total{outcome=\"delivered\"} 1",
        "megabrain_job_tasks{task=\"job\"} 0",
    ] {
        assert!(page.lines().any(|told| told == line), "no {line} in\n{page}");
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_keeps_nobody_elses_callback_waiting() {
    let receiver = Receiver::start(&[]).await;
    // The system takes connections in, and nobody looks at them.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hanging.local_addr().unwrap();
    let allow = format!("allow = [\"{}\", \"{address}\"]", receiver.host());
    let settings = format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{allow}\n{ECHO}");
    let doors = Doors::open(&settings, &["echo"], LIMIT).await;
    let mut job = echo(&json!({ "text": "hello" }));
    let mut ids = Vec::new();
    for number in 0..40 {
        job["callback_url"] = format!("http://{address}/hook/{number}").into();
        ids.push(hand_in(&doors, &job).await);
    }
    for id in &ids {
        until(&doors, id, "succeeded").await;
    }
    job["callback_url"] = receiver.url().into();
    let id = hand_in(&doors, &job).await;
    let calls = receiver.until(1, Duration::from_secs(10)).await;
    assert_eq!(calls[0].header("webhook-id"), id);
}

#[tokio::test]
async fn a_job_outlives_the_node_and_all_it_has_started() {
    let receiver = Receiver::start(&[]).await;
    let mut doors = doors_for(&receiver).await;
    let mut job = echo(&json!({ "text": "late", "delay_ms": 2500 }));
    job["callback_url"] = receiver.url().into();
    let (first, second) = (hand_in(&doors, &job).await, hand_in(&doors, &job).await);
    until(&doors, &first, "running").await;
    until(&doors, &second, "running").await;
    signal(doors.brain.node(), Signal::KILL);
    doors.start_again(&["echo"], LIMIT).await;
    for id in [&first, &second] {
        let done = until(&doors, id, "succeeded").await;
        assert_eq!((&done["result"]["text"], &done["attempts"]), (&json!("late"), &json!(2)), "{done}");
    }
    receiver.until(2, LIMIT).await;
}

#[tokio::test]
async fn an_answer_that_came_while_nobody_was_there_is_found() {
    let mut server = Server::new().await;
    server.start().await;
    // Its own process, which outlives the node.
    let mut model = std::process::Command::new(programs().join("megabrain-echo"))
        .args(["--name", "hand"])
        .envs(server.connection().environment(Role::Model))
        .spawn()
        .unwrap();
    let mut doors = Doors::of(Brain::start_on(&server, ""), &["hand"], LIMIT).await;
    let job = json!({ "capability": "echo", "model": "hand", "body": { "text": "found", "delay_ms": 2500 } });
    let id = hand_in(&doors, &job).await;
    until(&doors, &id, "running").await;
    signal(doors.brain.node(), Signal::KILL);
    tokio::time::sleep(Duration::from_secs(3)).await;
    doors.start_again(&["hand"], LIMIT).await;
    let done = until(&doors, &id, "succeeded").await;
    assert_eq!((&done["result"]["text"], &done["attempts"]), (&json!("found"), &json!(1)), "{done}");
    model.kill().unwrap();
    model.wait().unwrap();
}

#[tokio::test]
async fn what_a_stranger_has_written_among_a_jobs_frames_hides_no_answer() {
    let doors = Doors::open(ECHO, &["echo"], LIMIT).await;
    let bus = doors.brain.client().await;
    let id = hand_in(&doors, &echo(&json!({ "text": "mine", "delay_ms": 1500 }))).await;
    let frames = subject::job_frames(&id);
    let began = Instant::now();
    // While the job runs, and then for as long as it has no end.
    let strange = tokio::spawn(async move {
        loop {
            let body = json!({ "text": "strange" }).to_string().into();
            bus.publish("mb.v1.echo.echo", Some(&frames), body).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let done = until(&doors, &id, "succeeded").await;
    strange.abort();
    assert_eq!((&done["result"]["text"], &done["attempts"]), (&json!("mine"), &json!(1)), "{done}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let events = doors.get(&format!("/v1/jobs/{id}/events")).send().await.unwrap().text().await.unwrap();
    assert!(events.contains("strange"), "nobody wrote there");
}

#[tokio::test]
async fn the_clients_own_key_names_a_job_once() {
    let receiver = Receiver::start(&[]).await;
    let doors = doors_for(&receiver).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let job = echo(&json!({ "text": "once" }));
        let answer = doors.to("/v1/jobs", &job).header("idempotency-key", "order 7").send().await.unwrap();
        assert_eq!(answer.status(), 202);
        ids.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(until(&doors, &ids[0], "succeeded").await["attempts"], 1);
    let other = echo(&json!({ "text": "twice" }));
    let refused = doors.to("/v1/jobs", &other).header("idempotency-key", "order 7").send().await.unwrap();
    let (status, code, _) = error(refused).await;
    assert_eq!((status, code.as_str()), (409, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_job_is_cancelled_while_it_waits_and_while_it_runs() {
    let receiver = Receiver::start(&[]).await;
    let settings = format!("{}slots = 1\n[gateway.jobs]\nconcurrent = 1\n", settings_for(&receiver));
    let doors = Doors::open(&settings, &["echo"], LIMIT).await;
    let mut job = echo(&json!({ "text": "never", "delay_ms": 60_000 }));
    job["callback_url"] = receiver.url().into();
    let (runs, waits) = (hand_in(&doors, &job).await, hand_in(&doors, &job).await);
    until(&doors, &runs, "running").await;
    assert_eq!(look(&doors, &waits).await["status"], "queued");
    let client = reqwest::Client::new();
    for id in [&waits, &runs] {
        let url = format!("{}/v1/jobs/{id}", doors.url);
        let told: Value = client.delete(&url).send().await.unwrap().json().await.unwrap();
        assert_eq!((&told["status"], &told["error"]["kind"]), (&json!("cancelled"), &json!("cancelled")), "{told}");
        // Again is no mistake.
        assert_eq!(client.delete(&url).send().await.unwrap().status(), 200);
    }
    receiver.until(2, LIMIT).await;
    // Its place is free again.
    let id = hand_in(&doors, &echo(&json!({ "text": "next" }))).await;
    until(&doors, &id, "succeeded").await;
}

#[tokio::test]
async fn its_events_are_replayed_from_any_number_and_followed_to_the_end() {
    let receiver = Receiver::start(&[]).await;
    let doors = doors_for(&receiver).await;
    let streamed = json!({ "text": "one two three", "stream": true, "delay_ms": 500 });
    let id = hand_in(&doors, &echo(&streamed)).await;
    let read = async |id: &str, more: &str| {
        let response = doors.get(&format!("/v1/jobs/{id}/events{more}")).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = tokio::time::timeout(LIMIT, response.text()).await.expect("it ends with the job").unwrap();
        let field = |block: &str, name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
        let event = |block: &str| (field(block, "id: "), field(block, "event: "), field(block, "data: "));
        blocks.map(event).collect::<Vec<_>>()
    };
    let live = read(&id, "").await;
    let kinds: Vec<&str> = live.iter().map(|(_, kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["status", "frame", "frame", "frame", "frame", "status"], "{live:?}");
    assert!(live.last().unwrap().2.contains("succeeded"), "{live:?}");
    assert_eq!(read(&id, "").await, live, "the same again");
    let (third, _, _) = &live[2];
    assert_eq!(read(&id, &format!("?from={third}")).await, live[2..]);
    let after: u64 = live.last().unwrap().0.parse().unwrap();
    for after in [after + 1, after + 1_000_000, u64::MAX] {
        assert_eq!(read(&id, &format!("?from={after}")).await, [], "nothing follows");
    }
    // One that runs: what comes next is what follows, and the end is the end.
    for from in [after + 1_000_000, u64::MAX] {
        let id = hand_in(&doors, &echo(&json!({ "text": "later", "delay_ms": 2000 }))).await;
        until(&doors, &id, "running").await;
        let live = read(&id, &format!("?from={from}")).await;
        assert!(live.last().unwrap().2.contains("succeeded"), "{live:?}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_may_not_is_told() {
    let receiver = Receiver::start(&[]).await;
    let settings = format!("{}[models.narrow]\nactor = \"echo\"\nslots = 1\nqueue = 0\n", settings_for(&receiver));
    let doors = Doors::open(&settings, &["echo", "narrow"], LIMIT).await;
    let narrow = json!({ "capability": "echo", "model": "narrow", "body": { "text": "x", "delay_ms": 700 } });
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(hand_in(&doors, &narrow).await);
    }
    for id in &ids {
        assert_eq!(until(&doors, id, "succeeded").await["attempts"], 1, "a full queue is no attempt");
    }
    let wrong = hand_in(&doors, &echo(&json!({ "text": 5 }))).await;
    let told = until(&doors, &wrong, "failed").await;
    assert_eq!(told["error"]["kind"], "invalid_request", "{told}");
    // What is missing and will not come.
    let blob = BlobRef::of(b"never stored");
    let lost = hand_in(&doors, &echo(&json!({ "attachment": { "mime": "a/b", "blob": blob } }))).await;
    assert_eq!(until(&doors, &lost, "failed").await["error"]["kind"], "not_found");
    // Whom nobody has ever heard of.
    for nobody in
        [json!({ "capability": "chat", "model": "gpt", "body": {} }), json!({ "capability": "eccho", "body": {} })]
    {
        let (status, code, message) = error(doors.post("/v1/jobs", &nobody).await).await;
        assert_eq!((status, code.as_str()), (404, "model_not_found"), "{message}");
    }
    // One whose process dies each time is not tried for ever.
    let deadly = hand_in(&doors, &echo(&json!({ "text": "x", "delay_ms": 60_000 }))).await;
    let bus = doors.brain.client().await;
    let end = Instant::now() + LIMIT;
    let told = loop {
        let told = look(&doors, &deadly).await;
        if told["status"] == "failed" {
            break told;
        }
        assert!(Instant::now() < end, "it is tried for ever: {told}\n{}", doors.brain.log());
        // It runs a little before the process has it; one that dies between has not tried it.
        if presence(&bus, "echo").await.is_some_and(|presence| presence.in_flight == 1) {
            for process in doors.brain.children("--name echo") {
                signal(process, Signal::KILL);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((&told["error"]["kind"], &told["attempts"]), (&json!("worker_lost"), &json!(5)), "{told}");
}

#[tokio::test]
async fn callbacks_to_private_addresses_and_wrong_requests_are_refused() {
    let doors = Doors::open(ECHO, &["echo"], LIMIT).await;
    for url in [
        "http://127.0.0.1:9/x",
        "http://localhost/x",
        "http://169.254.169.254/",
        "http://[::1]:80/",
        "file:///etc/passwd",
    ] {
        let mut job = echo(&json!({ "text": "x" }));
        job["callback_url"] = url.into();
        let (status, code, message) = error(doors.post("/v1/jobs", &job).await).await;
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{url}");
        assert!(message.contains("callback_url"), "{message}");
    }
    let long = format!("https://example.org/{}", "x".repeat(2048));
    let deep = "[".repeat(70) + &"]".repeat(70);
    let deep: Value = serde_json::from_str(&deep).unwrap();
    for (job, told) in [
        (json!({ "capability": "echo", "body": {}, "callback_url": long }), "`callback_url` is longer"),
        (json!({ "capability": "echo", "body": { "x": deep } }), "`body`: the message nests deeper"),
    ] {
        let (status, _, message) = error(doors.post("/v1/jobs", &job).await).await;
        assert!(status == 400 && message.contains(told), "{message}");
    }
    let (status, _, message) = error(doors.post("/v1/jobs", &json!({ "capability": "event", "body": {} })).await).await;
    assert!(status == 400 && message.contains("capability"), "{message}");
    for path in ["/v1/jobs/none", "/v1/jobs/none/events", "/v1/jobs/%2e%2e%2f"] {
        assert_eq!(error(doors.get(path).send().await.unwrap()).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_job_is_its_owners_and_may_do_what_its_owner_may() {
    let folder = tempfile::TempDir::new().unwrap();
    let key = |name: &str, scopes: &str| {
        let (_, told, _) = said(&mut megabrain(folder.path(), &["key", name, "--json"]));
        let told: Value = serde_json::from_str(&told).unwrap();
        let (key, hash) = (told["key"].as_str().unwrap(), told["hash"].as_str().unwrap());
        (
            format!("Bearer {key}"),
            format!("[[gateway.keys]]\nname = \"{name}\"\nhash = \"{hash}\"\nscopes = {scopes}\n"),
        )
    };
    let (mine, first) = key("mine", r#"["jobs", "chat"]"#);
    let (other, second) = key("other", r#"["jobs", "embed"]"#);
    let (none, third) = key("none", r#"["chat"]"#);
    let settings = format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{first}{second}{third}{ECHO}");
    let mut brain = Brain::start(&settings).await;
    let url = brain.http().await;
    brain.ready(&["echo"], LIMIT).await;
    let client = reqwest::Client::new();
    let post = async |key: &str| {
        let job = echo(&json!({ "text": "x" }));
        client.post(format!("{url}/v1/jobs")).header("authorization", key).json(&job).send().await.unwrap()
    };
    assert_eq!(post("Bearer no").await.status(), 401);
    assert_eq!(post(&none).await.status(), 403, "it may do no jobs");
    assert_eq!(post(&other).await.status(), 403, "it may do jobs, and not this");
    let id = post(&mine).await.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    for (key, status) in [(&mine, 200), (&other, 404)] {
        let one = client.get(format!("{url}/v1/jobs/{id}")).header("authorization", key).send().await.unwrap();
        assert_eq!(one.status(), status);
    }
    let cancelled = client.delete(format!("{url}/v1/jobs/{id}")).header("authorization", &other).send().await.unwrap();
    assert_eq!(cancelled.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_while_node_bus_and_models_are_killed() {
    let outcome = ordeal(60, 3).await;
    assert_eq!((outcome.accepted, outcome.right, outcome.ambiguous), (60, 60, 0), "{outcome:?}");
    assert!(outcome.idle_kills == 0 && outcome.ran_again <= outcome.could_run, "{outcome:?}");
    assert_eq!(outcome.called.0, 60, "{outcome:?}");
}

#[tokio::test]
async fn a_node_that_stands_still_for_long_tells_a_jobs_end_once() {
    let receiver = Receiver::start(&[]).await;
    let doors = doors_for(&receiver).await;
    let mut job = echo(&json!({ "text": "late", "delay_ms": 14_000 }));
    job["callback_url"] = receiver.url().into();
    let id = hand_in(&doors, &job).await;
    until(&doors, &id, "running").await;
    // Longer than a worker may be silent: the queue may give its job out again, while its first attempt goes on.
    signal(doors.brain.node(), Signal::STOP);
    tokio::time::sleep(Duration::from_secs(11)).await;
    signal(doors.brain.node(), Signal::CONT);
    let done = until(&doors, &id, "succeeded").await;
    assert_eq!(done["result"]["text"], "late", "{done}");
    assert!(done["attempts"].as_u64().is_some_and(|attempts| attempts <= 2), "{done}");
    receiver.until(1, LIMIT).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told: Vec<Value> = receiver.calls().iter().map(|call| call.body()["status"].clone()).collect();
    assert_eq!(told, ["succeeded"]);
}

#[tokio::test]
async fn a_streamed_chat_has_its_whole_answer_in_its_result() {
    let receiver = Receiver::start(&[]).await;
    let model = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ncontext = 512\n";
    let doors = Doors::open(&format!("{}{model}", settings_for(&receiver)), &["fast"], LIMIT).await;
    let mut results = Vec::new();
    for stream in [true, false] {
        let body = json!({ "messages": [{ "role": "user", "content": "Count to ten." }], "stream": stream,
            "max_tokens": 20, "temperature": 0 });
        let job = json!({ "capability": "chat", "model": "fast", "body": body, "callback_url": receiver.url() });
        let id = hand_in(&doors, &job).await;
        results.push(until(&doors, &id, "succeeded").await["result"]["message"].clone());
    }
    assert!(results[0]["content"].as_str().is_some_and(|text| text.len() > 10), "{results:?}");
    assert_eq!(results[0], results[1]);
    for call in receiver.until(2, LIMIT).await {
        assert_eq!(call.body()["result"]["message"], results[0]);
    }
}
