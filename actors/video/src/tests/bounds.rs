//! Time, memory and children are bounded: whatever hangs or dies, the caller is told and the actor lives.

use std::cell::Cell;
use std::time::{Duration, Instant};

use megabrain_schemas::FaultKind;
use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// A film that takes some seconds to decode.
fn long_film() -> Vec<u8> {
    remade("long.mkv", &["-stream_loop", "19"], &["-c", "copy"])
}

/// ffmpeg or ffprobe processes whose parent is this test, or their launcher before it becomes one.
fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let is_ours = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(&own)
    };
    let names = std::fs::read_dir("/proc").unwrap().flatten();
    names.filter_map(|name| name.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

fn send(signal: Signal) {
    for child in children() {
        let _ = kill_process(Pid::from_raw(child).unwrap(), signal);
    }
}

/// Splits, and does something to the children after a while.
fn split_and(bench: &Bench, film: &[u8], after: Duration, act: &dyn Fn()) -> Result<(SplitReply, Came), Stop> {
    let (began, is_done) = (Instant::now(), Cell::new(false));
    bench.split_while(film, &request(None, None), &|| {
        if began.elapsed() > after && !is_done.replace(true) {
            act();
        }
        false
    })
}

#[test]
fn a_cancel_ends_everything_within_a_tenth_of_a_second() {
    let (bench, film) = (Bench::new(), long_film());
    for delay in [0, 10, 50, 100, 200, 300, 500, 800] {
        let (began, delay) = (Instant::now(), Duration::from_millis(delay));
        let asked = Cell::new(None);
        let outcome = bench.split_while(&film, &request(None, None), &|| {
            let is_due = began.elapsed() >= delay;
            if is_due && asked.get().is_none() {
                asked.set(Some(Instant::now()));
            }
            is_due
        });
        assert!(matches!(outcome, Err(Stop::Interrupted)), "{delay:?}: {outcome:?}");
        let late = began.elapsed() - delay;
        println!("after {delay:?}: ended {late:?} later");
        assert!(late < Duration::from_millis(100), "{delay:?}: {late:?}");
        assert!(children().is_empty(), "a child is left");
    }
}

#[test]
fn a_killed_child_is_a_clear_fault() {
    let bench = Bench::new();
    let outcome = split_and(&bench, &long_film(), Duration::from_millis(600), &|| send(Signal::KILL));
    let Err(Stop::Fault(fault)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.kind, FaultKind::Engine);
    assert!(fault.message.contains("signal 9"), "{fault}");
    assert!(children().is_empty(), "a child is left");
    bench.split(&film()).unwrap();
}

#[test]
fn a_hung_child_is_killed_when_patience_ends() {
    let bench = Bench::with(Config { patience: Duration::from_secs(1), ..Config::default() });
    let began = Instant::now();
    let outcome = split_and(&bench, &long_film(), Duration::from_millis(600), &|| send(Signal::STOP));
    let Err(Stop::Fault(fault)) = outcome else { panic!("{outcome:?}") };
    assert!(fault.kind == FaultKind::Engine && fault.message.contains("hung"), "{fault}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(children().is_empty(), "a child is left");
}

#[test]
fn a_caller_that_takes_its_time_is_not_a_hung_child() {
    let bench = Bench::with(Config { patience: Duration::from_secs(1), ..Config::default() });
    let mut slow = true;
    let outcome = split::split(&bench.setup, film().into(), &request(None, None), &|| false, &mut |_| {
        if std::mem::take(&mut slow) {
            std::thread::sleep(Duration::from_millis(2500));
        }
        Ok(())
    });
    assert_eq!(outcome.unwrap().note, None);
}

#[test]
fn time_is_bounded_without_a_deadline() {
    let bench = Bench::with(Config { max_time: Duration::from_secs(1), ..Config::default() });
    let began = Instant::now();
    let fault = bench.split(&long_film()).unwrap_err();
    assert!(fault.kind == FaultKind::TooLarge && fault.message.contains("longer than 1s (`max_time`)"), "{fault}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(children().is_empty(), "a child is left");
}

#[test]
fn memory_is_bounded() {
    // A picture of a GIF is decoded to four bytes a pixel: to 540 MiB. The pictures are plain, so that the films are small.
    let plain = ["-f", "lavfi", "-i", "color=red:s=16384x8640:r=4:d=0.5", "-pix_fmt", "bgr8"];
    let film = made("larger.gif", &plain);
    let memory = bytesize::ByteSize::mib(512);
    let bench = Bench::with(Config { memory, max_pixels: 16384 * 8640, ..Config::default() });
    let fault = bench.split(&film).unwrap_err();
    assert!(fault.kind == FaultKind::TooLarge && fault.message.contains("512.0 MiB (`memory`)"), "{fault}");
    assert!(children().is_empty(), "a child is left");

    // What is taken unless somebody sets otherwise is enough for the largest film.
    let plain = ["-f", "lavfi", "-i", "color=red:s=8192x4320:r=4:d=3", "-pix_fmt", "yuv420p"];
    let film = made("large.mkv", &[&plain[..], &["-c:v", "libx264", "-preset", "ultrafast", "-refs", "8"]].concat());
    let (reply, came) = Bench::new().split(&film).unwrap();
    assert_eq!((reply.width, reply.note.as_deref()), (Some(8192), Some("the film has no sound")));
    assert!(came.pictures[0].1.len() < 1 << 20);
}

#[test]
fn of_a_long_film_the_beginning_is_taken() {
    let bench = Bench::with(Config { max_film: Duration::from_secs(10), ..Config::default() });
    let (reply, came) = bench.split(&film()).unwrap();
    assert!(reply.note.unwrap().contains("only the first 10s"));
    assert!((reply.duration_ms - 10_000.0).abs() < 100.0, "{}", reply.duration_ms);
    assert!(came.pictures.iter().all(|(time, _)| *time < 10_040.0));
}

#[test]
fn a_missing_or_foreign_ffmpeg_is_told_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let error = Tools::find(Some(&folder.path().join("ffmpeg"))).unwrap_err().to_string();
    assert!(error.contains("apt-get install ffmpeg") && error.contains("brain file"), "{error}");
    for name in ["ffmpeg", "ffprobe"] {
        std::os::unix::fs::symlink("/bin/true", folder.path().join(name)).unwrap();
    }
    let found = Tools::find(Some(&folder.path().join("ffmpeg"))).unwrap();
    let bench = Bench::new();
    let setup = Setup::new(Config::default(), Tools { own: tools().own, ..found }, 1);
    let error = crate::tools::try_out(&setup).unwrap_err().to_string();
    assert!(error.contains("trial film") && error.contains("5.1"), "{error}");
    crate::tools::try_out(&bench.setup).unwrap();
}

#[test]
fn the_first_parts_come_long_before_the_end() {
    let (bench, film) = (Bench::new(), long_film());
    let began = Instant::now();
    let mut first = (None, None);
    let reply = split::split(&bench.setup, film.into(), &request(None, None), &|| false, &mut |part| {
        let slot = if matches!(part, Part::Picture { .. }) { &mut first.0 } else { &mut first.1 };
        slot.get_or_insert(began.elapsed());
        Ok(())
    });
    let whole = began.elapsed();
    println!(
        "first picture after {:?}, first sound after {:?}, all after {whole:?}: {:?}",
        first.0,
        first.1,
        reply.unwrap()
    );
    assert!(first.0.unwrap() < whole / 3 && first.1.unwrap() < whole / 3, "{first:?} of {whole:?}");
}
