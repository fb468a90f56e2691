//! Every common kind of file, rate and number of channels is heard.

use super::*;

const FILES: [&str; 8] = [
    "question.wav",
    "question.mp3",
    "question.m4a",
    "question.flac",
    "question-vorbis.ogg",
    "question-opus.ogg",
    "question-opus.webm",
    "question-8khz-stereo.wav",
];

#[test]
fn every_format_is_decoded_to_the_same_sound() {
    let wav = decode(&media("question.wav")).unwrap();
    for file in FILES {
        let samples = decode(&media(file)).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        // Lossy encoders pad to whole frames; not all containers say how much.
        let extra_ms = (samples.len() as f64 - wav.len() as f64) / 16.0;
        assert!((-1.0..130.0).contains(&extra_ms), "{file}: {extra_ms} ms more than the wav");
        let rms = |samples: &[f32]| (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt();
        let ratio = rms(&samples) / rms(&wav);
        // The stereo clip was mixed up with 3 dB less on each side.
        assert!((0.68..1.15).contains(&ratio), "{file}: {ratio} times as loud");
    }
}

#[test]
fn every_format_says_the_same_words() {
    let pool = pool();
    for file in FILES {
        let transcript = transcribe(&pool, &decode(&media(file)).unwrap());
        assert_eq!(plain(&transcript.text), QUESTION, "{file}");
        assert_eq!(transcript.language, Some("en"));
        for segment in &transcript.segments {
            assert!(segment.confidence.is_some_and(|p| (0.6..=1.0).contains(&p)), "{file}: {segment:?}");
            assert!(segment.t0_ms < segment.t1_ms && segment.t1_ms <= 6_500.0, "{file}: {segment:?}");
        }
    }
}

#[test]
fn every_rate_and_number_of_channels_is_taken() {
    for rate in [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000] {
        for channels in [1, 2, 6, 8] {
            let samples = decode(&wav(rate, channels, &tone(rate, channels, 0.5))).unwrap();
            assert!(samples.len().abs_diff(8_000) <= 1, "{rate} Hz, {channels} channels: {} samples", samples.len());
            let peak = samples[2_000..6_000].iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            assert!((0.48..0.52).contains(&peak), "{rate} Hz, {channels} channels: peak {peak}");
        }
    }
}

#[test]
fn channels_are_mixed_not_picked() {
    let mut right_only = tone(16_000, 2, 0.5);
    right_only.iter_mut().step_by(2).for_each(|left| *left = 0.0);
    let samples = decode(&wav(16_000, 2, &right_only)).unwrap();
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    assert!((0.23..0.27).contains(&peak), "peak {peak}");
}

#[test]
fn a_recorder_that_could_not_seek_back_is_believed_by_its_bytes() {
    // The header says 37 hours, as a program that writes to a pipe leaves it.
    let mut piped = wav(16_000, 1, &tone(16_000, 1, 1.0));
    piped[4..8].fill(0xff);
    piped[40..44].fill(0xff);
    assert_eq!(decode(&piped).unwrap().len(), 16_000);
}

#[test]
fn chained_ogg_is_heard_to_the_end() {
    let [vorbis, opus] = ["question-vorbis.ogg", "question-opus.ogg"].map(media);
    let (one, other) = (decode(&vorbis).unwrap().len(), decode(&opus).unwrap().len());
    for chain in [[&vorbis[..], &vorbis], [&vorbis, &opus], [&opus, &vorbis]] {
        let whole = decode(&chain.concat()).unwrap().len();
        assert!(whole.abs_diff(one + other) < 4_000, "{whole} of {}", one + other);
    }
}
