//! Is each model where its table says, a card and RAM at the same time?
//!
//! The card is Mesa's software one (llvmpipe, by Vulkan): slow, yet a device of another vendor with memory of its own. It
//! compiles shaders to machine code in memory when a model computes on it, and a model that lives on it lets go of the
//! file of its weights. So the operating system tells who is where, and not only the model itself. (Which libraries a
//! process has loaded tells little: a model looks at all devices unless it is to live in RAM.)

use std::time::Duration;

use megabrain_bus::{Bus, Call, Target};
use megabrain_node::pull;
use megabrain_schemas::{ChatRequest, Message};
use megabrain_tests::{Brain, name, presence};

/// Software devices are left out unless they are asked for.
const VISIBLE: (&str, &str) = ("GGML_VK_VISIBLE_DEVICES", "0");
const LOADING: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

/// What the operating system knows of a model's process.
#[derive(Debug)]
struct Seen {
    /// Machine code that is in no file: shaders, in bytes.
    shaders: u64,
    /// How much of the weights' file lies in RAM for it, in bytes.
    weights: u64,
}

fn see(pid: u32, file: &str) -> Seen {
    let mut seen = Seen { shaders: 0, weights: 0 };
    let (mut is_shader, mut is_weights) = (false, false);
    for line in std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("its memory").lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            // A mapping: addresses, rights, offset, device, inode, and what is mapped.
            [range, rights, _, _, inode, ..] if range.contains('-') => {
                is_shader = rights.contains('x') && inode == "0" && fields.len() == 5;
                is_weights = line.ends_with(file);
            }
            ["Rss:", kibibytes, _] => {
                let bytes = kibibytes.parse::<u64>().unwrap() * 1024;
                seen.shaders += if is_shader { bytes } else { 0 };
                seen.weights += if is_weights { bytes } else { 0 };
            }
            _ => {}
        }
    }
    seen
}

/// The file of a model of the manifest, and its size.
async fn file(artefact: &str) -> (String, u64) {
    let path = megabrain_tests::artefact(artefact).await;
    (path.file_name().unwrap().to_str().unwrap().to_owned(), path.metadata().unwrap().len())
}

/// A brain that sees the software card.
async fn start(models: &str, ready: &[&str]) -> Brain {
    let backend = pull::cache_dir().join("backends/libggml-vulkan.so");
    assert!(backend.is_file(), "{} is not there: build it with `make backend-vulkan`", backend.display());
    let mut brain = Brain::start_with(models, &[VISIBLE]).await;
    brain.ready(ready, LOADING).await;
    brain
}

async fn ask(bus: &Bus, model: &str) -> String {
    let chat = ChatRequest {
        messages: vec![Message::user("Say hello.")],
        max_tokens: Some(4),
        temperature: Some(0.0),
        ..ChatRequest::default()
    };
    let reply = bus.call(&Target::Model(name(model)), &chat, Call::within(LOADING)).await.unwrap();
    reply.message.expect("a message").content
}

#[tokio::test]
async fn one_model_is_on_a_card_and_another_in_ram_at_the_same_time() {
    let models = r#"
[models.fast]
actor = "llm"
weights = "smollm2-135m"
device = "vulkan0"
context = 256
slots = 1
[models.deep]
actor = "llm"
weights = "qwen2.5-coder-0.5b"
device = "ram"
context = 256
slots = 1
"#;
    let brain = start(models, &["fast", "deep"]).await;
    let bus = brain.client().await;
    let (fast_reply, deep_reply) = tokio::join!(ask(&bus, "fast"), ask(&bus, "deep"));
    assert!(!fast_reply.is_empty() && !deep_reply.is_empty());

    let (fast, deep) = (presence(&bus, "fast").await.unwrap(), presence(&bus, "deep").await.unwrap());
    let ((fast_file, fast_size), (deep_file, deep_size)) =
        (file("smollm2-135m").await, file("qwen2.5-coder-0.5b").await);
    let (on_card, in_ram) = (see(fast.pid, &fast_file), see(deep.pid, &deep_file));
    println!("fast: {:?} with {:?} bytes; {on_card:?}", fast.device, fast.device_memory_bytes);
    println!("deep: {:?} with {:?} bytes; {in_ram:?}", deep.device, deep.device_memory_bytes);
    assert_eq!((fast.device.as_deref(), deep.device.as_deref()), (Some("vulkan0"), Some("ram")));
    // All of its weights but the table of tokens, which the processor looks up.
    assert!(fast.device_memory_bytes.unwrap() > fast_size / 2, "{:?}", fast.device_memory_bytes);
    assert!(deep.device_memory_bytes.unwrap() > deep_size * 9 / 10, "{:?}", deep.device_memory_bytes);

    assert!(on_card.shaders > 0, "fast has not computed on the card: {on_card:?}");
    assert!(on_card.weights < fast_size / 2, "the weights of fast lie in RAM: {on_card:?}");
    assert!(in_ram.shaders == 0, "deep has computed on the card: {in_ram:?}");
    assert!(in_ram.weights > deep_size * 9 / 10, "the weights of deep do not lie in RAM: {in_ram:?}");
}

#[tokio::test]
async fn the_experts_of_a_mixture_lie_in_ram_and_the_rest_on_the_card() {
    let models = r#"
[models.mixture]
actor = "llm"
weights = "smollm2-135m-moe"
device = "vulkan0"
experts = "ram"
context = 256
slots = 1
"#;
    let brain = start(models, &["mixture"]).await;
    let bus = brain.client().await;
    assert!(!ask(&bus, "mixture").await.is_empty());
    let mixture = presence(&bus, "mixture").await.unwrap();
    let (file, size) = file("smollm2-135m-moe").await;
    let seen = see(mixture.pid, &file);
    println!("mixture: {:?} with {:?} bytes of {size}; {seen:?}", mixture.device, mixture.device_memory_bytes);
    assert_eq!(mixture.device.as_deref(), Some("vulkan0"));
    // Four experts a layer are four fifths of this file.
    let on_card = mixture.device_memory_bytes.unwrap();
    assert!((20 * MIB..size / 2).contains(&on_card), "{on_card} bytes on the card");
    assert!(seen.shaders > 0, "it has not computed on the card: {seen:?}");
    assert!(seen.weights > size / 2, "the experts do not lie in RAM: {seen:?}");
}
