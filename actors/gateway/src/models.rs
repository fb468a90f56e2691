//! Which models are there, and what does an id mean? Whoever is on the bus by its name, the whole brain as `brain`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use megabrain_bus::Target;
use megabrain_schemas::{Capability, ChatRequest, EchoRequest, ModelState, Name, Presence};
use serde::Serialize;

use crate::doors::{Doors, Shared};
use crate::error::ApiError;
use crate::path::Id;

/// The id of the router itself: it takes attachments, and asks the models that the brain file names.
pub(crate) const BRAIN: &str = "brain";

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The brain as a whole.
    Brain,
    /// A model of the router's choice.
    Anyone,
    /// This model.
    Model(Name),
    /// This actor without a model, which says back what it is told: for trials of clients.
    Echo(Name),
}

impl Asked {
    /// Where a request for one capability goes; the brain's is the router's to pass on.
    pub(crate) fn target(&self) -> Target {
        match self {
            Self::Brain | Self::Anyone => Target::Router,
            Self::Model(model) | Self::Echo(model) => Target::Model(model.clone()),
        }
    }

    /// What it is counted under.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Brain | Self::Anyone => BRAIN,
            Self::Model(model) | Self::Echo(model) => model.as_str(),
        }
    }
}

impl Doors {
    /// Whom an id means: a name of a model, one of the brain file's aliases, or one of `usual`, ids that clients bring
    /// along and that stand for whichever model does this here. `:latest` is left off: Ollama's clients add it.
    ///
    /// # Errors
    /// Status 404 for what can be no model. A model that is not there is told by the bus.
    pub(crate) fn asked(&self, id: &str, usual: &[&str]) -> Result<Asked, ApiError> {
        let id = id.trim();
        let short = id.strip_suffix(":latest").unwrap_or(id);
        let aliases = &self.config.aliases;
        let short = aliases.get(id).or_else(|| aliases.get(short)).map_or(short, Name::as_str);
        if short == BRAIN {
            return Ok(Asked::Brain);
        }
        let model = Name::new(short).ok();
        let is_there = model.as_ref().is_some_and(|model| self.present.look().roster.of_model(model).next().is_some());
        if !is_there && usual.contains(&short) {
            return Ok(Asked::Brain);
        }
        model.map(Asked::Model).ok_or_else(|| ApiError::no_model(id))
    }

    /// Whom an id means in a conversation.
    ///
    /// # Errors
    /// As [`Doors::asked`].
    pub(crate) fn speaker(&self, id: &str) -> Result<Asked, ApiError> {
        let asked = self.asked(id, &[])?;
        let Asked::Model(model) = asked else { return Ok(asked) };
        let (chat, echo) = (Capability::of::<ChatRequest>(), Capability::of::<EchoRequest>());
        let only_echoes = |one: &Presence| one.capabilities.contains(&echo) && !one.capabilities.contains(&chat);
        let is_echo = self.present.look().roster.of_model(&model).any(only_echoes);
        Ok(if is_echo { Asked::Echo(model) } else { Asked::Model(model) })
    }

    /// True if a model takes pictures in a conversation, or nobody has told yet what it takes.
    pub(crate) fn sees(&self, model: &Name) -> bool {
        let heard = self.present.look();
        let mut instances = heard.roster.of_model(model).filter(|one| one.state == ModelState::Ready).peekable();
        instances.peek().is_none() || instances.any(|one| one.accepts.iter().any(|mime| mime.starts_with("image/")))
    }

    /// Tells of everything that can be named as a model: its id, and its instances if it is one.
    pub(crate) fn listed<T>(&self, tell: impl Fn(&str, &[&Presence]) -> T) -> Vec<T> {
        let heard = self.present.look();
        let models = heard.models();
        let brain = heard.has_router().then_some((BRAIN, [].as_slice()));
        let named = models.iter().map(|(model, instances)| (model.as_str(), instances.as_slice()));
        let known: BTreeMap<&str, &[&Presence]> = brain.into_iter().chain(named.clone()).collect();
        let aliases = self.config.aliases.iter();
        let aliases = aliases.filter_map(|(alias, model)| Some((alias.as_str(), *known.get(model.as_str())?)));
        brain.into_iter().chain(named).chain(aliases).map(|(id, instances)| tell(id, instances)).collect()
    }
}

/// `GET /v1/models`
pub(crate) async fn list(State(doors): State<Shared>) -> impl IntoResponse {
    written(format!(r#"{{"object":"list","data":[{}]}}"#, doors.listed(describe).join(",")))
}

/// `GET /v1/models/{id}`
pub(crate) async fn one(State(doors): State<Shared>, Id(id): Id) -> Result<impl IntoResponse, ApiError> {
    let told = doors.listed(|known, instances| (known == id).then(|| describe(known, instances)));
    told.into_iter().flatten().next().map(written).ok_or_else(|| ApiError::no_model(&id))
}

/// What is JSON already: clients look so often that it is written without a detour.
fn written(json: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], json)
}

/// One model as OpenAI's clients know it, and beside that what it does and how it is.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(flatten)]
    instance: Option<ListedInstance<'a>>,
}

#[derive(Serialize)]
struct ListedInstance<'a> {
    state: &'static str,
    capabilities: &'a [Capability],
    context_length: Option<u32>,
}

fn describe(id: &str, instances: &[&Presence]) -> String {
    let best = instances.iter().find(|presence| presence.state == ModelState::Ready).or(instances.first());
    let instance = best.map(|presence| ListedInstance {
        state: presence.state.as_str(),
        capabilities: &presence.capabilities,
        context_length: presence.context,
    });
    let listed = Listed { id, object: "model", created: started(), owned_by: "megabrain", instance };
    // It has only keys that are texts: it can be written.
    serde_json::to_string(&listed).unwrap_or_default()
}

/// Since when models are listed here, in Unix seconds: no model says when it was made.
fn started() -> u64 {
    static STARTED: std::sync::LazyLock<u64> = std::sync::LazyLock::new(now);
    *STARTED
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
