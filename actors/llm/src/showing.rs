//! How does a language model with eyes serve `see`? It describes one picture after the other.

use megabrain_runtime::Job;
use megabrain_schemas::{Description, Fault, Media, Name, SeeReply, SeeRequest, SeeTask, Seen};

use crate::sequence::Output;

/// What is asked where a request does not say what to look for.
const PROMPT: &str = "Describe the picture in one or two sentences.";

/// Pictures to be described, and what was said of them so far.
#[derive(Debug)]
pub(crate) struct Showing {
    job: Job,
    request: SeeRequest,
    results: Vec<Seen>,
    size: (u32, u32),
    text: String,
}

impl Showing {
    /// Nothing said yet.
    pub(crate) fn new(job: Job, request: SeeRequest) -> Self {
        Self { job, request, results: Vec::new(), size: (0, 0), text: String::new() }
    }

    /// The job.
    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// The picture whose turn it is, and what the request calls it. None once all are described.
    pub(crate) fn next(&self) -> Option<(String, Media)> {
        let index = self.results.len();
        self.request.images.get(index).map(|image| (format!("images[{index}]"), image.clone()))
    }

    /// What the model is told to do.
    pub(crate) fn prompt(&self) -> &str {
        self.request.prompt.as_deref().map(str::trim).filter(|prompt| !prompt.is_empty()).unwrap_or(PROMPT)
    }

    /// Notes the size of the picture that is being described.
    pub(crate) fn is_of(&mut self, size: (u32, u32)) {
        self.size = size;
    }

    /// Takes what a step gave.
    pub(crate) fn deliver(&mut self, output: &Output) {
        self.text.push_str(&output.text);
    }

    /// Ends the description of the picture. `by` is the model.
    pub(crate) fn described(&mut self, by: &Name) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let (width, height) = self.size;
        let describe = Some(Description { text, by: by.to_string() });
        self.results.push(Seen { width, height, describe, ..Seen::default() });
    }

    /// Answers.
    pub(crate) fn answer(self) {
        let queued_ms = self.job.queued_ms();
        self.job.answer(&SeeReply { results: self.results, queued_ms });
    }

    /// Answers with a fault.
    pub(crate) fn fail(self, fault: Fault) {
        self.job.fail(fault);
    }
}

/// Refuses what a language model does not do with a picture.
///
/// # Errors
/// `invalid_request`, naming the task.
pub(crate) fn check_tasks(request: &SeeRequest) -> Result<(), Fault> {
    check(request.tasks.as_deref())
}

fn check(tasks: Option<&[SeeTask]>) -> Result<(), Fault> {
    let refuse = |task: &str| Err(Fault::invalid(format!("`tasks`: this model cannot {task}, it can describe")));
    match tasks.unwrap_or_default().iter().find(|task| **task != SeeTask::Describe) {
        Some(SeeTask::Classify) => refuse("classify"),
        Some(_) => refuse("read"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_description_can_be_asked_for() {
        assert!(check(None).is_ok());
        assert!(check(Some(&[SeeTask::Describe])).is_ok());
        let fault = check(Some(&[SeeTask::Describe, SeeTask::Read])).unwrap_err();
        assert!(fault.message.contains("cannot read"), "{fault}");
        assert!(check(Some(&[SeeTask::Classify])).unwrap_err().message.contains("cannot classify"));
    }
}
