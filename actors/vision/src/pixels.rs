//! How do pixels become what a model takes? Another size, and numbers in planes of one colour each.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use megabrain_schemas::Fault;

/// Part of a picture, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Changes the size of pictures. Keeps buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Scaler(Resizer);

impl Scaler {
    /// As OpenCV does it by default, and PP-OCR was trained with: bilinear between the four nearest pixels, also where
    /// the picture gets smaller.
    pub(crate) fn bilinear(&mut self, picture: &RgbImage, width: u32, height: u32) -> Result<RgbImage, Fault> {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
        self.resize(picture, width, height, &options)
    }

    /// As Pillow does it: bicubic, over all pixels that become one.
    pub(crate) fn bicubic(
        &mut self,
        picture: &RgbImage,
        area: Area,
        width: u32,
        height: u32,
    ) -> Result<RgbImage, Fault> {
        let Area { left, top, width: wide, height: high } = area;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        self.resize(picture, width, height, &options.crop(left, top, wide, high))
    }

    fn resize(&mut self, picture: &RgbImage, width: u32, height: u32, how: &ResizeOptions) -> Result<RgbImage, Fault> {
        let failed = |error: &dyn std::fmt::Display| Fault::engine(format!("the picture cannot be scaled: {error}"));
        let source = ImageRef::new(picture.width(), picture.height(), picture.as_raw(), PixelType::U8x3);
        let source = source.map_err(|error| failed(&error))?;
        let mut target = Image::new(width, height, PixelType::U8x3);
        self.0.resize(&source, &mut target, how).map_err(|error| failed(&error))?;
        RgbImage::from_raw(width, height, target.into_vec()).ok_or_else(|| failed(&"its buffer is too small"))
    }
}

/// In which order a model takes the colours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Rgb,
    /// As OpenCV has them.
    Bgr,
}

/// How a colour, 0 to 255, becomes a number: times `factor`, plus `offset`; for red, green and blue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) factor: [f32; 3],
    pub(crate) offset: [f32; 3],
}

impl Scale {
    /// -1 to 1, which is what PP-OCR takes.
    pub(crate) const SIGNED: Self = Self { factor: [2.0 / 255.0; 3], offset: [-1.0; 3] };

    /// Takes `mean` away and divides by `deviation`.
    pub(crate) fn of(mean: [f32; 3], deviation: [f32; 3]) -> Self {
        let [red, green, blue] = deviation;
        let factor = [red, green, blue].map(|deviation| 1.0 / deviation);
        let mut offset = mean;
        for (offset, factor) in offset.iter_mut().zip(factor) {
            *offset *= -factor;
        }
        Self { factor, offset }
    }
}

/// Writes a picture into three planes, one a colour, whose rows have `stride` numbers; what is wider stays as it was.
pub(crate) fn write_planes(picture: &RgbImage, planes: &mut [f32], stride: usize, order: Order, scale: Scale) {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let colours = match order {
        Order::Rgb => [0, 1, 2],
        Order::Bgr => [2, 1, 0],
    };
    for (colour, plane) in colours.into_iter().zip(planes.chunks_exact_mut((height * stride).max(1))) {
        let factor = scale.factor.get(colour).copied().unwrap_or(1.0);
        let offset = scale.offset.get(colour).copied().unwrap_or(0.0);
        for (row, pixels) in plane.chunks_exact_mut(stride).zip(picture.as_raw().chunks_exact(width * 3)) {
            for (number, value) in row.iter_mut().zip(pixels.iter().skip(colour).step_by(3)) {
                *number = f32::from(*value) * factor + offset;
            }
        }
    }
}
