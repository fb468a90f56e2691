//! What is looked for in pictures, with which models, and how do several become one batch?

use image::RgbImage;
use megabrain_onnx::{Device, Runtime, Stop};
use megabrain_runtime::LoadError;
use megabrain_schemas::{Classified, Fault, SeeTask, Seen};

use crate::classify::{self, Classifier};
use crate::config::Config;
use crate::describe::compose;
use crate::end::End;
use crate::read::Reader;

/// Labels of a request that does not say how many.
const DEFAULT_TOP: usize = 5;

/// What is asked of each picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tasks {
    classify: bool,
    read: bool,
    describe: bool,
}

/// The models of one worker.
#[derive(Debug)]
pub(crate) struct Eyes {
    classifier: Option<Classifier>,
    reader: Option<Reader>,
    max_pixels: u64,
}

/// What was seen so far of one request.
#[derive(Debug)]
pub(crate) struct Sight {
    tasks: Tasks,
    top: usize,
    results: Vec<Seen>,
    /// Pictures that wait for their batch.
    prepared: Vec<f32>,
    waiting: usize,
    classified: Vec<Vec<Classified>>,
}

impl Sight {
    /// Nothing yet. `top` labels are wanted, 5 if nobody said.
    pub(crate) fn new(tasks: Tasks, top: Option<u32>) -> Self {
        let top = top.map_or(DEFAULT_TOP, |top| top as usize);
        Self { tasks, top, results: Vec::new(), prepared: Vec::new(), waiting: 0, classified: Vec::new() }
    }
}

impl Eyes {
    /// Opens the models.
    ///
    /// # Errors
    /// A file is missing, or is not what it should be.
    pub(crate) fn open(runtime: &Runtime, config: &Config, device: &Device, threads: usize) -> Result<Self, LoadError> {
        Ok(Self {
            classifier: Classifier::open(runtime, config, device, threads)?,
            reader: Reader::open(runtime, config, device, threads)?,
            max_pixels: config.max_pixels,
        })
    }

    /// What to do. Where nothing is asked for: what there are models for; a description has none and is only composed if
    /// it is asked for.
    ///
    /// # Errors
    /// `invalid_request` for a task that there is no model for.
    pub(crate) fn tasks(&self, asked: Option<&[SeeTask]>) -> Result<Tasks, Fault> {
        let (classifies, reads) = (self.classifier.is_some(), self.reader.is_some());
        let Some(asked) = asked else { return Ok(Tasks { classify: classifies, read: reads, describe: false }) };
        let missing = |task: &str, weights: &str| {
            Fault::invalid(format!("this model cannot {task}: it has no weights for it ({weights} in the brain file)"))
        };
        let mut tasks = Tasks::default();
        for task in asked {
            match task {
                SeeTask::Classify if !classifies => return Err(missing("classify", "`classify`")),
                SeeTask::Read if !reads => return Err(missing("read", "`detect` and `read`")),
                SeeTask::Classify => tasks.classify = true,
                SeeTask::Read => tasks.read = true,
                SeeTask::Describe => tasks.describe = true,
            }
        }
        Ok(tasks)
    }

    /// Looks at the next picture. Its classes may wait for those of the next ones.
    pub(crate) fn look(&mut self, bytes: &[u8], what: &str, sight: &mut Sight, stop: &Stop) -> Result<(), End> {
        let picture: RgbImage = megabrain_picture::decode(bytes, self.max_pixels, what)?;
        let mut seen = Seen { width: picture.width(), height: picture.height(), ..Seen::default() };
        let Tasks { classify, read, describe } = sight.tasks;
        if let Some(reader) = self.reader.as_mut().filter(|_| read || describe) {
            seen.read = Some(reader.read(&picture, stop)?);
        }
        sight.results.push(seen);
        if let Some(classifier) = self.classifier.as_mut().filter(|_| classify || describe) {
            sight.prepared.append(&mut classifier.prepare(&picture)?);
            sight.waiting += 1;
        }
        if sight.waiting == classify::BATCH { self.classify(sight, stop) } else { Ok(()) }
    }

    /// Finishes what waits, and gives a result for each picture.
    pub(crate) fn finish(&mut self, mut sight: Sight, stop: &Stop) -> Result<Vec<Seen>, End> {
        if sight.waiting > 0 {
            self.classify(&mut sight, stop)?;
        }
        let Tasks { classify, read, describe } = sight.tasks;
        let mut classified = sight.classified.into_iter();
        for seen in &mut sight.results {
            seen.classify = classified.next();
            if describe {
                seen.describe = Some(compose(seen.classify.as_deref(), seen.read.as_deref()));
            }
            seen.classify = seen.classify.take().filter(|_| classify).map(|mut classes| {
                classes.truncate(sight.top);
                classes
            });
            seen.read = seen.read.take().filter(|_| read);
        }
        Ok(sight.results)
    }

    fn classify(&mut self, sight: &mut Sight, stop: &Stop) -> Result<(), End> {
        if let Some(classifier) = &mut self.classifier {
            // A description wants some however few were asked for.
            let top = sight.top.max(DEFAULT_TOP);
            sight.classified.append(&mut classifier.classify(&sight.prepared, top, stop)?);
        }
        sight.prepared.clear();
        sight.waiting = 0;
        Ok(())
    }
}
