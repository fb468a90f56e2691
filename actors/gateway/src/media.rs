//! How does what came with a request become media on the bus? Inline while there is room in a message, else by reference.

use std::io::Read as _;

use axum::http::StatusCode;
use megabrain_schemas::{BlobRef, Media};

use crate::body;
use crate::doors::Doors;
use crate::encoded;
use crate::error::ApiError;
use crate::room::Room;

/// URLs that are fetched for one request: one after the other, each in its time.
const MOST_FETCHED: usize = 16;

/// Bytes that are fetched before they have room, at most.
const STEP: u64 = 64 * 1024;

/// Something that came with a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attached {
    /// Its media type, where it is known.
    pub(crate) mime: Option<String>,
    /// Itself.
    pub(crate) content: Content,
}

/// The thing itself, or its name in the blob store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// What they are called in the blob store.
    Blob(BlobRef),
    /// Where they are to be fetched.
    Elsewhere(String),
}

impl Attached {
    /// Bytes of a type that somebody said; what they really are is looked at first.
    pub(crate) fn bytes(said: Option<String>, bytes: Vec<u8>) -> Self {
        Self { mime: media_type(&bytes).map(str::to_owned).or(said), content: Content::Bytes(bytes) }
    }

    /// False if it is known to be something else than a picture.
    pub(crate) fn may_be_picture(&self) -> bool {
        self.mime.as_deref().is_none_or(|mime| mime.starts_with("image/"))
    }

    /// What a URL names: a data URL's bytes, a blob's name, or a place in the world.
    ///
    /// # Errors
    /// A data URL that is none, or a URL of another kind.
    pub(crate) fn from_url(url: &str) -> Result<Self, String> {
        if let Some(read) = encoded::data_url(url) {
            return read.map(|(mime, bytes)| Self::bytes(mime, bytes));
        }
        if url.starts_with("blob:") {
            return url.parse().map(|blob| Self { mime: None, content: Content::Blob(blob) });
        }
        if url.starts_with("https://") || url.starts_with("http://") {
            return Ok(Self { mime: None, content: Content::Elsewhere(url.to_owned()) });
        }
        let start: String = url.chars().take(40).collect();
        Err(format!("{start:?} is not fetched: send a data URL, the name of a blob, or http:// or https://"))
    }
}

/// What bytes are, by their beginning.
pub(crate) fn media_type(bytes: &[u8]) -> Option<&'static str> {
    infer::get(bytes).map(|kind| kind.mime_type())
}

impl Doors {
    /// Makes media of them: together, what goes inline takes at most half of the largest message. Afterwards, so much is
    /// all that is left of the body that they came with, and all the room that it needs. `said_in` is the parameter that
    /// they came in.
    ///
    /// # Errors
    /// The blob store is full or away; what is elsewhere cannot be had.
    pub(crate) async fn media(
        &self,
        attached: Vec<Attached>,
        room: &mut Room,
        said_in: &str,
    ) -> Result<Vec<Media>, ApiError> {
        let is_elsewhere = |one: &&Attached| matches!(one.content, Content::Elsewhere(_));
        if attached.iter().filter(is_elsewhere).count() > MOST_FETCHED {
            return Err(ApiError::parameter(said_in, format!("at most {MOST_FETCHED} URLs are fetched at a time")));
        }
        let mut inline = self.bus.max_payload() / 2;
        let mut media = Vec::with_capacity(attached.len());
        for Attached { mime, content } in attached {
            let (mime, bytes, _place) = match content {
                Content::Blob(blob) => {
                    media.push(Media::by_reference(mime, blob));
                    continue;
                }
                Content::Bytes(bytes) => (mime, bytes, Room::default()),
                Content::Elsewhere(url) => self.fetch(url).await.map_err(|error| error.about(said_in))?,
            };
            media.push(if bytes.len() <= inline {
                inline -= bytes.len();
                Media { mime, data: Some(bytes.into()), blob: None }
            } else {
                Media::by_reference(mime, self.put_blob(bytes).await?)
            });
        }
        room.shrink(self.bus.max_payload());
        Ok(media)
    }

    /// Fetches what is elsewhere, which takes room as it comes. The room is to be kept for as long as the bytes.
    async fn fetch(&self, url: String) -> Result<(Option<String>, Vec<u8>, Room), ApiError> {
        let (outbound, all, limit) = (self.outbound.clone(), self.room.clone(), self.config.max_body.as_u64());
        let fetch = move || {
            let not_fetched = |error: String| {
                let message = format!("{url} cannot be fetched: {error}");
                ApiError::new(StatusCode::BAD_REQUEST, "url_not_fetched", message)
            };
            let mut coming = outbound.get(&url, limit).map_err(not_fetched)?;
            let mut more = |bytes: &mut Vec<u8>| coming.by_ref().take(STEP).read_to_end(bytes);
            let (mut bytes, mut room) = (Vec::new(), Room::default());
            while more(&mut bytes).map_err(|error| not_fetched(error.to_string()))? > 0 {
                room.grow_to(&all, bytes.len())?;
            }
            Ok((media_type(&bytes).map(str::to_owned), bytes, room))
        };
        body::aside(false, fetch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bytes_are_counts_more_than_what_somebody_says() {
        let png = b"\x89PNG\r\n\x1a\n".to_vec();
        assert_eq!(Attached::bytes(Some("image/jpeg".into()), png).mime.as_deref(), Some("image/png"));
        assert_eq!(Attached::bytes(Some("text/plain".into()), b"hello".to_vec()).mime.as_deref(), Some("text/plain"));
    }

    #[test]
    fn what_is_no_place_of_the_world_is_refused() {
        assert!(Attached::from_url("data:image/png;base64,AAAA").is_ok());
        assert!(Attached::from_url(&BlobRef::of(b"x").to_string()).is_ok());
        assert!(Attached::from_url("https://example.org/a.png").is_ok());
        for elsewhere in ["file:///etc/passwd", "blob:http://x", "C:\\a.png", ""] {
            assert!(Attached::from_url(elsewhere).is_err(), "{elsewhere}");
        }
    }
}
