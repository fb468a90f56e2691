//! How is WAV written? A header of 44 bytes, and the samples as they are.

/// Bytes of the header.
const HEADER: u32 = 44;

/// Writes one channel of 16-bit PCM.
pub(super) fn encode(samples: &[i16], sample_rate: u32) -> Vec<u8> {
    // A gigabyte and more does not come here: texts are bounded.
    let bytes = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX - HEADER);
    let mut wav = Vec::with_capacity(HEADER as usize + samples.len() * 2);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(HEADER - 8 + bytes).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    // PCM, one channel.
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&1_u16.to_le_bytes());
    wav.extend_from_slice(&sample_rate.to_le_bytes());
    // Bytes a second, bytes a sample, bits a sample.
    wav.extend_from_slice(&(sample_rate * 2).to_le_bytes());
    wav.extend_from_slice(&2_u16.to_le_bytes());
    wav.extend_from_slice(&16_u16.to_le_bytes());
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}
