//! How is Opus in Ogg written? As RFC 7845 says, so that a decoder gives back as many samples as went in.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use opusic_c::{Application, Bitrate, Channels, Encoder, SampleRate};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use super::{STRETCH, failed};
use crate::stop::{IsDue, Stop};

/// Opus counts at this rate, whatever went in.
const RATE: usize = 48_000;
/// Samples of a packet: 20 ms.
const PACKET: usize = 960;
/// More than any packet of 20 ms has.
const LARGEST_PACKET: usize = 1500;
/// The most that RFC 7587 advises for speech of full bandwidth.
const BITS_A_SECOND: u32 = 40_000;

/// Writes one channel.
pub(super) fn encode(samples: &[i16], sample_rate: u32, is_due: IsDue<'_>) -> Result<Vec<u8>, Stop> {
    let mut encoder = Encoder::new(Channels::Mono, SampleRate::Hz48000, Application::Audio).map_err(refused)?;
    encoder.set_bitrate(Bitrate::Value(BITS_A_SECOND)).map_err(refused)?;
    let skip = encoder.get_look_ahead().map_err(refused)?;
    let speech = resample(samples, sample_rate, is_due)?;
    let last = u64::from(skip) + speech.len() as u64;

    let mut ogg = PacketWriter::new(Vec::new());
    let serial = serial(samples);
    let (head, tags) = (head(skip, sample_rate), tags());
    ogg.write_packet(head, serial, PacketWriteEndInfo::EndPage, 0).map_err(failed)?;
    ogg.write_packet(tags, serial, PacketWriteEndInfo::EndPage, 0).map_err(failed)?;
    // The encoder is late by `skip`: so many zeros at the end bring out the last samples.
    let packets = last.div_ceil(PACKET as u64).max(1);
    let mut rest = speech.as_slice();
    for number in 1..=packets {
        if is_due() {
            return Err(Stop::Interrupted);
        }
        let (stretch, left) = rest.split_at(rest.len().min(PACKET));
        rest = left;
        let mut input = [0.0; PACKET];
        input.iter_mut().zip(stretch).for_each(|(to, from)| *to = *from);
        let mut packet = vec![0; LARGEST_PACKET];
        let length = encoder.encode_float_to_slice(&input, &mut packet).map_err(refused)?;
        packet.truncate(length);
        let end = if number == packets { PacketWriteEndInfo::EndStream } else { PacketWriteEndInfo::NormalPacket };
        // The position of the last packet tells where to cut its padding off.
        ogg.write_packet(packet, serial, end, last.min(number * PACKET as u64)).map_err(failed)?;
    }
    Ok(ogg.into_inner())
}

/// To [`RATE`], at full scale 1.
fn resample(samples: &[i16], sample_rate: u32, is_due: IsDue<'_>) -> Result<Vec<f32>, Stop> {
    let samples: Vec<f32> = samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect();
    let rate = sample_rate as usize;
    if rate == RATE || samples.is_empty() {
        return Ok(samples);
    }
    // Each stretch by itself would begin and end with a click: all at once, some milliseconds a minute.
    let mut fft = Fft::new(rate, RATE, STRETCH, 1, FixedSync::Input).map_err(failed)?;
    let input = InterleavedSlice::new(&samples, 1, samples.len()).map_err(failed)?;
    if is_due() {
        return Err(Stop::Interrupted);
    }
    let mut resampled = fft.process_all(&input, samples.len(), None).map_err(failed)?.take_data();
    resampled.truncate((samples.len() * RATE).div_ceil(rate));
    Ok(resampled)
}

/// The identification header.
fn head(skip: u32, sample_rate: u32) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    // Version 1, one channel.
    head.extend_from_slice(&[1, 1]);
    head.extend_from_slice(&u16::try_from(skip).unwrap_or(u16::MAX).to_le_bytes());
    head.extend_from_slice(&sample_rate.to_le_bytes());
    // No gain; channels as they are.
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// The comment header: who wrote it, and no comments.
fn tags() -> Vec<u8> {
    let vendor = b"megabrain";
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
    tags.extend_from_slice(vendor);
    tags.extend_from_slice(&0_u32.to_le_bytes());
    tags
}

/// The number of a stream: files that are chained, as the frames of an answer may be, want different ones.
fn serial(samples: &[i16]) -> u32 {
    let mut hasher = DefaultHasher::new();
    samples.hash(&mut hasher);
    hasher.finish() as u32
}

fn refused(error: opusic_c::ErrorCode) -> Stop {
    failed(error.message())
}
