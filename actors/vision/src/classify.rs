//! What does a picture show, of the things that the model knows?

use std::path::Path;

use image::RgbImage;
use megabrain_onnx::{Device, Input, Runtime, Session, Stop};
use megabrain_runtime::LoadError;
use megabrain_schemas::{Classified, Fault};

use crate::config::Config;
use crate::end::End;
use crate::pixels::{Area, Order, Scale, Scaler, write_planes};

/// Pictures that are looked at together.
pub(crate) const BATCH: usize = 16;
/// How much of the shorter side is seen, from the middle: what the networks for ImageNet are judged by.
const SEEN: f64 = 0.875;

/// The model that names what a picture shows.
#[derive(Debug)]
pub(crate) struct Classifier {
    session: Session,
    labels: Vec<String>,
    width: u32,
    height: u32,
    scale: Scale,
    scaler: Scaler,
}

impl Classifier {
    /// Opens the model, if the configuration has one, and tries it.
    ///
    /// # Errors
    /// The file is missing or no classifier of pictures, or the names of its classes are missing.
    pub(crate) fn open(
        runtime: &Runtime,
        config: &Config,
        device: &Device,
        threads: usize,
    ) -> Result<Option<Self>, LoadError> {
        let Some(path) = &config.weights.classify else { return Ok(None) };
        let refused = |why: String| LoadError::Weights(format!("{} names no pictures: {why}", path.display()));
        let session = runtime.open(path, device, threads)?;
        let labels = labels(&session, path).map_err(refused)?;
        let shape = session.input_shape(0).unwrap_or_default();
        let side = |axis: usize| shape.get(axis).and_then(|side| u32::try_from(*side).ok()).filter(|side| *side > 0);
        let (Some(3), Some(height), Some(width)) = (shape.get(1).copied(), side(2), side(3)) else {
            return Err(refused(format!("it takes {shape:?}, not pictures of one size as [n, 3, height, width]")));
        };
        let scale = Scale::of(config.mean, config.deviation);
        let mut classifier = Self { session, labels, width, height, scale, scaler: Scaler::default() };
        let blank = classifier.prepare(&RgbImage::new(width, height)).map_err(|fault| refused(fault.message))?;
        match classifier.classify(&blank, 1, &Stop::new(runtime)?) {
            Ok(_) => Ok(Some(classifier)),
            Err(End::Fault(fault)) => Err(refused(fault.message)),
            Err(End::Interrupted) => Err(refused("it was interrupted".to_owned())),
        }
    }

    /// What the model takes of a picture.
    pub(crate) fn prepare(&mut self, picture: &RgbImage) -> Result<Vec<f32>, Fault> {
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        // The largest part of the model's shape, less a rim.
        let (wide, high) = (f64::from(self.width), f64::from(self.height));
        let scale = (width / wide).min(height / high) * SEEN;
        let (seen_width, seen_height) = (wide * scale, high * scale);
        let (left, top) = ((width - seen_width) / 2.0, (height - seen_height) / 2.0);
        let area = Area { left, top, width: seen_width, height: seen_height };
        let scaled = self.scaler.bicubic(picture, area, self.width, self.height)?;
        let mut numbers = vec![0.0; 3 * self.width as usize * self.height as usize];
        write_planes(&scaled, &mut numbers, self.width as usize, Order::Rgb, self.scale);
        Ok(numbers)
    }

    /// Names what prepared pictures show, one after the other in `numbers`: the `top` likeliest, best first.
    pub(crate) fn classify(&mut self, numbers: &[f32], top: usize, stop: &Stop) -> Result<Vec<Vec<Classified>>, End> {
        let (width, height) = (self.width as usize, self.height as usize);
        let count = numbers.len() / (3 * width * height).max(1);
        let outputs = self.session.run(&[Input::Floats(&[count, 3, height, width], numbers)], stop)?;
        let (shape, scores) = outputs.floats(0)?;
        let classes = self.labels.len();
        if shape != [count as i64, classes as i64] {
            return Err(
                Fault::engine(format!("it gives {shape:?} for {count} pictures, and names {classes} classes")).into()
            );
        }
        Ok(scores.chunks_exact(classes).map(|scores| best(probabilities(scores), &self.labels, top)).collect())
    }
}

/// The names of a model's classes: in its metadata, or in a file beside it.
fn labels(session: &Session, path: &Path) -> Result<Vec<String>, String> {
    let beside = path.with_extension("txt");
    let text = match session.metadata("labels") {
        Some(text) => text,
        None => std::fs::read_to_string(&beside).map_err(|error| {
            format!("it has no `labels` in its metadata, and beside it {}: {error}", beside.display())
        })?,
    };
    let labels: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if labels.is_empty() { Err("its labels are empty".to_owned()) } else { Ok(labels) }
}

/// A model may end in a softmax or leave it to us.
fn probabilities(scores: &[f32]) -> Vec<f32> {
    let sum: f32 = scores.iter().sum();
    if scores.iter().all(|score| *score >= 0.0) && (sum - 1.0).abs() < 1e-3 {
        return scores.to_vec();
    }
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn best(likely: Vec<f32>, labels: &[String], top: usize) -> Vec<Classified> {
    let mut ranked: Vec<(f32, &String)> = likely.into_iter().zip(labels).collect();
    ranked.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    ranked.into_iter().take(top).map(|(score, label)| Classified { label: label.clone(), score }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_probabilities_unless_they_are_some() {
        assert_eq!(probabilities(&[0.25, 0.75]), [0.25, 0.75]);
        let likely = probabilities(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(likely, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn the_best_come_first_and_no_more_than_there_are() {
        let labels = ["a", "b", "c"].map(str::to_owned);
        let ranked = best(vec![0.2, 0.5, 0.3], &labels, 2);
        assert_eq!(ranked.iter().map(|class| class.label.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(best(vec![0.2, 0.5, 0.3], &labels, 9).len(), 3);
    }
}
