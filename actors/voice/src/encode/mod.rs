//! How are samples written as a file?

mod flac;
mod opus;
mod wav;

use megabrain_schemas::{AudioFormat, Fault};

use crate::stop::{IsDue, Stop};

/// Samples that are encoded between two looks at whether to end: a second or so of speech, a millisecond or so of work.
const STRETCH: usize = 1 << 14;

/// Writes one channel as a whole file. Gives its media type and its bytes.
///
/// # Errors
/// [`Stop::Interrupted`] if `is_due` says so; `engine` if an encoder fails.
pub(crate) fn encode(
    format: AudioFormat,
    samples: &[i16],
    sample_rate: u32,
    is_due: IsDue<'_>,
) -> Result<(&'static str, Vec<u8>), Stop> {
    match format {
        AudioFormat::Wav => Ok(("audio/wav", wav::encode(samples, sample_rate))),
        AudioFormat::Flac => Ok(("audio/flac", flac::encode(samples, sample_rate, is_due)?)),
        AudioFormat::Opus => Ok(("audio/ogg", opus::encode(samples, sample_rate, is_due)?)),
    }
}

fn failed(error: impl std::fmt::Display) -> Stop {
    Fault::engine(format!("the speech cannot be encoded: {error}")).into()
}
