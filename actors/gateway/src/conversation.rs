//! What does a conversation over HTTP become on the bus? A question to the router, or a chat with a model.

use megabrain_schemas::{Ask, ChatRequest, EchoRequest, Message, Request as _, Role};

use crate::answer::{Answer, of_chat, of_echo};
use crate::answering::Answering;
use crate::doors::{Doors, Shared};
use crate::error::ApiError;
use crate::media::Attached;
use crate::models::Asked;
use crate::room::Room;
use crate::work::Work;

/// A conversation to go on with, whichever door it came by.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Conversation {
    /// What was said so far, oldest first.
    pub(crate) turns: Vec<Turn>,
    /// The parameter that it was said in, as its caller knows it.
    pub(crate) said_in: &'static str,
    /// How it is to be answered: the chat that it becomes, without messages.
    pub(crate) settings: ChatRequest,
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

impl Conversation {
    /// Whom it goes to. The router's questions have no place for tools and forms: what has those goes to a model of the
    /// router's choice.
    ///
    /// # Errors
    /// Whoever is asked takes less than what is there.
    fn addressed(&self, asked: Asked) -> Result<Asked, ApiError> {
        match (asked, self.beyond_a_question()) {
            (Asked::Brain, Some(parameter)) if self.turns.iter().any(|turn| !turn.attached.is_empty()) => {
                let message = format!("`{parameter}`: `brain` takes it only where nothing is attached: name a model");
                Err(ApiError::parameter(parameter, message))
            }
            (Asked::Brain, Some(_)) => Ok(Asked::Anyone),
            (Asked::Echo(echo), Some(parameter @ ("tools" | "response_format" | "grammar"))) => {
                Err(ApiError::parameter(
                    parameter,
                    format!("`{parameter}`: {echo} has no model: it says back what it is told"),
                ))
            }
            (asked, _) => Ok(asked),
        }
    }

    /// The first parameter that a model knows and a question to the router has no place for.
    fn beyond_a_question(&self) -> Option<&'static str> {
        let ends_with_a_result = self.turns.last().is_some_and(|turn| turn.message.role == Role::Tool);
        let settings = &self.settings;
        let beyond = [
            ("tools", !settings.tools.is_empty()),
            ("tool_choice", settings.tool_choice.is_some()),
            (self.said_in, ends_with_a_result),
            ("response_format", settings.response_format.is_some()),
            ("grammar", settings.grammar.is_some()),
            ("logit_bias", !settings.logit_bias.is_empty()),
            ("top_k", settings.top_k.is_some()),
            ("min_p", settings.min_p.is_some()),
            ("presence_penalty", settings.presence_penalty.is_some()),
            ("frequency_penalty", settings.frequency_penalty.is_some()),
            ("repeat_penalty", settings.repeat_penalty.is_some()),
        ];
        beyond.into_iter().find(|(_, is_there)| *is_there).map(|(parameter, _)| parameter)
    }

    fn into_echo(mut self, model: &str, stream: bool) -> Result<EchoRequest, ApiError> {
        if self.turns.iter().any(|turn| !turn.attached.is_empty()) {
            return Err(takes_less(model, false, self.said_in));
        }
        // Nothing comes of them here; yet what no model takes is not taken for a trial either.
        ChatRequest { messages: vec![Message::user("")], ..self.settings }.check()?;
        let text = self.turns.pop().map(|last| last.message.content);
        Ok(EchoRequest { text, stream, ..EchoRequest::default() })
    }
}

impl Doors {
    /// Has a conversation answered, all at once. `room` is what it takes of the doors' memory.
    ///
    /// # Errors
    /// The conversation is none that can be answered so, or the fault that was answered.
    pub(crate) async fn answer(
        &self,
        asked: Asked,
        conversation: Conversation,
        mut room: Room,
        work: &Work,
    ) -> Result<Answer, ApiError> {
        let asked = conversation.addressed(asked)?;
        let (target, name) = (asked.target(), asked.name());
        match &asked {
            Asked::Brain => {
                let ask = self.question(conversation, &mut room, false).await?;
                Ok(self.of_brain(self.bus.call(&target, &ask, work.call()).await?))
            }
            Asked::Anyone | Asked::Model(_) => {
                let chat = self.chat(&asked, conversation, &mut room, false).await?;
                Ok(of_chat(self.bus.call(&target, &chat, work.call()).await?))
            }
            Asked::Echo(_) => {
                let echo = conversation.into_echo(name, false)?;
                Ok(of_echo(self.bus.call(&target, &echo, work.call()).await?))
            }
        }
    }

