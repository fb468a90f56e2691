//! Which text is in a picture, and where?

use image::{RgbImage, imageops};
use megabrain_onnx::{Device, Runtime, Stop};
use megabrain_runtime::LoadError;
use megabrain_schemas::Read;

use crate::config::{Config, Weights};
use crate::crop::crop;
use crate::detect::Detector;
use crate::end::End;
use crate::line::{Angle, Recognizer, batches};
use crate::pixels::Scaler;
use crate::rectangle::Point;

/// A picture is read at this size at most, in pixels of its longer side.
const MAX_SIDE: f64 = 2000.0;
/// And at this size at least, in pixels of its shorter side.
const MIN_SIDE: f64 = 30.0;
/// A picture that is lower, or so much wider than high, gets black strips above and below: found is what is not cut off.
const LOW: u32 = 30;
const WIDE: f64 = 8.0;
/// Sides are multiples of this once they are scaled.
const MULTIPLE: f64 = 32.0;

/// The models that find and read text.
#[derive(Debug)]
pub(crate) struct Reader {
    detector: Detector,
    angle: Option<Angle>,
    recognizer: Recognizer,
    scaler: Scaler,
    min_score: f32,
}

impl Reader {
    /// Opens the models, if the configuration has any.
    ///
    /// # Errors
    /// A file is missing, or is not what it should be.
    pub(crate) fn open(
        runtime: &Runtime,
        config: &Config,
        device: &Device,
        threads: usize,
    ) -> Result<Option<Self>, LoadError> {
        let Weights { detect: Some(detect), read: Some(read), angle, .. } = &config.weights else { return Ok(None) };
        let angle = angle.as_ref().map(|path| Angle::open(runtime, path, device, threads)).transpose()?;
        Ok(Some(Self {
            detector: Detector::open(runtime, detect, device, threads)?,
            angle,
            recognizer: Recognizer::open(runtime, read, device, threads)?,
            scaler: Scaler::default(),
            min_score: config.min_text_score,
        }))
    }

    /// Reads, from top to bottom and from left to right. Looks up at `stop` between batches of lines too.
    pub(crate) fn read(&mut self, picture: &RgbImage, stop: &Stop) -> Result<Vec<Read>, End> {
        let page = self.page(picture)?;
        let boxes = self.detector.find(page.picture(picture), &mut self.scaler, stop)?;
        let mut lines: Vec<RgbImage> = boxes.iter().map(|corners| crop(page.picture(picture), *corners)).collect();
        let batches = batches(&lines);
        if let Some(angle) = &mut self.angle {
            for batch in &batches {
                angle.upright(&mut lines, batch, &mut self.scaler, stop)?;
            }
        }
        let mut read = vec![None; boxes.len()];
        for batch in &batches {
            let together: Vec<&RgbImage> = batch.iter().filter_map(|index| lines.get(*index)).collect();
            let texts = self.recognizer.read(&together, &mut self.scaler, stop)?;
            for (index, text) in batch.iter().zip(texts) {
                if let Some(place) = read.get_mut(*index).filter(|_| text.score >= self.min_score) {
                    *place = Some(text);
                }
            }
        }
        let found = boxes.iter().zip(read).filter_map(|(corners, text)| text.map(|text| (corners, text)));
        Ok(found
            .map(|(corners, text)| Read { corners: page.place(*corners), text: text.text, score: text.score })
            .collect())
    }

    /// The picture at a size at which text can be read.
    fn page(&mut self, picture: &RgbImage) -> Result<Page, End> {
        let (width, height) = picture.dimensions();
        let (longer, shorter) = (f64::from(width.max(height)), f64::from(width.min(height)));
        let shrink = (MAX_SIDE / longer).min(1.0);
        // A strip is not enlarged beyond the longest side.
        let factor = if shrink < 1.0 { shrink } else { (MIN_SIDE / shorter).min(MAX_SIDE / longer).max(1.0) };
        let mut page = None;
        if factor != 1.0 {
            let scale = |side: u32| {
                let scaled = (f64::from(side) * factor).floor() / MULTIPLE;
                (scaled.round_ties_even().max(1.0) * MULTIPLE) as u32
            };
            page = Some(self.scaler.bilinear(picture, scale(width), scale(height))?);
        }
        let (page_width, page_height) = page.as_ref().map_or((width, height), RgbImage::dimensions);
        let strip = strip(page_width, page_height);
        if strip > 0 {
            let mut padded = RgbImage::new(page_width, page_height + 2 * strip);
            imageops::replace(&mut padded, page.as_ref().unwrap_or(picture), 0, i64::from(strip));
            page = Some(padded);
        }
        let ratio = |of: u32, to: u32| f64::from(of) / f64::from(to);
        Ok(Page {
            changed: page,
            strip: f64::from(strip),
            ratio: [ratio(width, page_width), ratio(height, page_height)],
            size: [width, height].map(f64::from),
        })
    }
}

/// How high the strips above and below must be.
fn strip(width: u32, height: u32) -> u32 {
    if height > LOW && f64::from(width) / f64::from(height) <= WIDE {
        return 0;
    }
    let padded = ((f64::from(width) / WIDE) as u32).max(LOW) * 2;
    padded.abs_diff(height) / 2
}

/// A picture as it is read, and how places in it lead back to the picture as it came.
#[derive(Debug)]
struct Page {
    /// The picture, if it is another than the one that came.
    changed: Option<RgbImage>,
    strip: f64,
    ratio: [f64; 2],
    size: [f64; 2],
}

impl Page {
    fn picture<'a>(&'a self, came: &'a RgbImage) -> &'a RgbImage {
        self.changed.as_ref().unwrap_or(came)
    }

    fn place(&self, corners: [Point; 4]) -> [[f32; 2]; 4] {
        let ([across, down], [width, height]) = (self.ratio, self.size);
        corners.map(|[x, y]| {
            let place = [(x * across).clamp(0.0, width), ((y - self.strip) * down).clamp(0.0, height)];
            place.map(|number| number as f32)
        })
    }
}
