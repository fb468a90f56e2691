//! How does a conversation with pictures, or a picture to be described, become a sequence?
//!
//! The looker looks at the pictures first, on its own thread; with what it saw, the sequence begins.

use megabrain_runtime::Job;
use megabrain_schemas::{ChatRequest, Fault, Media, Message};

use super::{Chat, Occupant};
use crate::looker::{Asker, Errand, Looked, Looker, Sight};
use crate::piece::Prompt;
use crate::plan::Plan;
use crate::showing::Showing;

impl Chat {
    /// Has the pictures of a conversation looked at.
    pub(super) fn look_for(&self, job: Job, mut request: ChatRequest) {
        let pictures = take_pictures(&mut request.messages);
        match self.plan(&request, &pictures).and_then(|plan| self.sampling(&request).map(|_| plan)) {
            Ok(plan) => {
                let text = plan.text.clone();
                let asker = Asker::Chat(Box::new(job), Box::new((request, plan)));
                self.send(asker, text, pictures.into_iter().flatten().collect());
            }
            Err(fault) => job.fail(fault),
        }
    }

    /// Has the next picture looked at, or answers if all are described.
    pub(super) fn describe_next(&self, showing: Box<Showing>) {
        let Some(picture) = showing.next() else { return showing.answer() };
        let pictures = vec![vec![picture]];
        match self.plan(&to_describe(&showing), &pictures) {
            Ok(plan) => self.send(Asker::See(showing), plan.text, pictures.into_iter().flatten().collect()),
            Err(fault) => showing.fail(fault),
        }
    }

    /// Begins the sequences of those whose pictures were looked at.
    pub(super) fn begin_looked(&mut self) {
        let looked = self.looker.as_ref().map(Looker::take).unwrap_or_default();
        for Looked { asker, result } in looked {
            if let Some(fault) = asker.job().interruption() {
                asker.fail(fault);
                continue;
            }
            let (prompt, size) = match result.and_then(prompt_of) {
                Ok(read) => read,
                Err(fault) => {
                    asker.fail(fault);
                    continue;
                }
            };
            match asker {
                Asker::Chat(job, asked) => {
                    let (request, plan) = *asked;
                    match self.task_of(&request, prompt, plan) {
                        Ok((task, answer)) => self
                            .admit(task, |prompt_tokens| Occupant::chat(*job, request.stream, answer, prompt_tokens)),
                        Err(fault) => job.fail(fault),
                    }
                }
                Asker::See(mut showing) => {
                    showing.is_of(size);
                    self.begin_description(showing, prompt);
                }
            }
        }
    }

    fn begin_description(&mut self, showing: Box<Showing>, prompt: Prompt) {
        let request = to_describe(&showing);
        let planned = self.planner.plan(&request, &request.messages);
        match planned.and_then(|plan| self.task_of(&request, prompt, plan)) {
            Ok((task, _)) => self.admit(task, |_| Occupant::See(showing)),
            Err(fault) => showing.fail(fault),
        }
    }

    /// The plan, with a marker before the words of each message for every picture in it.
    fn plan(&self, request: &ChatRequest, pictures: &[Vec<(String, Media)>]) -> Result<Plan, Fault> {
        let Some(looker) = &self.looker else {
            return Err(Fault::invalid("`messages` have pictures, and this model takes none: it has no `mmproj`"));
        };
        let marked = request.messages.iter().zip(pictures).map(|(message, pictures)| {
            let markers = format!("{}\n", looker.marker()).repeat(pictures.len());
            Message { content: format!("{markers}{}", message.content), ..message.clone() }
        });
        let plan = self.planner.plan(request, &marked.collect::<Vec<_>>())?;
        self.check_length(&plan.text)?;
        Ok(plan)
    }

    fn send(&self, asker: Asker, text: String, pictures: Vec<(String, Media)>) {
        let begins_document = self.planner.template().lacks_beginning(&text);
        match &self.looker {
            Some(looker) => looker.send(Errand { asker, text, begins_document, pictures }),
            None => asker.fail(Fault::engine("nobody looks at pictures here")),
        }
    }
}

/// What a model is asked that describes a picture. What that shows should not depend on chance.
fn to_describe(showing: &Showing) -> ChatRequest {
    let messages = vec![Message::user(showing.prompt())];
    ChatRequest { messages, temperature: Some(0.0), ..ChatRequest::default() }
}

/// The prompt, and the size of the first picture.
fn prompt_of(sight: Sight) -> Result<(Prompt, (u32, u32)), Fault> {
    let prompt = Prompt::new(sight.pieces);
    if !prompt.ends_with_text() {
        return Err(Fault::engine("the chat template has nothing after the picture"));
    }
    Ok((prompt, sight.sizes.first().copied().unwrap_or_default()))
}

/// Takes the pictures out of messages: for each message those that it had, and what the request calls them.
fn take_pictures(messages: &mut [Message]) -> Vec<Vec<(String, Media)>> {
    let of = |(index, message): (usize, &mut Message)| {
        let images = std::mem::take(&mut message.images).into_iter().enumerate();
        images.map(|(number, image)| (format!("messages[{index}].images[{number}]"), image)).collect()
    };
    messages.iter_mut().enumerate().map(of).collect()
}
