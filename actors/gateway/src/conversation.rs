//! What does a conversation over HTTP become on the bus? A question to the router, or a chat with one model.

use megabrain_schemas::{
    Ask, AskReply, ChatReply, ChatRequest, EchoReply, EchoRequest, Fault, FinishReason, Message, Name, Request as _,
    Role, Usage,
};
use serde_json::{Value, json};

use crate::answering::Answering;
use crate::doors::{Doors, Shared};
use crate::error::ApiError;
use crate::media::Attached;
use crate::models::Asked;
use crate::work::Work;

/// A conversation to go on with, whichever door it came by.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Conversation {
    /// What was said so far, oldest first.
    pub(crate) turns: Vec<Turn>,
    /// How it is to be answered.
    pub(crate) settings: Settings,
}

/// A message, and what was sent along with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) message: Message,
    pub(crate) attached: Vec<Attached>,
}

impl From<Message> for Turn {
    fn from(message: Message) -> Self {
        Self { message, attached: Vec::new() }
    }
}

/// How an answer is to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: Option<f32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) seed: Option<u32>,
    pub(crate) stop: Vec<String>,
}

impl Settings {
    /// Refuses what is out of the contract's bounds.
    fn check(&self) -> Result<(), Fault> {
        let Self { max_tokens, temperature, top_p, seed, stop } = self.clone();
        let messages = vec![Message::user("")];
        ChatRequest { messages, max_tokens, temperature, top_p, seed, stop, ..ChatRequest::default() }.check()
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// What is said.
    pub(crate) text: String,
    pub(crate) finish_reason: FinishReason,
    pub(crate) usage: Usage,
    /// What the brain found and did, where it was asked.
    pub(crate) notes: Option<Value>,
}

impl Answer {
    /// Why it ended, as OpenAI writes it.
    pub(crate) fn finish_reason(&self) -> &'static str {
        match self.finish_reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
        }
    }
}

impl Doors {
    /// Has a conversation answered, all at once.
    ///
    /// # Errors
    /// The conversation is none that can be answered so, or the fault that was answered.
    pub(crate) async fn answer(
        &self,
        asked: &Asked,
        conversation: Conversation,
        work: &Work,
    ) -> Result<Answer, ApiError> {
        match asked {
            Asked::Brain => {
                let ask = self.question(conversation, false).await?;
                let reply = self.bus.call(&asked.target(), &ask, work.call()).await?;
                Ok(self.of_brain(reply))
            }
            Asked::Model(model) => {
                let chat = self.chat(model, conversation, false).await?;
                let reply = self.bus.call(&asked.target(), &chat, work.call()).await?;
                Ok(self.of_model(model, reply))
            }
            Asked::Echo(model) => {
                let echo = conversation.into_echo(model, false)?;
                Ok(of_echo(self.bus.call(&asked.target(), &echo, work.call()).await?))
            }
        }
    }

    async fn question(&self, conversation: Conversation, stream: bool) -> Result<Ask, ApiError> {
        let Conversation { turns, settings } = conversation;
        let mut attached = Vec::new();
        let mut messages = Vec::with_capacity(turns.len());
        for mut turn in turns {
            attached.append(&mut turn.attached);
            messages.push(turn.message);
        }
        let question = messages.pop().filter(|last| last.role == Role::User).ok_or_else(|| {
            ApiError::parameter("messages", "`messages`: the last one must be the user's: it is the question")
        })?;
        let Settings { max_tokens, temperature, top_p, seed, stop } = settings;
        Ok(Ask {
            text: Some(question.content).filter(|text| !text.trim().is_empty()),
            messages,
            attachments: self.media(attached).await?,
            max_tokens,
            temperature,
            top_p,
            seed,
            stop,
            stream,
            ..Ask::default()
        })
    }

