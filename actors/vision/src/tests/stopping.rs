//! A stop ends looking soon, wherever a model is.

use std::thread;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_stop_is_seen_in_the_middle_of_a_model() {
    let (mut eyes, runtime) = (eyes(), runtime());
    let page = image::load_from_memory(&media("sign.png")).unwrap();
    let page = page.resize_exact(2000, 2000, image::imageops::FilterType::Triangle);
    let page = super::formats::encode(&page, image::ImageFormat::Bmp);
    let tasks = eyes.tasks(Some(&[SeeTask::Read])).unwrap();
    let mut worst = Duration::ZERO;
    // Finding text in a page takes a second or more: all of these are inside.
    for delay in (50..500).step_by(90) {
        let stop = Stop::new(&runtime).unwrap();
        let puller = thread::spawn({
            let stop = stop.clone();
            move || {
                thread::sleep(Duration::from_millis(delay));
                stop.pull();
                Instant::now()
            }
        });
        let outcome = eyes.look(&page, "images[0]", &mut Sight::new(tasks, None), &stop);
        let ended = Instant::now();
        assert!(matches!(outcome, Err(End::Interrupted)), "{outcome:?}");
        worst = worst.max(ended.saturating_duration_since(puller.join().unwrap()));
    }
    println!("a stop is seen after {worst:?} at most");
    // By the wall clock, where other tests and builds may hold a thread up.
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[test]
fn stopped_eyes_see_the_next_picture_as_before() {
    let (mut eyes, runtime) = (eyes(), runtime());
    let before = see(&mut eyes, &[media("menu.jpg")], &[SeeTask::Classify, SeeTask::Read]).unwrap();
    let stop = Stop::new(&runtime).unwrap();
    stop.pull();
    let tasks = eyes.tasks(None).unwrap();
    let outcome = eyes.look(&media("menu.jpg"), "images[0]", &mut Sight::new(tasks, None), &stop);
    assert!(matches!(outcome, Err(End::Interrupted)), "{outcome:?}");
    assert_eq!(see(&mut eyes, &[media("menu.jpg")], &[SeeTask::Classify, SeeTask::Read]).unwrap(), before);
}
