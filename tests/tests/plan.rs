//! Does `megabrain plan` tell, before anything starts, what a brain needs and what of that is missing?

use std::path::Path;

use megabrain_tests::{megabrain, said};
use serde_json::Value;
use tempfile::TempDir;

/// A file of the repository.
fn file(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

fn plan_of(brain: &str, environment: &[(&str, &str)]) -> (i32, Value) {
    let folder = TempDir::new().unwrap();
    let mut command = megabrain(folder.path(), &["plan", brain, "--json"]);
    let (code, answer, errors) = said(command.envs(environment.iter().copied()));
    (code, serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}{errors}")))
}

fn missing(plan: &Value) -> Vec<&str> {
    plan["missing"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

fn model<'a>(plan: &'a Value, name: &str) -> &'a Value {
    plan["models"].as_array().unwrap().iter().find(|model| model["model"] == name).unwrap()
}

#[test]
fn the_starter_brain_fits_and_the_plan_says_where_its_bytes_go() {
    let folder = TempDir::new().unwrap();
    let brain = folder.path().join("brain.toml");
    // Its usual port may be somebody else's on this machine.
    let starter = std::fs::read_to_string(file("megabrain.toml")).unwrap();
    let elsewhere = starter.replace("\n[gateway]\n", "\n[gateway]\nlisten = \"127.0.0.1:0\"\n");
    assert_ne!(starter, elsewhere);
    std::fs::write(&brain, elsewhere).unwrap();
    let (code, plan) = plan_of(&brain.display().to_string(), &[]);
    assert_eq!(missing(&plan), Vec::<&str>::new());
    assert_eq!((code, &plan["fits"]), (0, &Value::Bool(true)));
    let deep = model(&plan, "deep");
    assert_eq!((&deep["device"], &deep["is_whole"], &deep["to_fetch_bytes"]), (&"ram".into(), &true.into(), &0.into()));
    let share = &deep["places"][0];
    // All the weights, which are what the file has but for its text, and a cache and buffers beside them.
    let weights = share["weights_bytes"].as_f64().unwrap() / deep["weights_bytes"].as_f64().unwrap();
    assert!((0.95..=1.0).contains(&weights), "{deep}");
    assert!(
        share["kv_bytes"].as_u64().unwrap() > 1 << 20 && share["compute_bytes"].as_u64().unwrap() > 1 << 20,
        "{deep}"
    );
    // Vectors remember nothing: there is no cache.
    let embed = &model(&plan, "embed")["places"][0];
    assert_eq!((&embed["place"], &embed["kv_bytes"]), (&"ram".into(), &0.into()), "{embed}");
    assert!(
        embed["weights_bytes"].as_u64() > Some(40 << 20) && embed["compute_bytes"].as_u64() > Some(1 << 20),
        "{embed}"
    );
    let ram = plan["places"].as_array().unwrap().iter().find(|place| place["name"] == "ram").unwrap();
    assert!(ram["needed_bytes"].as_u64() > share["weights_bytes"].as_u64(), "{ram}");
    assert!(ram["models"].as_array().unwrap().contains(&"deep".into()), "{ram}");
}

#[test]
fn a_machine_without_the_cards_and_out_of_the_hubs_reach_is_told_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().display().to_string();
    // No backend of a card, and nothing listens on port 1.
    let bare = [("XDG_CACHE_HOME", cache.as_str()), ("MEGABRAIN_BACKENDS", ""), ("HF_ENDPOINT", "http://127.0.0.1:1")];
    let workstation = file("brains/workstation.toml");
    let (code, plan) = plan_of(&workstation, &bare);
    assert_eq!((code, &plan["fits"]), (1, &Value::Bool(false)));
    let lines = missing(&plan);
    let told = |begin: &str, word: &str| lines.iter().any(|line| line.starts_with(begin) && line.contains(word));
    assert!(told("cuda0, for fast: ", "make backend-cuda"), "{lines:#?}");
    assert!(told("vulkan0, for light: ", "make backend-vulkan"), "{lines:#?}");
    assert!(
        told("the hub, from which the weights of deep, fast, light, whisper come: ", "cannot be reached"),
        "{lines:#?}"
    );
    assert!(model(&plan, "deep").get("weights_bytes").is_none(), "nobody knows its size");

    // `up --check` says the same, and for a person it is a list.
    let mut check = megabrain(folder.path(), &["up", &workstation, "--check"]);
    let (code, text, _) = said(check.envs(bare));
    assert_eq!(code, 1, "{text}");
    for words in ["size unknown until fetched", "not here", "missing here:\n", "  cuda0, for fast: "] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_an_actor_does_not_know_and_an_actor_that_nobody_knows_are_told_by_model() {
    let folder = TempDir::new().unwrap();
    let brain = folder.path().join("brain.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!(
        "[bus]\nport = {port}\n[gateway]\nlisten = \"0.0.0.0:{port}\"\n\
         [models.typo]\nactor = \"llm\"\nweights = \"smollm2-135m\"\nslot = 4\n\
         [models.wild]\nactor = \"llm\"\nweights = \"smollm2-135m\"\ntemperature = 9\n\
         [models.nobody]\nactor = \"oracle\"\n\
         [models.lost]\nactor = \"echo\"\nweights = \"no/such.gguf\"\n"
    );
    std::fs::write(&brain, text).unwrap();
    let (code, plan) = plan_of(&brain.display().to_string(), &[]);
    assert_eq!(code, 1);
    let lines = missing(&plan);
    for (begin, word) in [
        ("typo: ", "unknown field `slot`"),
        ("wild: ", "temperature is 9"),
        ("nobody: ", "there is no actor oracle"),
        ("lost: ", "no/such.gguf"),
        (format!("port {port}").as_str(), "cannot be had"),
        ("http: ", "there are no keys"),
    ] {
        assert!(lines.iter().any(|line| line.starts_with(begin) && line.contains(word)), "{begin}{word}: {lines:#?}");
    }

    // With its settings mended, the doors still have no port.
    let mended = std::fs::read_to_string(&brain).unwrap().replace("0.0.0.0", "127.0.0.1");
    std::fs::write(&brain, mended).unwrap();
    let (_, plan) = plan_of(&brain.display().to_string(), &[]);
    let lines = missing(&plan);
    assert!(lines.iter().any(|line| line.starts_with("http: cannot listen on 127.0.0.1")), "{lines:#?}");
}
