//! What is in a form that a file came with?

use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use axum::http::StatusCode;

use crate::body;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::room::Room;

/// Fields of a form, at most; nobody sends more.
const MOST_FIELDS: usize = 64;

/// A form: one file, and texts.
pub(crate) struct Form {
    file: Option<Upload>,
    texts: Vec<(String, String)>,
}

/// A file of a form.
pub(crate) struct Upload {
    /// The media type that its sender says it has.
    pub(crate) said: Option<String>,
    /// Itself.
    pub(crate) bytes: Bytes,
}

impl Form {
    /// Reads a form whose file is the field `file`. The room is to be kept for as long as the form.
    ///
    /// # Errors
    /// It is none, is larger than a body may be, finds no room, does not come in time, or has two files.
    pub(crate) async fn read(doors: &Shared, request: Request) -> Result<(Self, Room), ApiError> {
        let (form, mut room) = body::received(doors, request, |request| Self::receive(doors, request)).await?;
        let texts: usize = form.texts.iter().map(|(name, text)| name.len() + text.len()).sum();
        room.shrink(texts + form.file.as_ref().map_or(0, |file| file.bytes.len()));
        Ok((form, room))
    }

    async fn receive(doors: &Shared, request: Request) -> Result<Self, ApiError> {
        let limit = doors.config.max_body.as_u64();
        let wrong = |error: MultipartError| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                ApiError::too_large(format!("the body has more than the {limit} bytes that are taken"))
            }
            // Not the form is wrong then, but what it came by.
            StatusCode::INTERNAL_SERVER_ERROR => body::not_sent(&error),
            _ => ApiError::invalid(format!("the form cannot be read: {}", error.body_text())),
        };
        let mut parts = Multipart::from_request(request, doors)
            .await
            .map_err(|error| ApiError::invalid(format!("expected multipart/form-data: {}", error.body_text())))?;
        let mut form = Self { file: None, texts: Vec::new() };
        while let Some(field) = parts.next_field().await.map_err(wrong)? {
            let name = field.name().unwrap_or_default().to_owned();
            if name == "file" {
                let said = field.content_type().map(str::to_owned);
                let file = Upload { said, bytes: field.bytes().await.map_err(wrong)? };
                if form.file.replace(file).is_some() {
                    return Err(ApiError::parameter("file", "`file` is there twice: send one at a time"));
                }
            } else if form.texts.len() < MOST_FIELDS {
                form.texts.push((name, field.text().await.map_err(wrong)?));
            } else {
                return Err(ApiError::invalid(format!("the form has more than {MOST_FIELDS} fields")));
            }
        }
        Ok(form)
    }

    /// A form as a test has it.
    #[cfg(test)]
    pub(crate) fn of(file: Upload, texts: &[(&str, &str)]) -> Self {
        crate::known::begin();
        let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Self { file: Some(file), texts }
    }

    /// Takes the file out.
    ///
    /// # Errors
    /// There is none, or nothing in it.
    pub(crate) fn file(&mut self) -> Result<Upload, ApiError> {
        #[cfg(test)]
        crate::known::name("file");
        let file = self.file.take().ok_or_else(|| ApiError::parameter("file", "`file` is missing"))?;
        if file.bytes.is_empty() { Err(ApiError::parameter("file", "`file` is empty")) } else { Ok(file) }
    }

    /// Takes a text out; one that is empty is the same as none.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.texts(name).pop().filter(|text| !text.is_empty())
    }

    /// Takes all texts of a field out, which may be written `name` or `name[]`.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        #[cfg(test)]
        crate::known::name(name);
        let is_it = |field: &str| field.strip_suffix("[]").unwrap_or(field) == name;
        self.texts.extract_if(.., |(field, _)| is_it(field)).map(|(_, text)| text).collect()
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// The first field that this brain does not know, by name.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        #[cfg(test)]
        crate::known::end(std::iter::empty());
        let Some((name, _)) = self.texts.into_iter().find(|(_, text)| !text.is_empty()) else { return Ok(()) };
        let name: String = name.chars().take(60).collect();
        let message = format!("`{name}` is not known to this brain: leave it out");
        Err(ApiError::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message).about(&name))
    }
}
