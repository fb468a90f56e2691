//! Is every door told of in the document that programs read, and nothing else?

use std::time::Duration;

use megabrain_tests::{Brain, megabrain, said};
use reqwest::{Client, Method};
use serde_json::{Value, json};

const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "trace"];

async fn document(url: &str) -> Value {
    let response = Client::new().get(format!("{url}/openapi.json")).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    response.json().await.unwrap()
}

#[tokio::test]
async fn each_door_is_there_with_the_methods_that_are_told_and_no_others() {
    let mut brain = Brain::start(ECHO).await;
    let url = brain.http().await;
    let document = document(&url).await;
    assert_eq!(document["openapi"], "3.1.0");
    let client = Client::new();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15, "{}", paths.len());
    for (path, told) in paths {
        for method in METHODS {
            let to = format!("{url}{}", path.replace("{id}", "none"));
            let name = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let response = client.request(name, to).timeout(Duration::from_secs(30)).send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            assert_eq!(status != 405, told.get(method).is_some(), "{method} {path}: {status} {text}");
            // A door that is none would say this.
            assert!(!text.contains("unknown_url"), "{method} {path}: {text}");
            if status != 405 {
                assert!(
                    told[method]["responses"].get(status.to_string()).is_some(),
                    "{method} {path}: {status} {text}"
                );
            }
        }
    }
}

#[tokio::test]
async fn it_is_read_without_a_key_and_says_where_one_is_asked_for() {
    let folder = tempfile::TempDir::new().unwrap();
    let (code, told, _) = said(&mut megabrain(folder.path(), &["key", "one", "--json"]));
    assert_eq!(code, 0);
    let hash = serde_json::from_str::<Value>(&told).unwrap()["hash"].take();
    let settings =
        format!("[gateway]\nlisten = \"127.0.0.1:0\"\n[[gateway.keys]]\nname = \"one\"\nhash = {hash}\n{ECHO}");
    let mut brain = Brain::start(&settings).await;
    let url = brain.http().await;
    let document = document(&url).await;
    let client = Client::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, told) in methods.as_object().unwrap() {
            let name = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let response = client.request(name, format!("{url}{}", path.replace("{id}", "none"))).send().await.unwrap();
            let is_refused = response.status() == 401;
            assert_eq!(is_refused, told["security"] != json!([]), "{method} {path}: {}", response.status());
            assert_eq!(is_refused, told["responses"].get("401").is_some(), "{method} {path}");
        }
    }
}
