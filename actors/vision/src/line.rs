//! What is written in pictures of one line each? First those that stand on their head are turned, then all are read.
//!
//! Sizes, batches and thresholds are those of RapidOCR 1.4.4 (`ch_ppocr_cls`, `ch_ppocr_rec`), since what a line is
//! padded with, and so the batch that it is in, has a say in what is read.

use std::path::Path;

use image::{RgbImage, imageops};
use megabrain_onnx::{Device, Input, Outputs, Runtime, Session, Stop};
use megabrain_runtime::LoadError;
use megabrain_schemas::Fault;

use crate::end::End;
use crate::pixels::{Order, Scale, Scaler, write_planes};

/// Lines that are looked at together.
const BATCH: usize = 6;
/// Height of a line as both models take it, in pixels.
const HEIGHT: u32 = 48;
/// Width as the model takes it that tells the angle; a longer line is squeezed.
const ANGLE_WIDTH: u32 = 192;
/// How sure the model must be for a line to be turned.
const TURN_THRESHOLD: f32 = 0.9;
/// Width over height that the reading model takes at least; a shorter line is padded.
const MIN_RATIO: f64 = 320.0 / 48.0;
/// And at most, which bounds the memory that it takes; a longer line is squeezed.
const MAX_RATIO: f64 = 100.0;

/// Lines from the shortest to the longest, in batches, so that little is padded.
pub(crate) fn batches(lines: &[RgbImage]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    let ratio_of = |index: &usize| lines.get(*index).map_or(0.0, ratio);
    order.sort_by(|one, other| ratio_of(one).total_cmp(&ratio_of(other)));
    order.chunks(BATCH).map(<[usize]>::to_vec).collect()
}

fn ratio(line: &RgbImage) -> f64 {
    f64::from(line.width()) / f64::from(line.height())
}

/// Puts lines side by side for a model that takes them at this width, the rest zero, and runs it.
fn run(
    session: &mut Session,
    lines: &[&RgbImage],
    width: u32,
    numbers: &mut Vec<f32>,
    scaler: &mut Scaler,
    stop: &Stop,
) -> Result<Outputs, End> {
    let (wide, high) = (width as usize, HEIGHT as usize);
    numbers.clear();
    numbers.resize(lines.len() * 3 * wide * high, 0.0);
    for (line, planes) in lines.iter().zip(numbers.chunks_exact_mut(3 * wide * high)) {
        let own_width = (f64::from(HEIGHT) * ratio(line)).ceil().clamp(1.0, f64::from(width)) as u32;
        let scaled = scaler.bilinear(line, own_width, HEIGHT)?;
        write_planes(&scaled, planes, wide, Order::Bgr, Scale::SIGNED);
    }
    Ok(session.run(&[Input::Floats(&[lines.len(), 3, high, wide], numbers)], stop)?)
}

/// The model that tells which lines stand on their head.
#[derive(Debug)]
pub(crate) struct Angle {
    session: Session,
    numbers: Vec<f32>,
}

impl Angle {
    /// Opens the model.
    ///
    /// # Errors
    /// The file is missing or no such model.
    pub(crate) fn open(runtime: &Runtime, path: &Path, device: &Device, threads: usize) -> Result<Self, LoadError> {
        Ok(Self { session: runtime.open(path, device, threads)?, numbers: Vec::new() })
    }

    /// Turns those of a batch that stand on their head.
    pub(crate) fn upright(
        &mut self,
        lines: &mut [RgbImage],
        batch: &[usize],
        scaler: &mut Scaler,
        stop: &Stop,
    ) -> Result<(), End> {
        let together: Vec<&RgbImage> = batch.iter().filter_map(|index| lines.get(*index)).collect();
        let outputs = run(&mut self.session, &together, ANGLE_WIDTH, &mut self.numbers, scaler, stop)?;
        // For each line, how likely it is upright and how likely it is not.
        let (_, likely) = outputs.floats(0)?;
        for (index, likely) in batch.iter().zip(likely.chunks_exact(2)) {
            let is_turned = likely.last().is_some_and(|likely| *likely > TURN_THRESHOLD);
            if let Some(line) = lines.get_mut(*index).filter(|_| is_turned) {
                imageops::rotate180_in_place(line);
            }
        }
        Ok(())
    }
}

