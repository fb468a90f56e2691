//! How is FLAC written?

use std::io::Cursor;

use flac_codec::encode::{FlacSampleWriter, Options};

use super::{STRETCH, failed};
use crate::stop::{IsDue, Stop};

/// Writes one channel of 16 bits.
pub(super) fn encode(samples: &[i16], sample_rate: u32, is_due: IsDue<'_>) -> Result<Vec<u8>, Stop> {
    let mut flac = Cursor::new(Vec::new());
    let total = u64::try_from(samples.len()).ok();
    let options = Options::default().no_padding();
    let mut writer = FlacSampleWriter::new(&mut flac, options, sample_rate, 16, 1, total).map_err(failed)?;
    for stretch in samples.chunks(STRETCH) {
        if is_due() {
            return Err(Stop::Interrupted);
        }
        let stretch: Vec<i32> = stretch.iter().copied().map(i32::from).collect();
        writer.write(&stretch).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    Ok(flac.into_inner())
}
