//! What cannot be heard is refused, with a word on what is wrong.

use megabrain_schemas::FaultKind::{self, InvalidRequest, TooLarge};

use super::*;

fn refused(bytes: &[u8], kind: FaultKind, word: &str) {
    let fault = decode(bytes).expect_err(word);
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.message.contains(word), "`{word}` is not in `{fault}`");
}

#[test]
fn no_bytes_are_refused() {
    refused(&[], InvalidRequest, "no bytes");
}

#[test]
fn what_is_no_sound_is_refused() {
    refused(b"hello, this is text and not a sound at all", InvalidRequest, "not a sound");
    refused(&[0; 100_000], InvalidRequest, "not a sound");
    refused(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", InvalidRequest, "not a sound");
    refused(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02", InvalidRequest, "not a sound");
    refused(b"R", InvalidRequest, "not a sound");
}

#[test]
fn a_header_without_its_sound_is_refused() {
    for (file, header) in [("question.mp3", 20), ("question.flac", 60), ("question-opus.ogg", 40), ("question.m4a", 40)]
    {
        assert_eq!(decode(&media(file)[..header]).unwrap_err().kind, InvalidRequest, "{file}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_heard_up_to_there() {
    for file in [
        "question.wav",
        "question.mp3",
        "question.flac",
        "question-opus.ogg",
        "question-vorbis.ogg",
        "question-opus.webm",
    ] {
        let bytes = media(file);
        let whole = decode(&bytes).unwrap().len();
        let half = decode(&bytes[..bytes.len() / 2]).unwrap_or_else(|fault| panic!("{file}: {fault}")).len();
        assert!((whole / 4..whole * 3 / 4).contains(&half), "{file}: {half} of {whole}");
    }
}

#[test]
fn damage_in_the_middle_costs_only_what_is_damaged() {
    for file in ["question.mp3", "question-opus.ogg", "question-vorbis.ogg", "question.flac"] {
        let mut bytes = media(file);
        let whole = decode(&bytes).unwrap().len();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0x55);
        let left = decode(&bytes).unwrap_or_else(|fault| panic!("{file}: {fault}")).len();
        assert!(left > whole / 2, "{file}: {left} of {whole}");
    }
}

#[test]
fn no_samples_are_refused() {
    refused(&wav(16_000, 1, &[]), InvalidRequest, "holds no samples");
}

#[test]
fn silence_is_refused() {
    refused(&wav(16_000, 1, &[0.0; 16_000]), InvalidRequest, "silent (peak -inf dBFS");
    let whisper: Vec<f32> = tone(16_000, 1, 1.0).iter().map(|sample| sample * 0.0008).collect();
    refused(&wav(16_000, 1, &whisper), InvalidRequest, "silent (peak -");
}

#[test]
fn a_rate_of_nothing_is_refused() {
    assert_eq!(decode(&wav(0, 1, &[0.5; 100])).unwrap_err().kind, InvalidRequest);
    refused(&wav(10, 1, &[0.5; 100]), InvalidRequest, "10 Hz");
    refused(&wav(4_000_000_000, 1, &[0.5; 100]), InvalidRequest, "4000000000 Hz");
}

#[test]
fn absurd_channels_are_refused() {
    assert_eq!(decode(&wav(16_000, 0, &[0.5; 100])).unwrap_err().kind, InvalidRequest);
    for channels in [65, 200, 5_000, 65_535] {
        let fault = decode(&wav(16_000, channels, &vec![0.5; 200_000])).unwrap_err();
        assert_eq!(fault.kind, InvalidRequest, "{channels}: {fault}");
    }
}

#[test]
fn sound_that_is_too_long_by_its_header_is_refused_before_it_is_decoded() {
    let short = Limits { max_audio: Duration::from_secs(5), ..LIMITS };
    for file in ["question.wav", "question.flac", "question.m4a"] {
        let asked = std::cell::Cell::new(0);
        let outcome = crate::decode::decode(&media(file), &short, &|| {
            asked.set(asked.get() + 1);
            false
        });
        let Err(Stop::Fault(fault)) = outcome else { panic!("{file}: {outcome:?}") };
        assert_eq!(fault.kind, TooLarge);
        assert!(fault.message.contains("6s") && fault.message.contains("5s"), "{file}: both lengths in `{fault}`");
        assert_eq!(asked.get(), 0, "{file}: no packet was read");
    }
}

#[test]
fn sound_whose_header_says_nothing_is_refused_as_soon_as_it_is_too_long() {
    let short = Limits { max_audio: Duration::from_secs(2), ..LIMITS };
    for file in ["question-opus.webm", "question-opus.ogg", "question-vorbis.ogg", "question.mp3"] {
        let fault = decode_within(&media(file), &short).unwrap_err();
        assert_eq!(fault.kind, TooLarge, "{file}: {fault}");
        assert!(fault.message.contains("at most 2s"), "{file}: {fault}");
    }
}

#[test]
fn infinities_in_a_float_format_do_not_reach_the_model() {
    let mut samples = tone(16_000, 1, 0.5);
    samples[100] = f32::INFINITY;
    samples[200] = f32::NAN;
    samples[300] = 1e30;
    let mut bytes = wav(16_000, 1, &[]);
    bytes[20] = 3; // IEEE float
    bytes[28..32].copy_from_slice(&64_000_u32.to_le_bytes());
    bytes[32] = 4;
    bytes[34] = 32;
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    bytes[4..8].copy_from_slice(&(data.len() as u32 + 36).to_le_bytes());
    bytes[40..44].copy_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend(data);
    assert!(decode(&bytes).unwrap().iter().all(|sample| (-1.0..=1.0).contains(sample)));
}
