//! How does a file of any common kind become samples?
//!
//! What it is, is told by its bytes: containers and codecs are symphonia's (WAV, AIFF, CAF, MP1–3, AAC, MP4, FLAC, Ogg
//! Vorbis, Matroska, ALAC), Opus is libopus'. A damaged packet is left out; a damaged file is heard up to the damage.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::time::Duration;

use megabrain_schemas::Fault;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;
use symphonia_adapter_libopus::OpusDecoder;

use crate::abort::{IsDue, Stop};
use crate::collect::{Collector, Limits, check_shape};

/// Packets in a row that give no sound before the rest is given up: a hostile index can promise billions.
const MAX_BARREN_PACKETS: usize = 10_000;
/// The least that sound takes in any codec, in bits a second: a header that says less is not believed.
const MIN_BIT_RATE: f64 = 250.0;

const NO_SOUND: &str = "this is not a sound, or of an unknown kind: wav, mp3, m4a, flac, ogg and webm are known; film of \
                        other kinds is heard when it is attached to an `ask`";

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<OpusDecoder>();
    codecs
});

/// Decodes a whole file to mono at 16 kHz.
///
/// # Errors
/// `invalid_request` if it is empty, not a sound, damaged throughout or silent; `too_large` if it is too long, as soon
/// as that can be told; [`Stop::Interrupted`] if `is_due` says so between two packets.
pub(crate) fn decode(bytes: &[u8], limits: &Limits, is_due: IsDue<'_>) -> Result<Vec<f32>, Stop> {
    if bytes.is_empty() {
        return Err(Fault::invalid("the sound is empty: it has no bytes").into());
    }
    // Decoders of hostile bytes may panic. That is safe to catch: whatever the panic left half done is dropped here.
    catch_unwind(AssertUnwindSafe(|| decode_tracks(bytes, limits, is_due)))
        .unwrap_or_else(|_| Err(Fault::invalid("the sound is damaged: its decoder gave up").into()))
}

fn decode_tracks(bytes: &[u8], limits: &Limits, is_due: IsDue<'_>) -> Result<Vec<f32>, Stop> {
    let mut format = open(bytes)?;
    let mut collector = Collector::new(limits);
    let mut damage = None;
    loop {
        let (track, decoder) = choose_track(format.as_ref())?;
        if let Some(length) = told_length(track, bytes.len()) {
            limits.check_length(length)?;
        }
        let track = track.id;
        match decode_track(format.as_mut(), track, decoder, &mut collector, &mut damage, is_due)? {
            End::OfSound => break,
            End::OfTrack => {}
        }
    }
    match damage {
        Some(error) if collector.is_empty() => Err(Fault::invalid(format!("the sound is damaged: {error}")).into()),
        _ => Ok(collector.finish()?),
    }
}

/// What came after the last packet.
enum End {
    /// Nothing, or nothing that can be read.
    OfSound,
    /// Another stream in the same file, as in chained Ogg.
    OfTrack,
}

fn decode_track(
    format: &mut dyn FormatReader,
    track: u32,
    mut decoder: Box<dyn AudioDecoder>,
    collector: &mut Collector<'_>,
    damage: &mut Option<Error>,
    is_due: IsDue<'_>,
) -> Result<End, Stop> {
    let mut barren = 0;
    while barren < MAX_BARREN_PACKETS {
        if is_due() {
            return Err(Stop::Interrupted);
        }
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(End::OfSound),
            Err(Error::ResetRequired) => return Ok(End::OfTrack),
            Err(error) => {
                *damage = Some(error);
                return Ok(End::OfSound);
            }
        };
        barren += 1;
        if packet.track_id != track {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(buffer) if buffer.frames() == 0 => {}
            Ok(buffer) => {
                collector.take(&buffer)?;
                barren = 0;
            }
            Err(error) => *damage = Some(error),
        }
    }
    Ok(End::OfSound)
}

fn open(bytes: &[u8]) -> Result<Box<dyn FormatReader + '_>, Fault> {
    // The search for a beginning of an MP3 would find one in it.
    if is_transport_stream(bytes) {
        return Err(Fault::invalid(
            "this is film, an MPEG transport stream: attach it to an `ask`, which hears its sound",
        ));
    }
    // A Matroska file that is cut off is refused for its length, but is taken as a stream, which has none.
    probe(Box::new(Cursor::new(bytes)))
        .or_else(|error| probe(Box::new(ReadOnlySource::new(bytes))).map_err(|_| error))
        .map_err(|error| match error {
            Error::Unsupported(reason) if reason.starts_with("core (probe)") => Fault::invalid(NO_SOUND),
            error => {
                Fault::invalid(format!("the sound cannot be opened, it is cut off or of an unknown kind: {error}"))
            }
        })
}

/// True if a packet begins where the first three of an MPEG transport stream do (ISO/IEC 13818-1: every 188 bytes, 0x47).
fn is_transport_stream(bytes: &[u8]) -> bool {
    [0, 188, 376].iter().all(|at| bytes.get(*at) == Some(&0x47))
}

fn probe<'a>(source: Box<dyn MediaSource + 'a>) -> Result<Box<dyn FormatReader + 'a>, Error> {
    let source = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    symphonia::default::get_probe().probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default())
}

/// The first track with a codec that is known.
fn choose_track<'a>(format: &'a (dyn FormatReader + '_)) -> Result<(&'a Track, Box<dyn AudioDecoder>), Fault> {
    let first = format.default_track(TrackType::Audio);
    let mut refusal = Fault::invalid("the file holds no sound");
    for track in first.into_iter().chain(format.tracks()) {
        let Some(codec) = track.codec_params.as_ref().and_then(|codec| codec.audio()) else { continue };
        let channels = codec.channels.as_ref().map_or(1, |channels| channels.count());
        if let Err(fault) = codec.sample_rate.map_or(Ok(()), |rate| check_shape(rate, channels)) {
            refusal = fault;
            continue;
        }
        match CODECS.make_audio_decoder(codec, &AudioDecoderOptions::default()) {
            Ok(decoder) => return Ok((track, decoder)),
            Err(error) => refusal = Fault::invalid(format!("the sound cannot be decoded: {error}")),
        }
    }
    Err(refusal)
}

/// How long the sound is by its header, if that can be true: a recorder that could not seek back leaves a length of
/// hours in the header of a short file.
fn told_length(track: &Track, bytes: usize) -> Option<Duration> {
    let codec = track.codec_params.as_ref()?.audio()?;
    let rate = f64::from(codec.sample_rate.filter(|rate| *rate > 0)?);
    let seconds = track.num_frames? as f64 / rate;
    let channels = codec.channels.as_ref().map_or(1, |channels| channels.count());
    // Known for codecs that do not compress; then it gives the bit rate.
    let sample_bits = f64::from(codec.bits_per_coded_sample.unwrap_or(0));
    let bit_rate = (rate * channels as f64 * sample_bits).max(MIN_BIT_RATE);
    (seconds * bit_rate <= bytes as f64 * 8.0).then(|| Duration::from_secs_f64(seconds))
}
