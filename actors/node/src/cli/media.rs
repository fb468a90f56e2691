//! How does a file become an attachment? Inline while it is small, by reference when it is not.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use megabrain_bus::Bus;
use megabrain_schemas::{BlobRef, Fault, Media};

use crate::cli::Usage;

/// What a person names: `[TYPE=]FILE` or `[TYPE=]blob:sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    mime: Option<String>,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Blob(BlobRef),
}

impl FromStr for Source {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        // A path may hold `=`; a media type before it has one slash and no dot in its first half.
        let typed = text.split_once('=').filter(|(mime, _)| is_media_type(mime));
        let (mime, place) = typed.map_or((None, text), |(mime, place)| (Some(mime.to_owned()), place));
        let place = place.parse().map_or_else(|_| Place::File(place.into()), Place::Blob);
        Ok(Self { mime, place })
    }
}

impl Source {
    /// What to call it on the screen.
    pub(crate) fn title(&self) -> String {
        match &self.place {
            Place::File(path) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Place::Blob(blob) => blob.to_string().chars().take(20).collect(),
        }
    }
}

/// Reads the files and puts those into the blob store that a message has no room for: together, what goes inline takes
/// at most half of the largest message.
///
/// # Errors
/// A file cannot be read or is of a kind that cannot be told; the blob store is full or away.
pub(crate) async fn load(bus: &Bus, sources: &[Source]) -> anyhow::Result<Vec<Media>> {
    let mut room = bus.max_payload() / 2;
    let mut loaded = Vec::with_capacity(sources.len());
    for source in sources {
        let path = match &source.place {
            Place::Blob(blob) => {
                loaded.push(Media::by_reference(source.mime.clone(), blob.clone()));
                continue;
            }
            Place::File(path) => path,
        };
        let bytes = tokio::fs::read(path).await.with_context(|| path.display().to_string())?;
        let mime = match &source.mime {
            Some(mime) => mime.clone(),
            None => media_type(path, &bytes).ok_or_else(|| unknown(path))?,
        };
        if bytes.len() <= room {
            room -= bytes.len();
            loaded.push(Media::inline(mime, bytes));
        } else {
            let blob = bus.blob_store().await?.put(&bytes).await?;
            loaded.push(Media::by_reference(Some(mime), blob));
        }
    }
    Ok(loaded)
}

fn unknown(path: &Path) -> Usage {
    Usage(format!(
        "{0}: what kind of media is this? Say so: TYPE={0}, for example audio/wav={0}, image/png={0}, text/plain={0}",
        path.display()
    ))
}

/// A fault with the names of the files beside their numbers, which stand for the `#` of these places.
pub(crate) fn name_files(mut fault: Fault, sources: &[Source], places: &[&str]) -> Fault {
    // One file needs no name.
    for (number, source) in sources.iter().enumerate().filter(|_| sources.len() > 1) {
        for place in places {
            let place = place.replace('#', &number.to_string());
            for end in [" ", ":"] {
                let named = format!("{place} ({}){end}", source.title());
                fault.message = fault.message.replace(&format!("{place}{end}"), &named);
            }
        }
    }
    fault
}

/// The media type by the file's extension, else by its first bytes.
fn media_type(path: &Path, bytes: &[u8]) -> Option<String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    by_extension(&extension).or_else(|| infer::get(bytes).map(|kind| kind.mime_type())).map(str::to_owned)
}

fn by_extension(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "mp4" | "m4v" => "video/mp4",
        "mov" => "video/quicktime",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        "avi" => "video/x-msvideo",
        "mpg" | "mpeg" => "video/mpeg",
        "ts" | "mts" | "m2ts" => "video/mp2t",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "pdf" => "application/pdf",
        _ => return None,
    })
}

fn is_media_type(text: &str) -> bool {
    let is_token = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && !kind.contains('.') && is_token(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_told_by_extension_and_else_by_the_bytes() {
        let told = |path: &str, bytes: &[u8]| media_type(Path::new(path), bytes);
        assert_eq!(told("talk.MP3", b"").as_deref(), Some("audio/mpeg"));
        assert_eq!(told("note.opus", b"").as_deref(), Some("audio/ogg"));
        assert_eq!(told("picture", b"\x89PNG\r\n\x1a\n").as_deref(), Some("image/png"));
        assert_eq!(told("picture.dat", b"\xff\xd8\xff\xe0").as_deref(), Some("image/jpeg"));
        assert_eq!(told("mystery", b"mystery"), None);
    }

    #[test]
    fn a_fault_names_the_file_that_it_is_about() {
        let sources = ["cat.jpg", "folder/torn.png"].map(|file| file.parse().unwrap());
        let named = |message: &str, sources: &[Source]| {
            name_files(Fault::invalid(message), sources, &["attachment #", "attachments[#]"]).message
        };
        assert_eq!(named("attachments[1] is empty", &sources), "attachments[1] (torn.png) is empty");
        assert_eq!(
            named("none: attachment 0: images[1]: a; attachment 1: b", &sources),
            "none: attachment 0 (cat.jpg): images[1]: a; attachment 1 (torn.png): b"
        );
        assert_eq!(named("attachment 0: no picture", &sources[..1]), "attachment 0: no picture");
    }

    #[test]
    fn a_source_may_name_its_type_and_a_blob() {
        let read = |text: &str| text.parse::<Source>().unwrap();
        let file =
            |mime: Option<&str>, path: &str| Source { mime: mime.map(str::to_owned), place: Place::File(path.into()) };
        assert_eq!(read("talk.mp3"), file(None, "talk.mp3"));
        assert_eq!(read("text/plain=notes"), file(Some("text/plain"), "notes"));
        assert_eq!(read("./odd/na=me.wav"), file(None, "./odd/na=me.wav"));
        let blob = BlobRef::of(b"x");
        assert_eq!(
            read(&format!("audio/wav={blob}")),
            Source { mime: Some("audio/wav".into()), place: Place::Blob(blob) }
        );
        assert_eq!(read("folder/talk.mp3").title(), "talk.mp3");
    }
}
