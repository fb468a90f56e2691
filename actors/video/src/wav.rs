//! How is sound handed on? As a WAV file, which everybody reads.

use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use megabrain_schemas::Fault;

use crate::cut::RATE;

const SPEC: WavSpec = WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };

/// The file's bytes.
///
/// # Errors
/// `engine`, if there are more samples than a WAV file can have.
pub(crate) fn wav(samples: &[i16]) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(samples.len() * 2 + 64);
    let mut write = || {
        let mut writer = WavWriter::new(Cursor::new(&mut bytes), SPEC)?;
        samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
        writer.finalize()
    };
    let written: hound::Result<()> = write();
    written.map_err(|error| Fault::engine(format!("the sound cannot be written: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = wav(&[0, -3, i16::MAX]).unwrap();
        let reader = hound::WavReader::new(&bytes[..]).unwrap();
        assert_eq!(reader.spec(), SPEC);
        assert_eq!(reader.into_samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [0, -3, i16::MAX]);
    }
}
