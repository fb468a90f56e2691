//! What a model with eyes promises, with a toy projector that names eight colours: everything but the seeing is real.

use std::sync::atomic::{AtomicUsize, Ordering};

use megabrain_schemas::Message;

use super::*;
use crate::batcher::Batcher;
use crate::config::Config;
use crate::devices::Cards;
use crate::load::Native;
use crate::piece::Prompt;
use crate::prompt::ChatTemplate;
use crate::sampler::Sampling;
use crate::sequence::Task;
use crate::testing::{colours, minilm, smollm2};

const COLOURS: [(&str, [u8; 3]); 8] = [
    ("black", [0, 0, 0]),
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("purple", [255, 0, 255]),
    ("cyan", [0, 255, 255]),
    ("white", [255, 255, 255]),
];

/// One that the small model answers with what it was shown.
const QUESTION: &str = "What is the colour of the image? Answer with one word.";
const ROOM: Room = Room { prompt: 512, whole: 512 };

/// A model with its eyes, its mouth, and what keeps llama.cpp alive.
struct Seeing {
    projector: Projector,
    template: ChatTemplate,
    batcher: Batcher,
    native: Native,
}

fn config() -> Config {
    let mut config = Config::of_weights(smollm2());
    config.weights.mmproj = Some(colours());
    config.device = "ram".to_owned();
    config.context = Some(512);
    config
}

fn seeing() -> Seeing {
    let native = Native::start(None, Cards::Load).unwrap();
    let loaded = native.load(&config(), 1, |_| ()).unwrap();
    let template = ChatTemplate::of(loaded.context.model(), None).unwrap();
    let batcher = Batcher::new(loaded.context, 4, 512);
    Seeing { projector: loaded.projector.unwrap(), template, batcher, native }
}

fn picture(colour: [u8; 3], width: u32, height: u32) -> Picture {
    Picture { width, height, rgb: colour.repeat((width * height) as usize) }
}

impl Seeing {
    fn read(&mut self, pictures: &[Picture], question: &str) -> Vec<Piece> {
        let markers = format!("{}\n", self.projector.marker()).repeat(pictures.len());
        let text = self.template.render(&[Message::user(format!("{markers}{question}"))], &[]).unwrap();
        let begins = self.template.lacks_beginning(&text);
        self.projector.read(&text, begins, pictures, ROOM, || false).unwrap()
    }

    /// Answers all prompts side by side, each in at most 24 tokens.
    fn answers(&mut self, prompts: Vec<Vec<Piece>>) -> Vec<String> {
        let sampling = Sampling { top_p: 1.0, seed: 1, ..Sampling::default() };
        let mut texts = vec![String::new(); prompts.len()];
        for (at, pieces) in prompts.into_iter().enumerate() {
            let prompt = Prompt::new(pieces);
            let task = Task {
                prompt,
                max_tokens: 24,
                sampling: sampling.clone(),
                stops: Vec::new(),
                constraint: None,
                shown: Vec::new(),
            };
            assert_eq!(self.batcher.admit(task), Some(at));
        }
        while !self.batcher.is_idle() {
            for (id, result) in self.batcher.step() {
                texts[id].push_str(&result.unwrap().text);
            }
        }
        texts
    }
}

#[test]
fn the_model_says_which_colour_a_picture_has() {
    let mut seeing = seeing();
    for (word, colour) in COLOURS {
        let pieces = seeing.read(&[picture(colour, 120, 120)], QUESTION);
        let said = seeing.answers(vec![pieces]).remove(0);
        assert!(said.to_lowercase().contains(word), "{word}: {said}");
    }
}

#[test]
fn a_picture_is_rows_between_the_words_and_as_wide_as_the_model() {
    let mut seeing = seeing();
    let pieces = seeing.read(&[picture([255, 0, 0], 50, 50), picture([0, 0, 255], 200, 90)], "Hello");
    let kinds: Vec<bool> = pieces.iter().map(|piece| matches!(piece, Piece::View(_))).collect();
    assert_eq!(kinds, [false, true, false, true, false]);
    for piece in &pieces {
        if let Piece::View(view) = piece {
            assert_eq!((view.len(), view.width, view.advance, view.is_whole), (9, 576, 9, false));
            assert!(view.places.is_empty() && view.rows.iter().all(|number| number.is_finite()));
        }
    }
}

#[test]
fn conversations_with_and_without_pictures_side_by_side_say_what_each_says_alone() {
    let mut seeing = seeing();
    let prompts = |seeing: &mut Seeing| {
        vec![
            seeing.read(&[picture([255, 0, 0], 64, 64)], QUESTION),
            seeing.read(&[], "What is the capital of France? Answer in one word."),
            seeing.read(&[picture([0, 0, 255], 64, 64)], QUESTION),
        ]
    };
    let alone: Vec<String> =
        prompts(&mut seeing).into_iter().map(|prompt| seeing.answers(vec![prompt]).remove(0)).collect();
    let together = prompts(&mut seeing);
    assert_eq!(seeing.answers(together), alone);
    assert!(alone[1].contains("Paris") && alone[0] != alone[2], "{alone:?}");
}

