//! How does a file of any common kind become a picture?
//!
//! What it is, is told by its bytes. Its size is known, and refused, before anything is decoded. It is turned as its
//! EXIF data says, transparency is laid on white, 16 bits become 8, and of an animation the first frame is seen.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use megabrain_schemas::{Fault, FaultKind};

/// A side below this shows nothing; it is a damaged header, or a pixel that somebody counts visits with.
const MIN_SIDE: u32 = 8;
/// The most that a pixel takes in any format: four colours of 16 bits.
const MAX_PIXEL_BYTES: u64 = 8;
/// What decoders may take besides: tables, a row of tiles.
const DECODER_BYTES: u64 = 64 << 20;

const KINDS: &str = "png, jpeg, webp, gif, bmp and tiff are known";

/// Decodes a picture of at most `max_pixels`. `what` names it in faults: `images[0]`.
///
/// # Errors
/// `invalid_request` if it is empty, not a picture, damaged, cut off or tiny; `too_large` with both sizes.
pub fn decode(bytes: &[u8], max_pixels: u64, what: &str) -> Result<RgbImage, Fault> {
    if bytes.is_empty() {
        return Err(Fault::invalid(format!("{what} is empty: it has no bytes")));
    }
    // Decoders of hostile bytes may panic. That is safe to catch: whatever the panic left half done is dropped here.
    catch_unwind(AssertUnwindSafe(|| decode_sniffed(bytes, max_pixels, what)))
        .unwrap_or_else(|_| Err(Fault::invalid(format!("{what} is damaged: its decoder gave up"))))
}

fn decode_sniffed(bytes: &[u8], max_pixels: u64, what: &str) -> Result<RgbImage, Fault> {
    let damaged = |error: ImageError| refuse(what, &error);
    let unknown = || Fault::invalid(format!("{what} is not a picture, or of an unknown kind: {KINDS}"));
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| unknown())?;
    let format = reader.format().ok_or_else(unknown)?;
    let memory = max_pixels.saturating_mul(MAX_PIXEL_BYTES);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory.saturating_add(DECODER_BYTES));
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, max_pixels, what)?;
    if decoder.total_bytes() > memory {
        return Err(Fault::new(
            FaultKind::TooLarge,
            format!(
                "{what} takes {} MB to decode, and this model takes at most {} MB",
                decoder.total_bytes() / 1_000_000,
                memory / 1_000_000
            ),
        ));
    }
    if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(Fault::invalid(format!("{what} is damaged: the file is cut off")));
    }
    decoder.set_limits(limits).map_err(damaged)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(orientation);
    Ok(if picture.color().has_alpha() { on_white(&picture) } else { picture.into_rgb8() })
}

fn check_size(width: u32, height: u32, max_pixels: u64, what: &str) -> Result<(), Fault> {
    let pixels = u64::from(width) * u64::from(height);
    let million = |pixels: u64| pixels as f64 / 1e6;
    if pixels > max_pixels {
        return Err(Fault::new(
            FaultKind::TooLarge,
            format!(
                "{what} has {width} × {height} pixels, {:.1} million, and this model takes at most {:.1} million",
                million(pixels),
                million(max_pixels)
            ),
        ));
    }
    if width.min(height) < MIN_SIDE {
        return Err(Fault::invalid(format!(
            "{what} has {width} × {height} pixels: a picture has at least {MIN_SIDE} × {MIN_SIDE}"
        )));
    }
    Ok(())
}

fn refuse(what: &str, error: &ImageError) -> Fault {
    match error {
        ImageError::Unsupported(error) => Fault::invalid(format!("{what} cannot be decoded: {error}; {KINDS}")),
        ImageError::Limits(error) => Fault::new(FaultKind::TooLarge, format!("{what} is too large: {error}")),
        error => Fault::invalid(format!("{what} is damaged: {error}")),
    }
}

/// True if the picture's data has its end. The decoder takes what is there and leaves the rest grey, which then would
/// be looked at as if it were the picture.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const END: [u8; 2] = [0xff, 0xd9];
    let Some(data) = jpeg_data(bytes) else { return false };
    // In the data 0xff is always followed by a zero or a marker. What comes after the end is the camera's own.
    data.windows(2).any(|pair| pair == END)
}

/// What follows the header of the first scan: before it come segments that tell their length, thumbnails inside.
fn jpeg_data(bytes: &[u8]) -> Option<&[u8]> {
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = bytes.get(2..)?;
    loop {
        let at = rest.iter().position(|byte| *byte == 0xff)?;
        let marker = at + rest.get(at..)?.iter().position(|byte| *byte != 0xff)?;
        let [kind, high, low] = *rest.get(marker..)?.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        rest = rest.get(marker + 1 + length..)?;
        if kind == START_OF_SCAN {
            return Some(rest);
        }
    }
}

/// Lays a picture with transparency on white.
fn on_white(picture: &DynamicImage) -> RgbImage {
    let picture = picture.to_rgba8();
    let mut flat = RgbImage::new(picture.width(), picture.height());
    for (pixel, on) in picture.pixels().zip(flat.pixels_mut()) {
        let [red, green, blue, alpha] = pixel.0.map(u32::from);
        on.0 = [red, green, blue].map(|colour| ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    flat
}
