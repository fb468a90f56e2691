//! Every format is read back by another program as what went in.

use std::io::Cursor;

use megabrain_schemas::AudioFormat;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia_adapter_libopus::OpusDecoder;

use crate::encode::encode;
use crate::stop::Stop;

const RATES: [u32; 6] = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];

/// What a file says, and its sample rate.
fn decode(bytes: Vec<u8>) -> (Vec<f32>, u32) {
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let probed = symphonia::default::get_probe().probe(
        &Hint::new(),
        source,
        FormatOptions::default(),
        MetadataOptions::default(),
    );
    let mut format = probed.unwrap();
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<OpusDecoder>();
    let track = format.default_track(TrackType::Audio).unwrap();
    let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
    assert_eq!(parameters.channels.as_ref().map(|channels| channels.count()), Some(1));
    let rate = parameters.sample_rate.unwrap();
    let mut decoder = codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default()).unwrap();
    let mut samples = Vec::new();
    loop {
        match format.next_packet() {
            Ok(Some(packet)) => {
                let buffer = decoder.decode(&packet).unwrap();
                let mut part = vec![0.0_f32; buffer.samples_interleaved()];
                buffer.copy_to_slice_interleaved(&mut part);
                samples.extend(part);
            }
            Ok(None) => return (samples, rate),
            Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => return (samples, rate),
            Err(error) => panic!("{error}"),
        }
    }
}

fn written(format: AudioFormat, samples: &[i16], rate: u32) -> Vec<u8> {
    encode(format, samples, rate, &|| false).unwrap().1
}

/// Loud and quiet, high and low, and noise: half a second or so of everything that an encoder may meet.
fn sound(length: usize, rate: u32) -> Vec<i16> {
    let mut noise = 1_u32;
    let mut next = |n: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let time = n as f64 / f64::from(rate);
        let tone = (time * 440.0 * std::f64::consts::TAU).sin() * 20_000.0;
        match n / 2000 % 4 {
            0 => tone as i16,
            1 => 0,
            2 => (noise >> 16) as i16,
            _ => {
                if n.is_multiple_of(2) {
                    i16::MAX
                } else {
                    i16::MIN
                }
            }
        }
    };
    (0..length).map(&mut next).collect()
}

#[test]
fn wav_and_flac_lose_nothing() {
    for rate in RATES {
        for length in [1, 2, 15, 16, 17, 4095, 4096, 4097, 16_384, 16_385, 40_000] {
            let samples = sound(length, rate);
            for format in [AudioFormat::Wav, AudioFormat::Flac] {
                let (heard, heard_rate) = decode(written(format, &samples, rate));
                let heard: Vec<i16> = heard.iter().map(|sample| (sample * 32768.0) as i16).collect();
                assert_eq!(heard_rate, rate);
                assert!(heard == samples, "{format:?}, {rate} Hz, {length} samples: {} came back", heard.len());
            }
        }
    }
}

#[test]
fn flac_is_smaller_and_opus_much_smaller() {
    let tone: Vec<i16> = (0..44_100).map(|n| ((f64::from(n) * 0.05).sin() * 9000.0) as i16).collect();
    let size = |format| written(format, &tone, 22_050).len();
    assert!(size(AudioFormat::Flac) < size(AudioFormat::Wav) * 3 / 4);
    assert!(size(AudioFormat::Opus) < size(AudioFormat::Wav) / 5);
}

#[test]
fn opus_is_as_long_as_what_went_in_and_sounds_like_it() {
    for rate in RATES {
        for length in [rate as usize / 100, rate as usize, rate as usize * 2 + 7] {
            let tone = |n: usize, rate: f64| (n as f64 / rate * 440.0 * std::f64::consts::TAU).sin() as f32 * 0.5;
            let samples: Vec<i16> = (0..length).map(|n| (tone(n, f64::from(rate)) * 32767.0) as i16).collect();
            let bytes = written(AudioFormat::Opus, &samples, rate);
            assert_eq!(
                end_of(&bytes),
                (length as u64 * 48_000).div_ceil(u64::from(rate)),
                "{rate} Hz, {length} samples"
            );
            let (heard, heard_rate) = decode(bytes);
            assert_eq!(heard_rate, 48_000);
            if length >= rate as usize {
                // In the middle, where neither encoder nor resampler begins or ends. `skip` is up to the decoder.
                let middle = &heard[heard.len() / 2..heard.len() / 2 + 9600];
                let crossings = middle.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
                assert!(crossings.abs_diff(88) <= 1, "{rate} Hz: {crossings} periods in a fifth of a second");
                let peak = middle.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
                assert!((0.4..0.6).contains(&peak), "{rate} Hz: peak {peak}");
            }
        }
    }
}

/// The length of an Ogg Opus file by its last page, less what its head says to skip: what every decoder goes by.
fn end_of(bytes: &[u8]) -> u64 {
    let find = |what: &[u8]| bytes.windows(what.len()).rposition(|window| window == what).unwrap();
    let (page, head) = (find(b"OggS"), find(b"OpusHead"));
    let position = u64::from_le_bytes(bytes[page + 6..page + 14].try_into().unwrap());
    assert_eq!(bytes[page + 5] & 4, 4, "the last page says that it is the last");
    position - u64::from(u16::from_le_bytes(bytes[head + 10..head + 12].try_into().unwrap()))
}

#[test]
fn an_encoder_that_is_not_wanted_any_more_stops() {
    for format in [AudioFormat::Flac, AudioFormat::Opus] {
        let outcome = encode(format, &[1; 50_000], 22_050, &|| true);
        assert!(matches!(outcome, Err(Stop::Interrupted)), "{format:?}");
    }
}