    async fn chat(&self, model: &Name, conversation: Conversation, stream: bool) -> Result<ChatRequest, ApiError> {
        let Conversation { turns, settings } = conversation;
        let sees = self.sees(model);
        let mut counts = Vec::with_capacity(turns.len());
        let mut messages = Vec::with_capacity(turns.len());
        let mut pictures = Vec::new();
        for mut turn in turns {
            if !turn.attached.iter().all(|one| sees && one.may_be_picture()) {
                return Err(takes_less(model, sees));
            }
            counts.push(turn.attached.len());
            messages.push(turn.message);
            pictures.append(&mut turn.attached);
        }
        let mut pictures = self.media(pictures).await?.into_iter();
        for (message, count) in messages.iter_mut().zip(counts) {
            message.images = pictures.by_ref().take(count).collect();
        }
        let Settings { max_tokens, temperature, top_p, seed, stop } = settings;
        Ok(ChatRequest { messages, max_tokens, temperature, top_p, seed, stop, stream, ..ChatRequest::default() })
    }

    /// The router's answer. In a stream its text has come already.
    pub(crate) fn of_brain(&self, reply: AskReply) -> Answer {
        self.metrics.legs(&reply.legs);
        if let (Some(model), Some(usage)) = (&reply.model, reply.usage) {
            self.metrics.tokens(model, usage);
        }
        let AskReply { text, model, evidence, left_out, legs, took_ms, finish_reason, usage, .. } = reply;
        Answer {
            text,
            finish_reason: finish_reason.unwrap_or(FinishReason::Stop),
            usage: usage.unwrap_or_default(),
            notes: Some(json!({
                "model": model, "evidence": evidence, "left_out": left_out, "legs": legs, "took_ms": took_ms,
            })),
        }
    }

    /// A model's answer, likewise.
    pub(crate) fn of_model(&self, model: &Name, reply: ChatReply) -> Answer {
        self.metrics.tokens(model, reply.usage);
        Answer {
            text: reply.message.map(|message| message.content).unwrap_or_default(),
            finish_reason: reply.finish_reason,
            usage: reply.usage,
            notes: None,
        }
    }
}

/// Has a conversation answered as it goes.
///
/// # Errors
/// As [`Doors::answer`], as far as it can be told before the first text.
pub(crate) async fn answering(
    doors: &Shared,
    asked: Asked,
    conversation: Conversation,
    work: Work,
) -> Result<Answering, ApiError> {
    let frames = match &asked {
        Asked::Brain => {
            let ask = doors.question(conversation, true).await?;
            doors.bus.stream(&asked.target(), &ask, work.call()).await?
        }
        Asked::Model(model) => {
            let chat = doors.chat(model, conversation, true).await?;
            doors.bus.stream(&asked.target(), &chat, work.call()).await?
        }
        Asked::Echo(model) => {
            let echo = conversation.into_echo(model, true)?;
            doors.bus.stream(&asked.target(), &echo, work.call()).await?
        }
    };
    Answering::new(doors.clone(), asked, frames, work).settled().await
}

/// What an actor without a model says back. It has no tokens.
pub(crate) fn of_echo(reply: EchoReply) -> Answer {
    let text = reply.text.unwrap_or_default();
    Answer { text, finish_reason: FinishReason::Stop, usage: Usage::default(), notes: None }
}

impl Conversation {
    fn into_echo(mut self, model: &Name, stream: bool) -> Result<EchoRequest, ApiError> {
        if self.turns.iter().any(|turn| !turn.attached.is_empty()) {
            return Err(takes_less(model, false));
        }
        // Nothing comes of them here; yet what no model takes is not taken for a trial either.
        self.settings.check()?;
        let text = self.turns.pop().map(|last| last.message.content);
        Ok(EchoRequest { text, stream, ..EchoRequest::default() })
    }
}

fn takes_less(model: &Name, sees: bool) -> ApiError {
    let takes = if sees { "text and pictures" } else { "text" };
    let message = format!("the model {model} takes {takes} only: send sound, pictures and files to the model `brain`");
    ApiError::parameter("messages", message)
}
