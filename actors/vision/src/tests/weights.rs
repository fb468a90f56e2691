//! Weights that are missing or something else are an error that says what is wrong, never the end of the process.

use megabrain_runtime::LoadError;
use tempfile::TempDir;

use super::*;

fn refused(config: &Config) -> String {
    let runtime = runtime();
    match Eyes::open(&runtime, config, &Device::named("ram", &runtime).unwrap(), 1) {
        Err(LoadError::Weights(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_file_is_named() {
    for change in [
        |config: &mut Config| config.weights.classify = Some("/nowhere/m.onnx".into()),
        |config: &mut Config| config.weights.detect = Some("/nowhere/m.onnx".into()),
        |config: &mut Config| config.weights.read = Some("/nowhere/m.onnx".into()),
        |config: &mut Config| config.weights.angle = Some("/nowhere/m.onnx".into()),
    ] {
        let mut config = config();
        change(&mut config);
        assert!(refused(&config).contains("/nowhere/m.onnx"));
    }
}

#[test]
fn a_model_for_something_else_is_refused_and_says_why() {
    let mut swapped = config();
    swapped.weights.classify = config().weights.read;
    let message = refused(&swapped);
    assert!(message.contains("names no pictures"), "{message}");
    swapped = config();
    swapped.weights.read = config().weights.classify;
    let message = refused(&swapped);
    assert!(message.contains("no alphabet"), "{message}");
    let folder = TempDir::new().unwrap();
    swapped.weights.read = Some(folder.path().join("sign.onnx"));
    std::fs::write(folder.path().join("sign.onnx"), media("sign.png")).unwrap();
    assert!(refused(&swapped).contains("sign.onnx"));
}

#[test]
fn a_model_without_labels_takes_them_from_a_file_beside_it() {
    // PP-OCR's classifier takes pictures of any size, so it stops there: but its labels were found first.
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("angle.onnx");
    std::fs::copy(config().weights.angle.unwrap(), &model).unwrap();
    let mut config = config();
    config.weights.classify = Some(model.clone());
    let message = refused(&config);
    assert!(message.contains("labels") && message.contains("angle.txt"), "{message}");
    std::fs::write(model.with_extension("txt"), "upright\nturned\n").unwrap();
    let message = refused(&config);
    assert!(message.contains("not pictures of one size"), "{message}");
}

fn parse(json: &str) -> Result<Config, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn a_config_needs_only_its_weights() {
    let config = parse(r#"{"weights":{"classify":"m.onnx"}}"#).unwrap();
    config.check().unwrap();
    assert_eq!((config.slots, config.max_pixels, config.device.as_str()), (2, 50_000_000, "auto"));
    parse(r#"{"weights":{"detect":"d.onnx","read":"r.onnx"}}"#).unwrap().check().unwrap();
}

#[test]
fn a_config_that_cannot_be_is_refused() {
    assert!(parse(r#"{"weights":{"classify":"m.onnx","taste":"t.onnx"}}"#).is_err(), "an unknown model");
    assert!(parse(r#"{"weights":{"classify":"m.onnx"},"slot":3}"#).is_err(), "an unknown field");
    for (json, word) in [
        (r#"{"weights":{}}"#, "nothing to see with"),
        (r#"{"weights":{"read":"r.onnx"}}"#, "one of `detect` and `read`"),
        (r#"{"weights":{"classify":"m.onnx"},"slots":0}"#, "slots"),
        (r#"{"weights":{"classify":"m.onnx"},"min_text_score":1.5}"#, "min_text_score"),
        (r#"{"weights":{"classify":"m.onnx"},"deviation":[1,0,1]}"#, "deviation"),
    ] {
        let Err(LoadError::Config(message)) = parse(json).unwrap().check() else { panic!("{json} was taken") };
        assert!(message.contains(word), "`{word}` is not in `{message}`");
    }
}

#[test]
fn a_task_without_weights_is_refused_by_name() {
    let mut config = config();
    config.weights.classify = None;
    let eyes = eyes_with(&config);
    let fault = eyes.tasks(Some(&[SeeTask::Read, SeeTask::Classify])).unwrap_err();
    assert!(fault.message.contains("cannot classify"), "{fault}");
    assert_eq!(eyes.tasks(None).unwrap(), eyes.tasks(Some(&[SeeTask::Read])).unwrap());
}

#[test]
fn half_the_eyes_still_describe_and_say_by_what() {
    let mut config = config();
    config.weights.detect = None;
    config.weights.read = None;
    let seen = see(&mut eyes_with(&config), &[media("coffee.jpg")], &[SeeTask::Describe]).unwrap().remove(0);
    assert_eq!(seen.describe.unwrap().by, "classify");
}
