//! `mb.v1.see`: pictures in, what they show out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Fault, Media, Request, check};

/// Pictures to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeeRequest {
    /// The pictures: 1 to 64.
    pub images: Vec<Media>,
    /// What to do with each. Default: all that the model can by itself; a description that is only composed of the
    /// others must be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<SeeTask>>,
    /// What to look for, for `describe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// How many labels `classify` gives. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
}

/// One thing that can be done with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeeTask {
    /// Name what it shows.
    Classify,
    /// Read the text in it.
    Read,
    /// Say in words what it shows.
    Describe,
}

impl Request for SeeRequest {
    const CAPABILITY: &'static str = "see";
    type Reply = SeeReply;
    type Frame = SeeReply;
    fn check(&self) -> Result<(), Fault> {
        if self.images.is_empty() {
            return Err(Fault::invalid("`images` is empty"));
        }
        check::images("`images` has", self.images.len())?;
        if self.tasks.as_ref().is_some_and(Vec::is_empty) {
            return Err(Fault::invalid("`tasks` is empty: leave it out to have all"));
        }
        for (index, image) in self.images.iter().enumerate() {
            image.check(&format!("images[{index}]"))?;
        }
        check::at_least_one("top_k", self.top_k)
    }
}

/// What the pictures show, in their order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeeReply {
    /// One a picture.
    pub results: Vec<Seen>,
    /// Time that the work waited for a slot, in milliseconds.
    #[serde(default)]
    pub queued_ms: f64,
}

/// What one picture shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Labels, likeliest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classify: Option<Vec<Classified>>,
    /// Lines of text, top to bottom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<Read>>,
    /// A description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub describe: Option<Description>,
}

/// One label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Classified {
    /// The label.
    pub label: String,
    /// Its probability, 0 to 1.
    pub score: f32,
}

/// One line of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Read {
    /// The text.
    pub text: String,
    /// Its corners, `[x, y]` in pixels, clockwise from the top left.
    #[serde(rename = "box")]
    pub corners: [[f32; 2]; 4],
    /// How sure the model is, 0 to 1.
    pub score: f32,
}

/// A description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Description {
    /// What the picture shows.
    pub text: String,
    /// Who says so: a model's name; or, if it was put together from what other tasks found, those: `classify+read`.
    pub by: String,
}
