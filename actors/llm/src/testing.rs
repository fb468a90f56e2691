//! Where are the models that the tests need?

use std::path::PathBuf;

/// The smallest real model. Tests fail without it: a model test that skips tests nothing.
pub(crate) fn smollm2() -> PathBuf {
    model("SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// The same as a mixture of experts.
pub(crate) fn smollm2_experts() -> PathBuf {
    model("SmolLM2-135M-Instruct-4-experts.Q4_1.gguf")
}

/// A real model whose chat template knows of tools.
pub(crate) fn qwen() -> PathBuf {
    model("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")
}

/// A real model that makes vectors of texts.
pub(crate) fn minilm() -> PathBuf {
    model("all-MiniLM-L6-v2.F16.gguf")
}

/// A real model that says how well a text answers a query.
pub(crate) fn reranker() -> PathBuf {
    model("ms-marco-MiniLM-L12-v2.F16.gguf")
}

/// A toy projector for [`smollm2`]: it names eight colours. `models/make_colour_projector.py` tells how it was made.
pub(crate) fn colours() -> PathBuf {
    model("mmproj-SmolLM2-135M-colours.gguf")
}

fn model(file: &str) -> PathBuf {
    let path = crate::devices::cache_folder().join("models").join(file);
    assert!(path.exists(), "{} is missing: `make setup` fetches it", path.display());
    path
}
