//! A film reaches nothing: no other file, no address. Kinds of file that name others are refused by kind.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use landlock::{AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};
use megabrain_schemas::FaultKind;

use super::*;

/// Refused, and nobody was called meanwhile.
fn reaches_nothing(what: &str, film: &[u8], listener: &TcpListener) {
    let fault = Bench::new().split(film).expect_err(what);
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{what}: {fault}");
    assert!(!fault.message.contains("root:"), "{what}: {fault}");
    assert!(listener.accept().is_err(), "{what}: somebody was called");
    println!("{what}: {fault}");
}

#[test]
fn playlists_and_scripts_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/film.ts", listener.local_addr().unwrap());
    // Something that would be shown, were it opened.
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.ts");
    std::fs::write(&secret, remade("secret.ts", &[], &["-t", "2", "-c", "copy"])).unwrap();
    let secret = secret.display().to_string();
    let mut scripts: Vec<(String, String)> = Vec::new();
    for target in
        [secret.as_str(), "/etc/passwd", &url, "concat:/etc/passwd|/etc/hosts", "subfile,,start,0,end,99,,:/etc/passwd"]
    {
        scripts.extend([
            ("hls", format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n")),
            ("master playlist", format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n")),
            ("concat", format!("ffconcat version 1.0\nfile '{target}'\n")),
            ("dash", format!("<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT2S\"><Period><AdaptationSet mimeType=\"video/mp2t\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>")),
            ("asx", format!("<asx version=\"3.0\"><entry><ref href=\"{target}\"/></entry></asx>")),
            ("smil", format!("<smil><body><video src=\"{target}\"/></body></smil>")),
            ("imf", format!("<?xml version=\"1.0\"?><CompositionPlaylist xmlns=\"http://www.smpte-ra.org/schemas/2067-3/2016\"><Id>{target}</Id></CompositionPlaylist>")),
            ("rtsp text", format!("rtsptext\n{target}\n")),
            ("sdp", format!("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:{target}\n", listener.local_addr().unwrap().port())),
            ("ffmetadata", format!(";FFMETADATA1\ntitle={target}\n")),
            ("vqf and text", target.to_owned()),
        ].map(|(what, script)| (format!("{what} to {target}"), script)));
    }
    for (what, script) in scripts {
        reaches_nothing(&what, script.as_bytes(), &listener);
    }
}

#[test]
fn a_film_whose_pictures_lie_elsewhere_is_not_followed() {
    // A QuickTime film may say that its samples are in another file: here in one that is there.
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.mov");
    let whole = remade("other.mov", &[], &["-an", "-t", "2", "-c", "copy"]);
    std::fs::write(&other, &whole).unwrap();
    let mut film = whole.clone();
    let place = film
        .windows(12)
        .position(|bytes| bytes == b"url \0\0\0\x01\0\0\0" || bytes.starts_with(b"url \0\0\0\x01"))
        .unwrap();
    // Not self-contained any more; and its own samples are gone.
    film[place + 7] = 0;
    let samples = film.windows(4).position(|name| name == b"mdat").unwrap();
    let end = film.windows(4).position(|name| name == b"moov").unwrap() - 4;
    film[samples + 4..end].fill(0);
    match Bench::new().split(&film) {
        Ok((_, came)) => assert!(came.pictures.is_empty(), "pictures came from nowhere"),
        Err(fault) => assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}"),
    }
    assert!(Path::new(&other).exists());
}

/// A program in ffmpeg's place that does this; gives what it says.
fn child_that(does: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ffmpeg", "ffprobe"] {
        std::fs::write(folder.path().join(name), format!("#!/bin/bash\n{does}\n")).unwrap();
        std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join("film"), "a film").unwrap();
    let Tools { ffmpeg, .. } = Tools::find(Some(&folder.path().join("ffmpeg"))).unwrap();
    let limits = bench.setup.config.limits();
    let output = crate::child::command(&tools().own, &ffmpeg, bench.folder.path(), limits).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    println!("{said}");
    said
}

#[test]
fn a_child_has_none_of_our_secrets_and_keeps_within_its_limits() {
    let said = child_that("env; ulimit -a");
    assert!(!said.contains("HOME=") && !said.contains("NATS") && !said.contains("CARGO"));
    assert!(said.contains("MALLOC_ARENA_MAX=2"));
    let limit = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().last();
    assert_eq!(limit("virtual memory"), Some("2097152"));
    assert_eq!(limit("cpu time"), Some("2400"));
    assert_eq!(limit("file size"), Some("0"));
    assert_eq!(limit("core file size"), Some("0"));
}

/// True if Landlock knows of TCP here: Linux 6.7 or later.
fn kernel_refuses_calls() -> bool {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    strict.handle_access(AccessNet::ConnectTcp).is_ok()
}

#[test]
fn a_child_that_does_as_it_likes_reaches_nothing_but_the_film() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "SECRET").unwrap();
    let said = child_that(&format!(
        "cat film; cat {}; cat /etc/passwd; echo x > film; echo x > new; ls /; exec 3<>/dev/tcp/127.0.0.1/{port}",
        secret.path().display()
    ));
    assert!(said.contains("a film"), "it may read the film");
    assert!(!said.contains("root:") && !said.contains("SECRET") && !said.lines().any(|line| line == "etc"));
    assert!(said.matches("Permission denied").count() >= 5);
    assert!(listener.accept().is_err() || !kernel_refuses_calls(), "somebody was called");
}
