//! The same pictures give what they give in Python, with the same models and the packages that these came with.
//! `tests/media/pictures.json` has what the reference said, and `models/make_pictures.py` how it was asked.

use std::collections::BTreeMap;

use megabrain_schemas::{Classified, Read};
use serde::Deserialize;

use super::*;

/// Pictures are decoded and scaled by other libraries here, so that figures differ a little.
const SCORE: f32 = 0.03;
const PIXELS: f32 = 3.0;
/// A space between words counts, too, where one finds it and the other does not.
const TEXT_SCORE: f32 = 0.05;
/// Text that the reference is less sure of than this may be found or not.
const SURE: f32 = 0.6;

/// What the reference says of one picture.
#[derive(Debug, Deserialize)]
struct Expected {
    size: [u32; 2],
    classify: Vec<Classified>,
    read: Vec<Read>,
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&media("pictures.json")).unwrap()
}

fn assert_same_classes(name: &str, seen: &[Classified], expected: &[Classified]) {
    assert_eq!(seen.len(), expected.len(), "{name}");
    assert!((seen[0].score - expected[0].score).abs() < SCORE, "{name}: {seen:?}, not {expected:?}");
    for (seen, place) in seen.iter().zip(expected) {
        // Classes that are as likely as each other may change places.
        let same = expected.iter().find(|class| class.label == seen.label);
        let score = same.map_or(expected[expected.len() - 1].score, |class| class.score);
        assert!((seen.score - score).abs() < SCORE, "{name}: {seen:?}, not {score}");
        assert!((place.score - score).abs() < SCORE, "{name}: {seen:?} in place of {place:?}");
    }
}

fn assert_same_lines(name: &str, seen: &[Read], expected: &[Read]) {
    let sure = |lines: &[Read]| lines.iter().filter(|line| line.score >= SURE).cloned().collect::<Vec<_>>();
    let (seen, expected) = (sure(seen), sure(expected));
    // Whether a gap between words is a space, the model decides by a pixel more or less: in the reference too.
    let texts = |lines: &[Read]| lines.iter().map(|line| line.text.replace(' ', "")).collect::<Vec<_>>();
    assert_eq!(texts(&seen), texts(&expected), "{name}");
    for (seen, expected) in seen.iter().zip(&expected) {
        assert!((seen.score - expected.score).abs() < TEXT_SCORE, "{name}: {seen:?}, not {expected:?}");
        for (corner, other) in seen.corners.iter().flatten().zip(expected.corners.iter().flatten()) {
            assert!((corner - other).abs() <= PIXELS, "{name}: {seen:?}, not {expected:?}");
        }
    }
}

#[test]
fn every_picture_is_seen_as_the_reference_sees_it() {
    let mut eyes = eyes();
    for (name, expected) in expected() {
        let seen = see(&mut eyes, &[media(&name)], &[SeeTask::Classify, SeeTask::Read]).unwrap().remove(0);
        assert_eq!([seen.width, seen.height], expected.size, "{name}");
        assert_same_classes(&name, seen.classify.as_deref().unwrap(), &expected.classify);
        assert_same_lines(&name, seen.read.as_deref().unwrap(), &expected.read);
    }
}

#[test]
fn pictures_of_one_request_are_classified_as_they_are_alone() {
    let (mut eyes, expected) = (eyes(), expected());
    // More than fit into one batch.
    let names: Vec<&String> = expected.keys().cycle().take(crate::classify::BATCH + 3).collect();
    let pictures: Vec<Vec<u8>> = names.iter().map(|name| media(name)).collect();
    let seen = see(&mut eyes, &pictures, &[SeeTask::Classify]).unwrap();
    assert_eq!(seen.len(), names.len());
    for (name, seen) in names.iter().zip(&seen) {
        assert_eq!([seen.width, seen.height], expected[*name].size, "{name}");
        assert_same_classes(name, seen.classify.as_deref().unwrap(), &expected[*name].classify);
        assert_eq!((&seen.read, &seen.describe), (&None, &None));
    }
}

#[test]
fn a_description_is_composed_of_classes_and_text_and_says_so() {
    let seen = see(&mut eyes(), &[media("menu.jpg")], &[SeeTask::Describe]).unwrap().remove(0);
    assert_eq!((&seen.classify, &seen.read), (&None, &None), "not asked for");
    let description = seen.describe.unwrap();
    assert_eq!(description.by, "classify+read");
    for word in ["espresso", "open daily"] {
        assert!(description.text.contains(word), "`{word}` is not in `{}`", description.text);
    }
}
