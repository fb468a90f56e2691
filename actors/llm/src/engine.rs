//! What does this program serve? `chat` or `embed`, by what its model was made for.

use megabrain_runtime::{Engine, Gauges, Host, Job, LoadError, Profile, Step};

use crate::chat::Chat;
use crate::config::Config;
use crate::embed::Embed;
use crate::load::Native;
use crate::purpose::Purpose;

/// One model of llama.cpp.
#[derive(Debug)]
pub(crate) enum Llm {
    /// It goes on with conversations.
    Chat(Box<Chat>),
    /// It makes vectors of texts.
    Embed(Box<Embed>),
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
            Purpose::Embed(_) => Self::Embed(Box::new(Embed::new(native, loaded, &config))),
        })
    }

    fn profile(&self) -> Profile {
        match self {
            Self::Chat(chat) => chat.profile(),
            Self::Embed(embed) => embed.profile(),
        }
    }

    fn start(&mut self, job: Job) {
        match self {
            Self::Chat(chat) => chat.start(job),
            Self::Embed(embed) => embed.start(job),
        }
    }

    fn step(&mut self) -> Step {
        match self {
            Self::Chat(chat) => chat.step(),
            Self::Embed(embed) => embed.step(),
        }
    }

    fn set_threads(&mut self, threads: usize) {
        match self {
            Self::Chat(chat) => chat.set_threads(threads),
            Self::Embed(embed) => embed.set_threads(threads),
        }
    }

    fn gauges(&self) -> Gauges {
        match self {
            Self::Chat(chat) => chat.gauges(),
            Self::Embed(embed) => embed.gauges(),
        }
    }
}
