//! What does this program serve? `chat`, `embed` or `rerank`, by what its model was made for.

use megabrain_runtime::{Engine, Gauges, Host, Job, LoadError, Profile, Step};
use megabrain_schemas::{EmbedRequest, RerankRequest};

use crate::chat::Chat;
use crate::config::Config;
use crate::load::Native;
use crate::purpose::Purpose;
use crate::reading::Desk;

/// One model of llama.cpp.
#[derive(Debug)]
pub(crate) enum Llm {
    /// It goes on with conversations.
    Chat(Box<Chat>),
    /// It makes vectors of texts.
    Embed(Box<Desk<EmbedRequest>>),
    /// It ranks texts by how well they answer a query.
    Rerank(Box<Desk<RerankRequest>>),
}

impl Engine for Llm {
    const ACTOR: &'static str = "llm";
    type Config = Config;

    fn check(config: &Config) -> Result<(), LoadError> {
        config.check().map_err(LoadError::Config)
    }

    fn load(config: Config, host: &Host) -> Result<Self, LoadError> {
        let native = Native::start_for(&config)?;
        let progress = host.clone();
        let loaded = native.load(&config, host.threads(), move |part| progress.progress(part))?;
        let (name, waker) = (host.name().clone(), host.waker());
        let wake = move || waker.wake();
        Ok(match loaded.context.purpose() {
            Purpose::Chat => Self::Chat(Box::new(Chat::new(native, loaded, config, name, wake)?)),
            Purpose::Embed(_) => Self::Embed(Box::new(Desk::new(native, loaded, &config))),
            Purpose::Rerank => Self::Rerank(Box::new(Desk::new(native, loaded, &config))),
        })
    }

    fn profile(&self) -> Profile {
        match self {
            Self::Chat(chat) => chat.profile(),
            Self::Embed(embed) => embed.profile(),
            Self::Rerank(rerank) => rerank.profile(),
        }
    }

    fn start(&mut self, job: Job) {
        match self {
            Self::Chat(chat) => chat.start(job),
            Self::Embed(embed) => embed.start(job),
            Self::Rerank(rerank) => rerank.start(job),
        }
    }

    fn step(&mut self) -> Step {
        match self {
            Self::Chat(chat) => chat.step(),
            Self::Embed(embed) => embed.step(),
            Self::Rerank(rerank) => rerank.step(),
        }
    }

    fn set_threads(&mut self, threads: usize) {
        match self {
            Self::Chat(chat) => chat.set_threads(threads),
            Self::Embed(embed) => embed.set_threads(threads),
            Self::Rerank(rerank) => rerank.set_threads(threads),
        }
    }

    fn gauges(&self) -> Gauges {
        match self {
            Self::Chat(chat) => chat.gauges(),
            Self::Embed(embed) => embed.gauges(),
            Self::Rerank(rerank) => rerank.gauges(),
        }
    }
}
