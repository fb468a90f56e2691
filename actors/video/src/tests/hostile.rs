//! A film reaches nothing: no other file, no address. Kinds of file that name others are refused by kind.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

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

/// An entry of a QuickTime film's list of files with samples: the file at this path, in a Macintosh alias record.
fn reference(path: &str) -> Vec<u8> {
    const END: [u8; 4] = [0xff, 0xff, 0, 0];
    const ABSOLUTE_PATH: u16 = 2;
    // Volume, folder, name of the file and times, of which nobody asks who has the path.
    let mut entry = [&b"alis"[..], &[0; 4], &[0; 150]].concat();
    entry.extend(ABSOLUTE_PATH.to_be_bytes());
    entry.extend(u16::try_from(path.len()).unwrap().to_be_bytes());
    entry.extend(path.bytes());
    entry.resize(entry.len().next_multiple_of(2), 0);
    entry.extend(END);
    [&u32::try_from(entry.len() + 4).unwrap().to_be_bytes(), &entry[..]].concat()
}

/// A QuickTime film whose samples lie where this entry says: its own are gone.
fn lying_at(film: &[u8], entry: &[u8]) -> Vec<u8> {
    let (mut made, mut rest) = (Vec::new(), film);
    while let Some((size, _)) = rest.split_first_chunk::<4>() {
        let (atom, others) = rest.split_at(u32::from_be_bytes(*size) as usize);
        let (kind, content) = atom[4..].split_at(4);
        let content = match kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" => lying_at(content, entry),
            // After its version and the number of entries, which is one.
            b"dref" => [&content[..8], entry].concat(),
            b"mdat" => vec![0; content.len()],
            _ => content.to_vec(),
        };
        made.extend(u32::try_from(content.len() + 8).unwrap().to_be_bytes());
        made.extend([kind, &content].concat());
        rest = others;
    }
    made
}

#[test]
fn a_film_whose_pictures_lie_elsewhere_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let other = remade("other.mov", &[], &["-an", "-t", "2", "-c", "copy"]);
    std::fs::write(path("other.mov"), &other).unwrap();
    let film = lying_at(&other, &reference(&path("other.mov")));
    std::fs::write(path("film.mov"), &film).unwrap();
    // An ffmpeg that may do so finds the pictures.
    let follow = ["-enable_drefs", "1", "-use_absolute_path", "1", "-i", &path("film.mov"), "-frames:v", "1"];
    assert!(!made("found.png", &follow).is_empty());
    let fault = Bench::new().split(&film).expect_err("pictures came from another file");
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");
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
