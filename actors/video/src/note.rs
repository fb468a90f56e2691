//! What should a person know about what came of a film? Where it was damaged, and what it lacks.

use std::time::Duration;

use crate::config::Config;
use crate::film::Film;
use crate::pick::Pick;
use crate::pictures::Pictures;
use crate::running::{Ending, Running};
use crate::sound::Listening;

/// What is told of a length that differs by less is not worth a word.
const SLACK: Duration = Duration::from_secs(1);

/// Everything worth a word, or nothing. `there` is how much of the film was seen or heard.
pub(crate) fn note(
    film: &Film,
    pick: &Pick,
    pictures: Option<&Pictures>,
    sound: Option<&Listening>,
    there: Duration,
    config: &Config,
) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    words.extend(of_pictures(pictures));
    words.extend(of_sound(sound));
    let told = film.duration.unwrap_or(there);
    if told.max(there) > config.max_film {
        words.push(format!("only the first {} were taken", humantime::format_duration(config.max_film)));
    } else if told > there + SLACK {
        words.push(format!(
            "the film tells of {:.1} s, and {:.1} s are there",
            told.as_secs_f64(),
            there.as_secs_f64()
        ));
    }
    words.extend(pick.note.clone().filter(|_| pictures.is_some()));
    (!words.is_empty()).then(|| words.join("; "))
}

fn of_pictures(pictures: Option<&Pictures>) -> Option<String> {
    let Some(pictures) = pictures else { return Some("the film has no pictures".to_owned()) };
    let why = why(&pictures.running);
    match (pictures.count(), why) {
        (0, why) => Some(format!("no picture can be decoded{}", why.unwrap_or_default())),
        (_, Some(why)) => Some(format!("the pictures are damaged{why}")),
        (_, None) => None,
    }
}

fn of_sound(sound: Option<&Listening>) -> Option<String> {
    let Some(sound) = sound else { return Some("the film has no sound".to_owned()) };
    let why = why(&sound.running);
    match (sound.end_ms(), why) {
        (None, why) => Some(format!("no sound can be decoded{}", why.unwrap_or_default())),
        (Some(_), Some(why)) => Some(format!("the sound is damaged{why}")),
        (Some(_), None) => (!sound.is_audible()).then(|| "the sound is silent".to_owned()),
    }
}

/// What the child complained of, as the end of a sentence.
pub(crate) fn why(running: &Running) -> Option<String> {
    let log = running.log();
    match (log.complaint(), running.ending()) {
        (Some(complaint), _) => Some(format!(": {complaint}")),
        (None, Some(Ending::Exit(0)) | None) => None,
        (None, Some(_)) => Some(String::new()),
    }
}
