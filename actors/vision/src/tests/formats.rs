//! Every common kind of file is a picture, told by its bytes: any colours, any depth, turned, transparent, moving.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageBuffer, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage, imageops};

use super::*;

pub(crate) fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A picture in which each corner has a colour of its own.
fn corners() -> RgbImage {
    let colour = |x: u32, y: u32| match (x < 32, y < 24) {
        (true, true) => Rgb([200, 30, 30]),
        (false, true) => Rgb([30, 200, 30]),
        (true, false) => Rgb([30, 30, 200]),
        (false, false) => Rgb([220, 220, 40]),
    };
    RgbImage::from_fn(64, 48, colour)
}

/// True if every pixel is as expected, give or take what a lossy format takes.
fn looks_like(picture: &RgbImage, expected: &RgbImage) -> bool {
    picture.dimensions() == expected.dimensions()
        && [(4, 4), (60, 4), (4, 44), (60, 44), (16, 12), (48, 36)].iter().all(|(x, y)| {
            let (x, y) = (x * picture.width() / 64, y * picture.height() / 48);
            let (one, other) = (picture.get_pixel(x, y).0, expected.get_pixel(x, y).0);
            one.iter().zip(other).all(|(one, other)| one.abs_diff(other) < 12)
        })
}

#[test]
fn common_formats_are_known_by_their_bytes() {
    let picture = DynamicImage::from(corners());
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff]
    {
        let decoded = decode(&encode(&picture, format)).unwrap_or_else(|fault| panic!("{format:?}: {fault}"));
        assert!(looks_like(&decoded, &corners()), "{format:?}");
    }
}

#[test]
fn grey_and_sixteen_bits_become_eight_bits_of_colour() {
    let picture = DynamicImage::from(corners());
    let deep = encode(&DynamicImage::from(picture.to_rgb16()), ImageFormat::Png);
    assert!(looks_like(&decode(&deep).unwrap(), &corners()));
    let deep = encode(&DynamicImage::from(picture.to_rgb16()), ImageFormat::Tiff);
    assert!(looks_like(&decode(&deep).unwrap(), &corners()));
    let grey = DynamicImage::from(picture.to_luma16());
    assert!(looks_like(&decode(&encode(&grey, ImageFormat::Png)).unwrap(), &grey.to_rgb8()));
}

#[test]
fn transparency_is_laid_on_white() {
    let mut picture = RgbaImage::from_pixel(64, 48, Rgba([200, 30, 30, 255]));
    picture.put_pixel(4, 4, Rgba([0, 0, 0, 0]));
    picture.put_pixel(5, 4, Rgba([100, 0, 200, 128]));
    for picture in [DynamicImage::from(picture.clone()), DynamicImage::from(DynamicImage::from(picture).to_rgba16())] {
        let decoded = decode(&encode(&picture, ImageFormat::Png)).unwrap();
        assert_eq!(decoded.get_pixel(4, 4), &Rgb([255, 255, 255]));
        assert_eq!(decoded.get_pixel(5, 4), &Rgb([177, 127, 227]));
        assert_eq!(decoded.get_pixel(20, 20), &Rgb([200, 30, 30]));
    }
}

#[test]
fn of_an_animation_the_first_frame_is_seen() {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for colour in [[200, 30, 30, 255], [30, 30, 200, 255]] {
        encoder.encode_frame(Frame::new(ImageBuffer::from_pixel(64, 48, Rgba(colour)))).unwrap();
    }
    drop(encoder);
    let decoded = decode(&bytes).unwrap();
    assert!(decoded.get_pixel(30, 20).0[0] > 190 && decoded.get_pixel(30, 20).0[2] < 40);
}

/// A JPEG with the orientation that a camera writes, as TIFF in its EXIF segment.
fn turned(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let jpeg = encode(&DynamicImage::from(picture.clone()), ImageFormat::Jpeg);
    let exif =
        [b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0]]
            .concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn a_picture_is_turned_as_the_camera_was_held() {
    let upright = corners();
    for (orientation, stored) in [
        (1, upright.clone()),
        (2, imageops::flip_horizontal(&upright)),
        (3, imageops::rotate180(&upright)),
        (4, imageops::flip_vertical(&upright)),
        (5, imageops::flip_horizontal(&imageops::rotate90(&upright))),
        (6, imageops::rotate270(&upright)),
        (7, imageops::flip_horizontal(&imageops::rotate270(&upright))),
        (8, imageops::rotate90(&upright)),
    ] {
        let decoded = decode(&turned(&stored, orientation)).unwrap();
        assert!(looks_like(&decoded, &upright), "orientation {orientation}");
    }
}

#[test]
fn text_is_read_in_a_picture_that_the_camera_turned() {
    let sign = image::load_from_memory(&media("sign.png")).unwrap().to_rgb8();
    let lying = turned(&imageops::rotate270(&sign), 6);
    let seen = see(&mut eyes(), &[lying], &[SeeTask::Read]).unwrap().remove(0);
    assert_eq!([seen.width, seen.height], [640, 360]);
    let read = seen.read.unwrap();
    assert_eq!(read[0].text, "BERTH42");
    assert!(read[0].corners[0][0] < 60.0 && read[0].corners[0][1] < 60.0, "{:?}", read[0].corners);
}
