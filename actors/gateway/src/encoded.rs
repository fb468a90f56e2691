//! How do bytes come in text? As base64, padded or not, and in data URLs.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What clients write is not always padded.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads base64.
///
/// # Errors
/// It is none.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    LENIENT.decode(text.trim()).map_err(|error| format!("not base64: {error}"))
}

/// Writes base64, padded.
pub(crate) fn encode(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A media type, if one is named, and bytes.
pub(crate) type Typed = (Option<String>, Vec<u8>);

/// Reads `data:image/png;base64,…`: the media type, if it names one, and the bytes. `None` if it is no data URL.
///
/// # Errors
/// It is one, and cannot be read.
pub(crate) fn data_url(text: &str) -> Option<Result<Typed, String>> {
    let rest = text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).and_then(|_| text.get(5..))?;
    let Some((head, data)) = rest.split_once(',') else { return Some(Err("a data URL without a comma".into())) };
    let Some(head) = head.strip_suffix(";base64") else {
        return Some(Err("a data URL that is not base64: write data:<type>;base64,<data>".into()));
    };
    let mime = head.split(';').next().map(str::trim).filter(|mime| !mime.is_empty()).map(str::to_ascii_lowercase);
    Some(decode(data).map(|bytes| (mime, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_may_be_left_out() {
        assert_eq!(decode("AQI=").unwrap(), [1, 2]);
        assert_eq!(decode("AQI").unwrap(), [1, 2]);
        assert!(decode("A*I=").is_err());
        assert_eq!(encode(&[1, 2]), "AQI=");
    }

    #[test]
    fn a_data_url_tells_its_type_and_what_is_none_is_not_taken_for_one() {
        assert_eq!(data_url("data:image/PNG;base64,AQI=").unwrap().unwrap(), (Some("image/png".into()), vec![1, 2]));
        assert_eq!(data_url("data:;base64,AQI=").unwrap().unwrap(), (None, vec![1, 2]));
        assert_eq!(data_url("data:audio/wav;codecs=1;base64,AQI").unwrap().unwrap().0.unwrap(), "audio/wav");
        assert!(data_url("data:text/plain,hello").unwrap().is_err());
        assert!(data_url("data:").unwrap().is_err());
        assert!(data_url("https://example.org/a.png").is_none());
    }
}
