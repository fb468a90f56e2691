//! How does a conversation with pictures, or a picture to be described, become a sequence?
//!
//! The looker looks at the pictures first, on its own thread; with what it saw, the sequence begins.

use megabrain_runtime::Job;
use megabrain_schemas::{ChatRequest, Fault, Media, Message};

use super::{Chat, Occupant};
use crate::looker::{Asker, Errand, Looked, Looker, Sight};
use crate::piece::Prompt;
use crate::sequence::Task;
use crate::showing::Showing;

impl Chat {
    /// Has the pictures of a conversation looked at.
    pub(super) fn look_for(&self, job: Job, mut request: ChatRequest) {
        let pictures = take_pictures(&mut request.messages);
        match self.text(&request.messages, &pictures) {
            Ok(text) => {
                self.send(Asker::Chat(Box::new(job), Box::new(request)), text, pictures.into_iter().flatten().collect())
            }
            Err(fault) => job.fail(fault),
        }
    }

    /// Has the next picture looked at, or answers if all are described.
    pub(super) fn describe_next(&self, showing: Box<Showing>) {
        let Some(picture) = showing.next() else { return showing.answer() };
        let pictures = vec![vec![picture]];
        match self.text(&[Message::user(showing.prompt())], &pictures) {
            Ok(text) => self.send(Asker::See(showing), text, pictures.into_iter().flatten().collect()),
            Err(fault) => showing.fail(fault),
        }
    }

    /// Begins the sequences of those whose pictures were looked at.
    pub(super) fn begin_looked(&mut self) {
        let looked = self.looker.as_ref().map(Looker::take).unwrap_or_default();
        for Looked { asker, result } in looked {
            let begun = result.and_then(|sight| self.begin(&asker, sight));
            let (task, size) = match begun {
                Ok(begun) => begun,
                Err(fault) => {
                    asker.fail(fault);
                    continue;
                }
            };
            self.admit(task, |prompt_tokens| match asker {
                Asker::Chat(job, request) => Occupant::chat(*job, request.stream, prompt_tokens),
                Asker::See(mut showing) => {
                    showing.is_of(size);
                    Occupant::See(showing)
                }
            });
        }
    }

    /// The task, and the size of the first picture.
    fn begin(&self, asker: &Asker, sight: Sight) -> Result<(Task, (u32, u32)), Fault> {
        if let Some(fault) = asker.job().interruption() {
            return Err(fault);
        }
        let prompt = Prompt::new(sight.pieces);
        if !prompt.ends_with_text() {
            return Err(Fault::engine("the chat template has nothing after the picture"));
        }
        let task = match asker {
            Asker::Chat(_, request) => self.task_of(request, prompt),
            // What a picture shows should not depend on chance.
            Asker::See(_) => self.task_of(&ChatRequest { temperature: Some(0.0), ..ChatRequest::default() }, prompt),
        };
        Ok((task, sight.sizes.first().copied().unwrap_or_default()))
    }

    /// The prompt, with a marker before the words of each message for every picture in it.
    fn text(&self, messages: &[Message], pictures: &[Vec<(String, Media)>]) -> Result<String, Fault> {
        let Some(looker) = &self.looker else {
            return Err(Fault::invalid("`messages` have pictures, and this model takes none: it has no `mmproj`"));
        };
        let marked = messages.iter().zip(pictures).map(|(message, pictures)| {
            let markers = format!("{}\n", looker.marker()).repeat(pictures.len());
            Message::new(message.role, format!("{markers}{}", message.content))
        });
        let text = self.template.render(&marked.collect::<Vec<_>>())?;
        self.check_length(&text)?;
        Ok(text)
    }

    fn send(&self, asker: Asker, text: String, pictures: Vec<(String, Media)>) {
        let begins_document = self.template.lacks_beginning(&text);
        match &self.looker {
            Some(looker) => looker.send(Errand { asker, text, begins_document, pictures }),
            None => asker.fail(Fault::engine("nobody looks at pictures here")),
        }
    }
}

/// Takes the pictures out of messages: for each message those that it had, and what the request calls them.
fn take_pictures(messages: &mut [Message]) -> Vec<Vec<(String, Media)>> {
    let of = |(index, message): (usize, &mut Message)| {
        let images = std::mem::take(&mut message.images).into_iter().enumerate();
        images.map(|(number, image)| (format!("messages[{index}].images[{number}]"), image)).collect()
    };
    messages.iter_mut().enumerate().map(of).collect()
}
