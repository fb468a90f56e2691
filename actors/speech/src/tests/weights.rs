//! Weights that are missing, damaged or something else are an error that says what to do, never the end of the process.

use megabrain_runtime::LoadError;

use super::*;
use crate::config::Config;
use crate::weights::check;

fn refused(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    match crate::engine::load(file.path(), WhisperContextParameters::new()) {
        Err(LoadError::Weights(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_starter_weights_are_whole() {
    check(&weights()).unwrap();
}

#[test]
fn missing_weights_say_what_to_do() {
    let outcome = crate::engine::load("/nowhere/ggml.bin".as_ref(), WhisperContextParameters::new());
    let Err(LoadError::Weights(message)) = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("/nowhere/ggml.bin") && message.contains("make setup"), "{message}");
}

#[test]
fn something_else_is_not_a_model() {
    assert!(refused(b"").contains("not a Whisper model"));
    assert!(refused(b"GGUF\x03\0\0\0rest").contains("not a Whisper model"));
    assert!(refused(&media("question.wav")).contains("not a Whisper model"));
}

#[test]
fn a_model_cut_off_anywhere_is_refused() {
    let whole = std::fs::read(weights()).unwrap();
    for left in [4, 20, 60, 5_000, 300_000, 1_000_000, whole.len() / 2, whole.len() - 1] {
        let message = refused(&whole[..left]);
        assert!(message.contains("cut off or damaged"), "{left} bytes: {message}");
    }
}

#[test]
fn a_damaged_header_is_refused() {
    let whole = std::fs::read(weights()).unwrap();
    for field in 1..11 {
        let mut damaged = whole[..2_000_000].to_vec();
        damaged[field * 4..field * 4 + 4].copy_from_slice(&(-1_i32).to_le_bytes());
        assert!(refused(&damaged).contains("cut off or damaged"), "field {field}");
    }
}

#[test]
fn a_model_without_its_last_tensors_is_refused_by_whisper() {
    // Up to the end of the first tensor: the structure is right, the model is not.
    let whole = std::fs::read(weights()).unwrap();
    let name = b"decoder.token_embedding.weight";
    let second = whole.windows(name.len()).position(|window| window == name).unwrap() - 12 - 8;
    refused(&whole[..second]);
}

fn config(json: &str) -> Result<Config, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn a_config_needs_only_its_weights() {
    let config = config(r#"{"weights":"m.bin"}"#).unwrap();
    config.check().unwrap();
    assert_eq!((config.slots, config.states, config.skip_silence), (8, 2, true));
    assert_eq!((config.max_audio, config.silence_dbfs), (Duration::from_secs(3600), -60.0));
    assert_eq!(config.device().unwrap().0, if cfg!(any(feature = "cuda")) { "cuda0" } else { "ram" });
}

#[test]
fn a_config_that_cannot_be_is_refused() {
    assert!(config(r#"{"weights":"m.bin","slot":3}"#).is_err(), "an unknown field");
    assert!(config(r#"{"weights":"m.bin","max_audio":"soon"}"#).is_err(), "not a duration");
    for json in [
        r#"{"weights":"m.bin","slots":0}"#,
        r#"{"weights":"m.bin","states":65}"#,
        r#"{"weights":"m.bin","max_audio":"0s"}"#,
        r#"{"weights":"m.bin","silence_dbfs":6}"#,
    ] {
        assert!(matches!(config(json).unwrap().check(), Err(LoadError::Config(_))), "{json}");
    }
}

#[test]
#[cfg(not(any(feature = "cuda", feature = "hipblas", feature = "vulkan")))]
fn a_card_is_refused_by_a_build_for_the_cpu() {
    for (device, word) in [("cuda0", "--features cuda"), ("rocm1", "--features hipblas"), ("tpu0", "can be")] {
        let config = config(&format!(r#"{{"weights":"m.bin","device":"{device}"}}"#)).unwrap();
        let Err(LoadError::Config(message)) = config.device() else { panic!("{device} was taken") };
        assert!(message.contains(word), "{message}");
    }
}
