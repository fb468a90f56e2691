//! Leads whisper.cpp's calls into ggml through `src/abort.rs`, which says why.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-link-arg=-Wl,--wrap=ggml_backend_sched_graph_compute");
    }
}