/// What was read in a line, and how sure the model is, 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) score: f32,
}

/// The model that reads a line.
#[derive(Debug)]
pub(crate) struct Recognizer {
    session: Session,
    /// What its outputs stand for; the first for nothing.
    alphabet: Vec<String>,
    numbers: Vec<f32>,
}

impl Recognizer {
    /// Opens the model.
    ///
    /// # Errors
    /// The file is missing, or no such model: it has no alphabet.
    pub(crate) fn open(runtime: &Runtime, path: &Path, device: &Device, threads: usize) -> Result<Self, LoadError> {
        let session = runtime.open(path, device, threads)?;
        let characters = session.metadata("character").ok_or_else(|| {
            LoadError::Weights(format!("{} reads no text: it has no alphabet in its metadata", path.display()))
        })?;
        // PP-OCR's own order: nothing, the characters, a space.
        let characters = characters.lines().map(str::to_owned);
        let alphabet = std::iter::once(String::new()).chain(characters).chain([" ".to_owned()]).collect();
        Ok(Self { session, alphabet, numbers: Vec::new() })
    }

    /// Reads a batch of lines, in its order.
    pub(crate) fn read(&mut self, lines: &[&RgbImage], scaler: &mut Scaler, stop: &Stop) -> Result<Vec<Text>, End> {
        let longest = lines.iter().map(|line| ratio(line)).fold(MIN_RATIO, f64::max).min(MAX_RATIO);
        let width = (f64::from(HEIGHT) * longest) as u32;
        let outputs = run(&mut self.session, lines, width, &mut self.numbers, scaler, stop)?;
        let (shape, likely) = outputs.floats(0)?;
        let [_, steps, classes] = *shape else {
            return Err(Fault::engine(format!("the model that reads text gives {shape:?}")).into());
        };
        let (steps, classes) = (steps.max(1) as usize, classes.max(1) as usize);
        if classes != self.alphabet.len() {
            let letters = self.alphabet.len();
            return Err(Fault::engine(format!("the model tells {classes} characters apart and names {letters}")).into());
        }
        Ok(likely.chunks_exact(steps * classes).map(|line| self.spell(line.chunks_exact(classes))).collect())
    }

    /// What a line says, by how likely each character is at each step. A character that goes on for some steps is one,
    /// unless there is nothing in between (A. Graves et al.: Connectionist temporal classification, 2006).
    fn spell<'a>(&self, steps: impl Iterator<Item = &'a [f32]>) -> Text {
        let (mut text, mut sum, mut count, mut before) = (String::new(), 0.0, 0_u16, 0);
        for likely in steps {
            let (best, score) = likeliest(likely);
            if best != 0 && best != before {
                text.push_str(self.alphabet.get(best).map_or("", String::as_str));
                sum += score;
                count += 1;
            }
            before = best;
        }
        Text { text, score: sum / f32::from(count.max(1)) }
    }
}

/// The first of the largest numbers, and where it is.
fn likeliest(numbers: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, number) in numbers.iter().enumerate() {
        if *number > best.1 {
            best = (index, *number);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_lines_of_like_length() {
        let widths = [90, 10, 80, 20, 70, 30, 60, 40];
        let lines: Vec<RgbImage> = widths.iter().map(|width| RgbImage::new(*width, 10)).collect();
        assert_eq!(batches(&lines), [vec![1, 3, 5, 7, 6, 4], vec![2, 0]]);
        assert!(batches(&[]).is_empty());
    }

    #[test]
    fn the_likeliest_is_the_first_of_equals() {
        assert_eq!(likeliest(&[0.1, 0.7, 0.7, f32::NAN]), (1, 0.7));
    }
}
