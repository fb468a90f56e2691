//! Whatever is sent, something honest comes: sound, or nothing; never the end of the process.

use super::*;
use crate::sentences::pieces;

/// The sound of a whole text, a sentence after the other.
fn said(speaker: &mut Speaker, text: &str) -> Vec<Vec<i16>> {
    pieces(text).iter().filter_map(|sentence| speaker.say(sentence, 1.0)).collect()
}

#[test]
fn where_there_is_nothing_to_say_nothing_is_said() {
    let mut speaker = Speaker::new();
    for text in
        ["...", "?!", " \n\t ", "—", "()[]{}\"'", "\u{200b}\u{feff}", "\0\u{1}\u{7f}", ", , ,", "\u{301}\u{301}"]
    {
        assert!(said(&mut speaker, text).is_empty(), "{text:?}");
    }
}

#[test]
fn what_can_be_said_is_said() {
    let mut speaker = Speaker::new();
    for text in [
        "a",
        "42",
        "Ünïcödé",
        "Привет, мир!",
        "你好，世界。",
        "مرحبا",
        "🙂",
        "👩‍👩‍👧‍👦",
        "<b>bold</b> &amp;",
        "[[h@l@U]]",
        "https://example.org/a?b=c",
        "x = y²",
        "$1,000.50",
        "a\0b",
        "-v de --ipa",
        "'; rm -rf /",
        "%n%s",
    ] {
        let said = said(&mut speaker, text);
        assert!(!said.is_empty() && said.iter().all(|samples| samples.len() > 1000), "{text:?}");
    }
}

#[test]
fn brackets_are_no_phonemes() {
    let espeak = Speaker::new().reader.espeak.unwrap();
    let say = |text: &str| espeak.phonemes(&pieces(text).join(" "), &|| false).unwrap();
    // espeak-ng by itself would say "hello".
    assert_ne!(say("[[h@l'oU]]"), say("hello"));
    assert_eq!(say("[hello]"), say("hello"));
}

#[test]
fn a_word_without_end_is_cut_and_said() {
    let mut speaker = Speaker::new();
    let text = "x".repeat(400);
    let said = said(&mut speaker, &text);
    assert_eq!(said.len(), 3);
}

#[test]
fn text_is_no_argument_and_no_command() {
    let espeak = Speaker::new().reader.espeak.unwrap();
    for text in ["--help", "-f /etc/passwd", "$(id)", "`id`", "|id"] {
        let phonemes = espeak.phonemes(text, &|| false).unwrap();
        assert!(!phonemes.is_empty() && !phonemes.contains("root") && phonemes.len() < 300, "{text}: {phonemes}");
    }
}
