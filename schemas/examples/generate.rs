//! How do the schemas, the AsyncAPI document and the golden messages come to be? `cargo run --release -p
//! megabrain-schemas --example generate` writes them; `tests/drift.rs` compares them with what is committed.

#[path = "../tests/generated/mod.rs"]
mod generated;

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let root = generated::root();
    let files = generated::files()?;
    for stale in generated::committed()?.into_iter().filter(|path| !files.contains_key(path)) {
        fs::remove_file(root.join(&stale))?;
        println!("removed schemas/{stale}");
    }
    for (path, bytes) in &files {
        let target = root.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(target, bytes)?;
    }
    println!("wrote {} files under {}", files.len(), root.display());
    Ok(())
}