#[test]
fn words_without_pictures_are_read_as_anywhere_else() {
    let mut seeing = seeing();
    let text = seeing.template.render(&[Message::user("<|im_start|> is é 🛥 to words.")], &[]).unwrap();
    let expected = seeing.template.tokens(seeing.batcher.context().model(), &text);
    let begins = seeing.template.lacks_beginning(&text);
    let pieces = seeing.projector.read(&text, begins, &[], ROOM, || false).unwrap();
    assert!(matches!(&pieces[..], [Piece::Text(tokens)] if *tokens == expected), "{pieces:?}");
}

#[test]
fn words_cannot_point_at_a_picture_that_is_not_there() {
    let mut seeing = seeing();
    let pieces = seeing.read(&[], "What is on <__media__> and <picture-0000000000000000>?");
    assert!(pieces.iter().all(|piece| matches!(piece, Piece::Text(_))));
}

#[test]
fn what_ends_the_work_ends_it_within_a_picture() {
    let mut seeing = seeing();
    let text = format!("{} and so on.", seeing.projector.marker());
    let pictures = [picture([0; 3], 40, 40)];
    let asked = Arc::new(AtomicUsize::new(0));
    let mut read = |most: usize| {
        asked.store(0, Ordering::Relaxed);
        let count = asked.clone();
        seeing.projector.read(&text, true, &pictures, ROOM, move || count.fetch_add(1, Ordering::Relaxed) >= most)
    };
    assert!(read(usize::MAX).is_ok());
    let questions = asked.load(Ordering::Relaxed);
    assert!(questions > 3, "asked {questions} times for a picture and two texts");
    for most in 0..questions {
        assert!(matches!(read(most), Err(Unread::Ended)), "{most} of {questions}");
        assert_eq!(asked.load(Ordering::Relaxed), most + 1, "it goes no further");
    }
    assert!(read(usize::MAX).is_ok(), "and the next one is looked at");
}

#[test]
fn what_has_no_room_is_refused_before_it_is_looked_at() {
    let mut seeing = seeing();
    let marker = seeing.projector.marker().to_owned();
    let pictures = [picture([0; 3], 40, 40), picture([9; 3], 40, 40)];
    let text = format!("{marker}{marker}");
    let room = Room { prompt: 17, ..ROOM };
    let unread = seeing.projector.read(&text, false, &pictures, room, || panic!("looked at")).unwrap_err();
    assert!(matches!(unread, Unread::TooLong(18)), "{unread:?}");
    // As many pictures as markers.
    let unread = seeing.projector.read(&marker, true, &pictures, ROOM, || false).unwrap_err();
    assert!(matches!(unread, Unread::Failed(_)), "{unread:?}");
}

#[test]
fn a_picture_takes_as_many_steps_as_it_needs_beside_answers() {
    let mut seeing = seeing();
    // Rows that a step never takes at once, and more pictures than it looks at.
    let mut batcher = {
        let loaded = seeing.native.load(&Config { batch: 16, ..config() }, 1, |_| ()).unwrap();
        Batcher::new(loaded.context, 4, 16)
    };
    let questions: Vec<Vec<Piece>> =
        (0..4).map(|_| seeing.read(&[picture([255, 0, 0], 64, 64), picture([0, 0, 255], 64, 64)], QUESTION)).collect();
    let sampling = Sampling { top_p: 1.0, seed: 1, ..Sampling::default() };
    for pieces in questions {
        let task = Task {
            prompt: Prompt::new(pieces),
            max_tokens: 8,
            sampling: sampling.clone(),
            stops: Vec::new(),
            constraint: None,
            shown: Vec::new(),
        };
        batcher.admit(task).unwrap();
    }
    let mut texts = vec![String::new(); 4];
    while !batcher.is_idle() {
        for (id, result) in batcher.step() {
            texts[id].push_str(&result.unwrap().text);
        }
    }
    assert!(!texts[0].is_empty() && texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

#[test]
fn a_projector_that_is_none_or_of_another_model_is_a_load_error() {
    let native = Native::start(None, Cards::Load).unwrap();
    let mut wrong = config();
    wrong.weights.mmproj = Some(smollm2());
    let error = native.load(&wrong, 1, |_| ()).unwrap_err().to_string();
    assert!(error.contains("projector") && error.contains("SmolLM2"), "{error}");
    wrong.weights.model = minilm();
    wrong.weights.mmproj = Some(colours());
    let error = native.load(&wrong, 1, |_| ()).unwrap_err().to_string();
    assert!(error.contains("mmproj"), "{error}");
}
