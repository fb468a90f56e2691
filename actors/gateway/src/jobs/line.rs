//! In which line does a job wait? One for each key and model: nobody's many jobs keep another's waiting.

use std::fmt;

use megabrain_schemas::{Capability, Name, subject};
use sha2::{Digest as _, Sha256};

/// A line of jobs that wait, the oldest first. Shown as the last tokens of its tasks' subjects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line(String);

impl Line {
    /// Of those that this key made for this model, or for whoever does this.
    pub(super) fn of(owner: Option<&Name>, capability: &Capability, model: Option<&Name>) -> Self {
        let owner = owner.map_or("-", Name::as_str);
        let server = model.map_or(capability.as_str(), Name::as_str);
        Self(format!("{owner}.{server}"))
    }

    /// The line that tasks of these subjects stand in.
    pub(super) fn of_tasks(subject: &str) -> Option<Self> {
        subject::line_of_task(subject).map(|line| Self(line.to_owned()))
    }

    /// The subjects of all its tasks.
    pub(super) fn tasks(&self) -> String {
        subject::job_task("*", self)
    }

    /// What the bus calls those who take its tasks: a name of letters, which the line is none of.
    pub(super) fn worker(&self) -> String {
        let hash: String = format!("{:x}", Sha256::digest(&self.0)).chars().take(32).collect();
        format!("run-{hash}")
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_keys_and_one_models_and_found_again_by_its_tasks() {
        let name = |text| Name::new(text).unwrap();
        let (chat, fast, deep) = (Capability::new("chat").unwrap(), name("fast"), name("deep"));
        let (ann, bob) = (name("ann"), name("bob"));
        let lines = [
            Line::of(None, &chat, Some(&fast)),
            Line::of(None, &chat, Some(&deep)),
            Line::of(None, &chat, None),
            Line::of(Some(&ann), &chat, Some(&fast)),
            Line::of(Some(&bob), &chat, Some(&fast)),
        ];
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(Line::of_tasks(&line.tasks()).as_ref(), Some(line));
            let task = subject::job_task("j1", line);
            assert_eq!(subject::job_of_task(&task), Some(name("j1")), "{task}");
            for other in &lines[..number] {
                assert!(other != line && other.worker() != line.worker(), "{other} {line}");
            }
        }
    }
}
