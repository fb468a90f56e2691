//! What cannot be seen is refused, with a word on what is wrong and which picture it is.

use image::{DynamicImage, ImageFormat, RgbImage};
use megabrain_schemas::FaultKind::{self, InvalidRequest, TooLarge};

use super::formats::encode;
use super::*;

fn refused(bytes: &[u8], kind: FaultKind, word: &str) {
    let fault = decode(bytes).expect_err(word);
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.message.starts_with("images[0] "), "{fault}");
    assert!(fault.message.contains(word), "`{word}` is not in `{fault}`");
}

fn png(width: u32, height: u32) -> Vec<u8> {
    encode(&DynamicImage::from(RgbImage::new(width, height)), ImageFormat::Png)
}

#[test]
fn no_bytes_are_refused() {
    refused(&[], InvalidRequest, "no bytes");
}

#[test]
fn what_is_no_picture_is_refused() {
    refused(b"hello, this is text and not a picture at all", InvalidRequest, "not a picture");
    refused(&[0; 100_000], InvalidRequest, "not a picture");
    refused(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>", InvalidRequest, "not a picture");
    refused(&media("question.wav"), InvalidRequest, "not a picture");
    refused(b"B", InvalidRequest, "not a picture");
}

#[test]
fn a_kind_that_is_not_known_is_named() {
    refused(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", InvalidRequest, "png, jpeg, webp");
    refused(b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0\x68\x04\0\0\x16\0\0\0", InvalidRequest, "png, jpeg, webp");
}

#[test]
fn a_pixel_is_no_picture() {
    refused(&png(1, 1), InvalidRequest, "1 × 1 pixels");
    refused(&png(500, 7), InvalidRequest, "500 × 7 pixels");
    decode(&png(8, 8)).unwrap();
}

#[test]
fn a_picture_with_too_many_pixels_is_refused_before_it_is_decoded() {
    // Headers that promise 20,000 by 20,000 and hold nothing: were they decoded, they would be damaged.
    let mut header = png(8, 8);
    header[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let checksum = crc(&header[12..29]);
    header[29..33].copy_from_slice(&checksum.to_be_bytes());
    refused(&header, TooLarge, "20000 × 20000 pixels, 400.0 million");
    let mut gif = encode(&DynamicImage::from(RgbImage::new(8, 8)), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x20, 0x4e, 0x20, 0x4e]);
    refused(&gif, TooLarge, "at most 50.0 million");
    let mut bmp = encode(&DynamicImage::from(RgbImage::new(8, 8)), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x20, 0x4e, 0, 0, 0x20, 0x4e, 0, 0]);
    refused(&bmp, TooLarge, "20000 × 20000");
    let mut jpeg = media("cat.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
    refused(&jpeg, TooLarge, "20000 × 20000");
}

#[test]
fn a_real_bomb_is_refused_and_a_picture_at_the_limit_is_not() {
    // 144 million pixels, 432 MB, in two megabytes.
    let bomb = png(12_000, 12_000);
    assert!(bomb.len() < 3_000_000, "{} bytes", bomb.len());
    refused(&bomb, TooLarge, "144.0 million");
    assert!(megabrain_picture::decode(&png(100, 50), 5_000, "images[0]").is_ok());
    assert!(megabrain_picture::decode(&png(100, 51), 5_000, "images[0]").is_err());
}

#[test]
fn a_picture_that_is_cut_off_is_refused() {
    for (name, format) in [
        ("png", ImageFormat::Png),
        ("webp", ImageFormat::WebP),
        ("bmp", ImageFormat::Bmp),
        ("tiff", ImageFormat::Tiff),
        ("gif", ImageFormat::Gif),
    ] {
        let picture = image::load_from_memory(&media("coffee.jpg")).unwrap();
        let bytes = encode(&picture, format);
        for part in [2, 3, 10] {
            let left = bytes.len() - bytes.len() / part;
            let fault = decode(&bytes[..left]).expect_err(name);
            assert_eq!(fault.kind, InvalidRequest, "{name}: {fault}");
        }
    }
    let jpeg = media("coffee.jpg");
    for left in [jpeg.len() - 2, jpeg.len() * 9 / 10, jpeg.len() / 2, 700, 100, 20, 4] {
        refused(&jpeg[..left], InvalidRequest, "");
    }
    let with_trailer = [jpeg, b"a camera's own".to_vec()].concat();
    decode(&with_trailer).unwrap();
}

#[test]
fn a_fault_names_the_picture() {
    let fault = see(&mut eyes(), &[media("cat.jpg"), b"no".to_vec()], &[SeeTask::Classify]).unwrap_err();
    assert!(fault.message.starts_with("images[1] "), "{fault}");
}

/// The checksum that PNG has, of a polynomial given in its specification, annex D.
fn crc(bytes: &[u8]) -> u32 {
    let step = |rest: u32, _| if rest & 1 == 1 { 0xedb8_8320 ^ (rest >> 1) } else { rest >> 1 };
    !bytes.iter().fold(u32::MAX, |rest, byte| (0..8).fold(rest ^ u32::from(*byte), step))
}
