//! Who gets in by HTTP, what is told of the brain there, and what is refused?

use std::time::Duration;

use megabrain_tests::{Brain, Doors, Server, error, megabrain, said};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const LIMIT: Duration = Duration::from_secs(30);

async fn get(url: String) -> (u16, Value) {
    let response = Client::new().get(url).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn it_is_alive_at_once_and_ready_with_its_models_and_tells_of_them() {
    let mut brain = Brain::start(ECHO).await;
    let doors = brain.http().await;
    assert_eq!(get(format!("{doors}/healthz")).await, (200, json!({ "status": "alive" })));
    brain.ready(&["echo"], LIMIT).await;
    let ready = loop {
        let (status, told) = get(format!("{doors}/readyz")).await;
        if status == 200 {
            break told;
        }
        // The doors hear of a model once a second.
        assert!(told["missing"][0].is_string(), "{told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(ready["status"], "ready");

    let (_, models) = get(format!("{doors}/v1/models")).await;
    let ids: Vec<&str> = models["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["brain", "echo"]);
    let (status, echo) = get(format!("{doors}/v1/models/echo")).await;
    assert_eq!((status, &echo["state"], &echo["capabilities"]), (200, &json!("ready"), &json!(["echo"])));
    let missing = Client::new().get(format!("{doors}/v1/models/gpt-4")).send().await.unwrap();
    assert_eq!(error(missing).await.0, 404);
    let (_, tags) = get(format!("{doors}/api/tags")).await;
    assert_eq!(tags["models"][1]["name"], "echo:latest");

    let page = Client::new().get(format!("{doors}/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        "megabrain_http_requests_total{route=\"/v1/models\",status=\"200\"} 1",
        "megabrain_http_requests_total{route=\"/v1/models/{id}\",status=\"404\"} 1",
        "megabrain_http_open_requests{route=\"/metrics\"} 1",
        "megabrain_http_request_seconds_count{route=\"/v1/models\"} 1",
        "megabrain_model_ready{model=\"echo\"",
        "megabrain_node_memory_available_bytes{node=",
    ] {
        assert!(page.contains(line), "no {line} in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[tokio::test]
async fn models_answer_to_other_ids_too() {
    let settings = "[gateway]\nlisten = \"127.0.0.1:0\"\n[gateway.aliases]\n\"gpt-4o\" = \"echo\"\nwhole = \"brain\"\n";
    let doors = Doors::open(&format!("{settings}{ECHO}"), &["echo"], LIMIT).await;
    for id in ["echo", "echo:latest", "gpt-4o", "gpt-4o:latest"] {
        let body = json!({ "model": id, "messages": [{ "role": "user", "content": "Who?" }] });
        let answer = doors.answer("/v1/chat/completions", &body).await;
        assert_eq!(answer["choices"][0]["message"]["content"], "Who?", "{id}: {answer}");
    }
    // Nobody here answers the brain's questions: that, and not that there is no such model.
    let body = json!({ "model": "whole", "messages": [{ "role": "user", "content": "Who?" }] });
    let (status, _, message) = error(doors.post("/v1/chat/completions", &body).await).await;
    assert_eq!(status, 503, "{message}");
}

#[tokio::test]
async fn what_is_not_there_or_too_much_is_an_error_of_openais_shape() {
    let mut brain = Brain::start(&format!("[gateway]\nlisten = \"127.0.0.1:0\"\nmax_body = \"1 KiB\"\n{ECHO}")).await;
    let doors = brain.http().await;
    let client = Client::new();
    let alive = client.get(format!("{doors}/healthz")).send().await.unwrap();
    assert!(alive.headers().contains_key("x-request-id"));
    let nothing = client.get(format!("{doors}/v1/nothing")).header("megabrain-work", "mine").send().await.unwrap();
    assert_eq!(nothing.headers()["x-request-id"], "mine");
    assert_eq!(error(nothing).await.1, "unknown_url");
    let method = client.get(format!("{doors}/v1/chat/completions")).send().await.unwrap();
    assert_eq!(error(method).await.0, 405);
    let chat = format!("{doors}/v1/chat/completions");
    let torn = client.post(&chat).body("{\"model\":").send().await.unwrap();
    assert_eq!(error(torn).await.0, 400);
    let large = client.post(&chat).body("x".repeat(2000)).send().await.unwrap();
    let (status, _, message) = error(large).await;
    assert!(status == 413 && message.contains("2000") && message.contains("1024"), "{message}");
    let unsized_body =
        reqwest::Body::wrap_stream(futures::stream::iter(vec![Ok::<_, std::io::Error>("x".repeat(2000))]));
    let large = client.post(&chat).body(unsized_body).send().await.unwrap();
    assert_eq!(error(large).await.0, 413);
    for form in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
        let none = client.post(format!("{doors}{form}")).body("{}").send().await.unwrap();
        assert_eq!(error(none).await.0, 400);
        let kind = "multipart/form-data; boundary=x";
        let torn = client.post(format!("{doors}{form}")).header("content-type", kind).body("--x\r\nno form").send();
        assert_eq!(error(torn.await.unwrap()).await.0, 400);
    }
    let deadline = client.post(&chat).header("megabrain-deadline-ms", "soon").body("{}").send().await.unwrap();
    assert!(error(deadline).await.2.contains("Megabrain-Deadline-Ms"));
}

#[tokio::test]
async fn pages_of_strangers_are_refused_whatever_name_they_found_us_by() {
    let settings =
        "[gateway]\nlisten = \"127.0.0.1:0\"\norigins = [\"https://app.example\"]\nhosts = [\"brain.example\"]\n";
    let mut brain = Brain::start(&format!("{settings}{ECHO}")).await;
    let models = format!("{}/v1/models", brain.http().await);
    let client = Client::new();
    let stranger = client.get(&models).header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(error(stranger).await.1, "origin_not_allowed");
    let preflight = client.request(reqwest::Method::OPTIONS, &models).header("origin", "https://evil.example");
    assert_eq!(preflight.header("access-control-request-method", "POST").send().await.unwrap().status(), 403);
    let rebound = client.get(&models).header("host", "evil.example").header("origin", "http://evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 403);

    let friend = client.get(&models).header("origin", "https://app.example").send().await.unwrap();
    assert_eq!(friend.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(friend.status(), 200);
    assert_eq!(client.get(&models).header("host", "brain.example").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn with_keys_nobody_comes_in_without_and_each_has_its_rights_and_limits() {
    let folder = tempfile::TempDir::new().unwrap();
    let made = |name: &str| -> (String, String) {
        let (code, told, _) = said(&mut megabrain(folder.path(), &["key", name, "--json"]));
        assert_eq!(code, 0);
        let told: Value = serde_json::from_str(&told).unwrap();
        (told["key"].as_str().unwrap().into(), told["hash"].as_str().unwrap().into())
    };
    let ((key, hash), (narrow, narrow_hash)) = (made("all"), made("narrow"));
    let settings = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[[gateway.keys]]\nname = \"all\"\nhash = \"{hash}\"\n\
         [[gateway.keys]]\nname = \"narrow\"\nhash = \"{narrow_hash}\"\nscopes = [\"embed\"]\nrequests_per_minute = 2\n"
    );
    let mut brain = Brain::start(&format!("{settings}{ECHO}")).await;
    let doors = brain.http().await;
    let client = Client::new();
    let models = format!("{doors}/v1/models");
    for wrong in ["", "Bearer mb-wrong", "Basic x"] {
        let refused = client.get(&models).header("authorization", wrong).send().await.unwrap();
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        assert_eq!(error(refused).await.1, "invalid_api_key", "{wrong}");
    }
    assert_eq!(client.get(&models).bearer_auth(&key).send().await.unwrap().status(), 200);
    assert_eq!(client.get(format!("{doors}/metrics")).send().await.unwrap().status(), 401);
    assert_eq!(client.get(format!("{doors}/healthz")).send().await.unwrap().status(), 200);
    let chat =
        client.post(format!("{doors}/v1/chat/completions")).bearer_auth(&narrow).body("{}").send().await.unwrap();
    assert_eq!(error(chat).await.1, "insufficient_scope");
    for _ in 0..2 {
        assert_eq!(client.get(&models).bearer_auth(&narrow).send().await.unwrap().status(), 200);
    }
    let limited = client.get(&models).bearer_auth(&narrow).send().await.unwrap();
    let wait: u64 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(error(limited).await.0, 429);
    assert!(!brain.log().contains(&key), "a key stands in the log");
}

#[tokio::test]
async fn a_taken_port_and_open_doors_without_keys_are_told_and_the_brain_lives() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    for (listen, told) in [(format!("127.0.0.1:{port}"), "in use"), ("0.0.0.0:0".to_owned(), "megabrain key")] {
        let mut brain = Brain::start(&format!("[gateway]\nlisten = \"{listen}\"\n{ECHO}")).await;
        brain.until(LIMIT, "word of the doors", |brain| brain.log().contains("http     none: ")).await;
        assert!(brain.log().contains(told) && brain.log().contains(&listen), "{}", brain.log());
        brain.ready(&["echo"], LIMIT).await;
        assert!(brain.stop().success());
    }
    let mut brain = Brain::start(&format!("[gateway]\nenabled = false\n{ECHO}")).await;
    brain.ready(&["echo"], LIMIT).await;
    assert!(!brain.log().contains("http "), "{}", brain.log());
}

#[tokio::test]
async fn without_the_bus_it_is_alive_yet_not_ready_and_says_so() {
    let mut server = Server::new().await;
    server.start().await;
    let mut brain = Brain::start_on(&server, ECHO);
    let doors = brain.http().await;
    brain.ready(&["echo"], LIMIT).await;
    server.stop();
    let told = loop {
        let (status, told) = get(format!("{doors}/readyz")).await;
        if status == StatusCode::SERVICE_UNAVAILABLE.as_u16() && told["missing"] == json!(["the bus"]) {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(told["status"], "not ready");
    assert_eq!(get(format!("{doors}/healthz")).await.0, 200);
}
