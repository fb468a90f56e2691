//! A program that is missing or misbehaves in espeak-ng's place is told apart from one that works, and does not hang us.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use megabrain_runtime::LoadError;
use tempfile::TempDir;

use super::*;
use crate::espeak::Espeak;

/// A program that does this once it has said that it is there.
fn program(folder: &TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("espeak");
    // Asked for "a", as a trial: it answers.
    let text = format!("#!/bin/sh\nread -r words\nif [ \"$words\" = a ]; then echo a; exit; fi\n{script}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn refused(program: impl AsRef<Path>, voice: &str) -> String {
    match Espeak::new(program.as_ref().to_owned(), voice) {
        Err(LoadError::Config(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_program_says_how_to_get_it() {
    let message = refused("/nowhere/espeak-ng", "en-us");
    assert!(message.contains("/nowhere/espeak-ng") && message.contains("apt-get install espeak-ng"), "{message}");
}

#[test]
fn a_voice_that_it_has_not_is_refused_by_name() {
    let message = refused("espeak-ng", "nowhere");
    assert!(message.contains("`nowhere`"), "{message}");
}

#[test]
fn words_become_phonemes() {
    let espeak = Espeak::new("espeak-ng".into(), "en-us").unwrap();
    assert_eq!(espeak.phonemes("Hello world,", &|| false).unwrap(), "həlˈoʊ wˈɜːld");
    // It takes a breath after "Mr."; we do not.
    assert_eq!(espeak.phonemes("Mr. Smith", &|| false).unwrap(), "mˈɪstɚ smˈɪθ");
    assert_eq!(espeak.phonemes("", &|| false).unwrap(), "");
}

#[test]
fn a_program_that_hangs_ends_with_its_work() {
    let folder = TempDir::new().unwrap();
    let espeak = Espeak::new(program(&folder, "exec sleep 1000"), "en-us").unwrap();
    let began = Instant::now();
    let outcome = espeak.phonemes("hello\n", &|| began.elapsed() > Duration::from_millis(200));
    assert!(matches!(outcome, Err(Stop::Interrupted)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_program_that_does_not_stop_talking_is_stopped() {
    let folder = TempDir::new().unwrap();
    let espeak = Espeak::new(program(&folder, "exec yes"), "en-us").unwrap();
    let outcome = espeak.phonemes("hello\n", &|| false);
    assert!(matches!(&outcome, Err(Stop::Fault(fault)) if fault.message.contains("more than")), "{outcome:?}");
}

#[test]
fn a_program_that_does_not_listen_is_no_harm() {
    let folder = TempDir::new().unwrap();
    let espeak = Espeak::new(program(&folder, "exit 1"), "en-us").unwrap();
    assert_eq!(espeak.phonemes(&"long ".repeat(10), &|| false).unwrap(), "");
}

#[test]
fn a_program_gets_no_secrets() {
    let folder = TempDir::new().unwrap();
    let espeak = Espeak::new(program(&folder, "env | cut -d = -f 1 | sort"), "en-us").unwrap();
    let seen = espeak.phonemes("hello\n", &|| false).unwrap();
    let known = ["ESPEAK_DATA_PATH", "LD_LIBRARY_PATH", "OLDPWD", "PATH", "PWD", "SHLVL", "_"];
    assert!(seen.contains("PATH") && seen.split(' ').all(|name| known.contains(&name)), "{seen}");
}
