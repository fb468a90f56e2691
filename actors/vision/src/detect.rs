//! Where in a picture are lines of text?

use std::path::Path;

use image::RgbImage;
use megabrain_onnx::{Device, Input, Runtime, Session, Stop};
use megabrain_runtime::LoadError;
use megabrain_schemas::Fault;

use crate::boxes::{self, Map};
use crate::end::End;
use crate::pixels::{Order, Scale, Scaler, write_planes};
use crate::rectangle::Point;

/// A shorter side below this is enlarged to it: small text is found better.
const MIN_SIDE: f64 = 736.0;
/// No side is enlarged beyond this, which bounds what a long strip takes.
const MAX_SIDE: f64 = 4096.0;
/// The network halves its input five times.
const MULTIPLE: f64 = 32.0;

/// The model that finds text.
#[derive(Debug)]
pub(crate) struct Detector {
    session: Session,
    numbers: Vec<f32>,
}

impl Detector {
    /// Opens the model.
    ///
    /// # Errors
    /// The file is missing or no such model.
    pub(crate) fn open(runtime: &Runtime, path: &Path, device: &Device, threads: usize) -> Result<Self, LoadError> {
        Ok(Self { session: runtime.open(path, device, threads)?, numbers: Vec::new() })
    }

    /// Finds lines, in reading order: four corners each, clockwise from the upper left.
    pub(crate) fn find(
        &mut self,
        picture: &RgbImage,
        scaler: &mut Scaler,
        stop: &Stop,
    ) -> Result<Vec<[Point; 4]>, End> {
        let (width, height) = scaled_size(picture.width(), picture.height());
        let scaled = scaler.bilinear(picture, width, height)?;
        let (width, height) = (width as usize, height as usize);
        self.numbers.clear();
        self.numbers.resize(3 * width * height, 0.0);
        write_planes(&scaled, &mut self.numbers, width, Order::Bgr, Scale::SIGNED);
        let outputs = self.session.run(&[Input::Floats(&[1, 3, height, width], &self.numbers)], stop)?;
        let (shape, likely) = outputs.floats(0)?;
        if shape != [1, 1, height as i64, width as i64] {
            return Err(
                Fault::engine(format!("the model that finds text gives {shape:?} for {width} × {height}")).into()
            );
        }
        Ok(boxes::find(Map { likely, width, height }, picture.width(), picture.height()))
    }
}

/// The size at which text is looked for.
fn scaled_size(width: u32, height: u32) -> (u32, u32) {
    let (width, height) = (f64::from(width), f64::from(height));
    let enlarge = (MIN_SIDE / width.min(height)).min(MAX_SIDE / width.max(height)).max(1.0);
    let scale = |side: f64| ((side * enlarge).floor() / MULTIPLE).round_ties_even().max(1.0) * MULTIPLE;
    (scale(width) as u32, scale(height) as u32)
}

#[cfg(test)]
mod tests {
    use super::scaled_size;

    #[test]
    fn small_pictures_are_enlarged_and_long_ones_not_beyond_bounds() {
        assert_eq!(scaled_size(451, 300), (1120, 736));
        assert_eq!(scaled_size(2000, 1500), (1984, 1504));
        assert_eq!(scaled_size(2000, 100), (4096, 192));
        assert_eq!(scaled_size(8, 2000), (32, 4096));
    }
}