    async fn question(&self, conversation: Conversation, room: &mut Room, stream: bool) -> Result<Ask, ApiError> {
        let Conversation { turns, said_in, settings } = conversation;
        let mut attached = Vec::new();
        let mut messages = Vec::with_capacity(turns.len());
        for mut turn in turns {
            attached.append(&mut turn.attached);
            messages.push(turn.message);
        }
        let question = messages.pop().filter(|last| last.role == Role::User).ok_or_else(|| {
            let message = format!("`{said_in}`: the last message must be the user's: it is the question");
            ApiError::parameter(said_in, message)
        })?;
        let ChatRequest { max_tokens, temperature, top_p, seed, stop, .. } = settings;
        Ok(Ask {
            text: Some(question.content).filter(|text| !text.trim().is_empty()),
            messages,
            attachments: self.media(attached, room, said_in).await?,
            max_tokens,
            temperature,
            top_p,
            seed,
            stop,
            stream,
            ..Ask::default()
        })
    }

    async fn chat(
        &self,
        asked: &Asked,
        conversation: Conversation,
        room: &mut Room,
        stream: bool,
    ) -> Result<ChatRequest, ApiError> {
        let Conversation { turns, said_in, settings } = conversation;
        let sees = matches!(asked, Asked::Model(model) if self.sees(model));
        let mut counts = Vec::with_capacity(turns.len());
        let mut messages = Vec::with_capacity(turns.len());
        let mut pictures = Vec::new();
        for mut turn in turns {
            if !turn.attached.iter().all(|one| sees && one.may_be_picture()) {
                return Err(takes_less(asked.name(), sees, said_in));
            }
            counts.push(turn.attached.len());
            messages.push(turn.message);
            pictures.append(&mut turn.attached);
        }
        let mut pictures = self.media(pictures, room, said_in).await?.into_iter();
        for (message, count) in messages.iter_mut().zip(counts) {
            message.images = pictures.by_ref().take(count).collect();
        }
        Ok(ChatRequest { messages, stream, ..settings })
    }
}

/// Has a conversation answered as it goes. Its room is free again when it is on its way.
///
/// # Errors
/// As [`Doors::answer`], as far as it can be told before the first text.
pub(crate) async fn answering(
    doors: &Shared,
    asked: Asked,
    conversation: Conversation,
    mut room: Room,
    work: Work,
) -> Result<Answering, ApiError> {
    let asked = conversation.addressed(asked)?;
    let target = asked.target();
    let frames = match &asked {
        Asked::Brain => {
            let ask = doors.question(conversation, &mut room, true).await?;
            doors.bus.stream(&target, &ask, work.call()).await?
        }
        Asked::Anyone | Asked::Model(_) => {
            let chat = doors.chat(&asked, conversation, &mut room, true).await?;
            doors.bus.stream(&target, &chat, work.call()).await?
        }
        Asked::Echo(_) => {
            let echo = conversation.into_echo(asked.name(), true)?;
            doors.bus.stream(&target, &echo, work.call()).await?
        }
    };
    drop(room);
    Answering::new(doors.clone(), asked, frames, work).settled().await
}

fn takes_less(model: &str, sees: bool, said_in: &str) -> ApiError {
    let takes = if sees { "text and pictures" } else { "text" };
    let message = format!("the model {model} takes {takes} only: send sound, pictures and files to the model `brain`");
    ApiError::parameter(said_in, message)
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{Name, ResponseFormat, Tool};
    use serde_json::json;

    use super::*;

    fn talk(settings: ChatRequest) -> Conversation {
        Conversation { turns: vec![Message::user("Hi").into()], said_in: "messages", settings }
    }

    fn with_tools() -> ChatRequest {
        ChatRequest { tools: vec![Tool::function("f", "Does.", json!({}))], ..ChatRequest::default() }
    }

    #[test]
    fn what_a_question_has_no_place_for_goes_to_a_model_of_the_routers_choice() {
        let plain = ChatRequest { temperature: Some(0.0), stop: vec![".".into()], ..ChatRequest::default() };
        assert_eq!(talk(plain).addressed(Asked::Brain).unwrap(), Asked::Brain);
        let form = ChatRequest { response_format: Some(ResponseFormat::JsonObject {}), ..ChatRequest::default() };
        let narrow = ChatRequest { top_k: Some(3), ..ChatRequest::default() };
        for settings in [with_tools(), form, narrow] {
            assert_eq!(talk(settings).addressed(Asked::Brain).unwrap(), Asked::Anyone);
        }
        let mut answered = talk(ChatRequest::default());
        answered.turns.push(Message::tool("call_1", "31").into());
        assert_eq!(answered.addressed(Asked::Brain).unwrap(), Asked::Anyone);
        let model = Asked::Model(Name::new("fast").unwrap());
        assert_eq!(talk(with_tools()).addressed(model.clone()).unwrap(), model);
    }

    #[test]
    fn what_cannot_be_had_together_is_refused_by_name() {
        let mut seen = talk(with_tools());
        seen.turns[0].attached.push(Attached::bytes(None, vec![1]));
        assert!(seen.addressed(Asked::Brain).unwrap_err().message().contains("`tools`"));
        let echo = Asked::Echo(Name::new("echo").unwrap());
        assert!(talk(with_tools()).addressed(echo).unwrap_err().message().contains("`tools`"));
    }
}
