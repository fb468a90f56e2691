//! How does what came with a request become media on the bus? Inline while there is room in a message, else by reference.

use axum::http::StatusCode;
use megabrain_schemas::{BlobRef, Media};

use crate::body::Room;
use crate::doors::Doors;
use crate::encoded;
use crate::error::ApiError;

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
    /// all that is left of the body that they came with, and all the room that it needs.
    ///
    /// # Errors
    /// The blob store is full or away; what is elsewhere cannot be had.
    pub(crate) async fn media(&self, attached: Vec<Attached>, room: &mut Room) -> Result<Vec<Media>, ApiError> {
        let mut inline = self.bus.max_payload() / 2;
        let mut media = Vec::with_capacity(attached.len());
        for one in attached {
            let Attached { mime, content } = self.fetched(one).await?;
            media.push(match content {
                Content::Blob(blob) => Media::by_reference(mime, blob),
                Content::Bytes(bytes) if bytes.len() <= inline => {
                    inline -= bytes.len();
                    Media { mime, data: Some(bytes.into()), blob: None }
                }
                Content::Bytes(bytes) => Media::by_reference(mime, self.put_blob(bytes).await?),
                Content::Elsewhere(_) => continue,
            });
        }
        room.shrink(self.bus.max_payload());
        Ok(media)
    }

    /// Fetches it, if it is elsewhere.
    async fn fetched(&self, attached: Attached) -> Result<Attached, ApiError> {
        let Content::Elsewhere(url) = attached.content else { return Ok(attached) };
        let (outbound, limit, place) = (self.outbound.clone(), self.config.max_body.as_u64(), url.clone());
        let fetched = tokio::task::spawn_blocking(move || outbound.get(&place, limit)).await;
        let bytes = fetched.unwrap_or_else(|error| Err(error.to_string())).map_err(|error| {
            let message = format!("{url} cannot be fetched: {error}");
            ApiError::new(StatusCode::BAD_REQUEST, "url_not_fetched", message).about("messages")
        })?;
        Ok(Attached::bytes(None, bytes))
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
