//! Files and settings that are no voice are an error that says what is wrong.

use megabrain_runtime::LoadError;
use tempfile::TempDir;

use super::*;

#[test]
fn settings_need_only_the_weights() {
    let config: Config = serde_json::from_str(r#"{"weights":"m.onnx"}"#).unwrap();
    config.check().unwrap();
    assert_eq!((config.slots, config.speed, config.max_text, config.pause.as_millis()), (2, 1.0, 10_000, 200));
    assert_eq!(config.weights.config(), PathBuf::from("m.onnx.json"));
    let both: Config = serde_json::from_str(r#"{"weights":{"model":"m.onnx","config":"c.json"}}"#).unwrap();
    assert_eq!((both.weights.model(), both.weights.config()), ("m.onnx".as_ref(), "c.json".into()));
    let error = serde_json::from_str::<Config>(r#"{"weights":{"model":"m.onnx"}}"#).unwrap_err().to_string();
    assert!(error.contains("`model` and `config`"), "{error}");
    let own = Inference { noise_scale: 0.5, length_scale: 1.2, noise_w: 0.7 };
    assert_eq!(config.inference(own), own);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    assert!(serde_json::from_str::<Config>(r#"{"weights":"m.onnx","slot":3}"#).is_err(), "an unknown field");
    for more in
        [r#","slots":0"#, r#","slots":1000"#, r#","speed":0"#, r#","speed":9"#, r#","pause":"1h"#, r#","max_text":0"#]
    {
        let more = if more.ends_with('h') { format!("{more}\"") } else { more.to_owned() };
        let outcome = config(&more).check();
        assert!(matches!(outcome, Err(LoadError::Config(_))), "{more}: {outcome:?}");
    }
    let noisy: Config = serde_json::from_str(r#"{"weights":"m.onnx","noise_w":-1}"#).unwrap();
    assert!(matches!(noisy.check(), Err(LoadError::Config(_))));
}

#[test]
fn a_voice_is_two_files() {
    let folder = TempDir::new().unwrap();
    let weights = folder.path().join("voice.onnx");
    std::fs::copy(models().join("en_US-joe-medium.onnx"), &weights).unwrap();
    let config = Config { weights: Weights::Model(weights), ..config("") };
    let Err(LoadError::Weights(message)) = engine::read(&config) else { panic!("read without its config") };
    assert!(message.contains("voice.onnx.json") && message.contains("two files"), "{message}");
    std::fs::write(config.weights.config(), "{}").unwrap();
    let Err(LoadError::Weights(message)) = engine::read(&config) else { panic!("read an empty config") };
    assert!(message.contains("does not describe a Piper voice"), "{message}");
}

#[test]
fn weights_that_are_cut_off_or_something_else_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let whole = std::fs::read(models().join("en_US-joe-medium.onnx")).unwrap();
    let mut config = config("");
    let reader = engine::read(&config).unwrap();
    let runtime = Runtime::load(config.weights.model()).unwrap();
    let device = Device::named("ram", &runtime).unwrap();
    let manner = Manner { speaker: 0, inference: reader.voice.inference };
    for (name, bytes) in [("empty.onnx", &whole[..0]), ("half.onnx", &whole[..whole.len() / 2]), ("text.onnx", b"text")]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        config.weights = Weights::Model(path);
        let outcome = engine::open(&config, &reader, &manner, &runtime, &device, 1);
        assert!(matches!(&outcome, Err(LoadError::Weights(message)) if message.contains(name)), "{outcome:?}");
    }
}
