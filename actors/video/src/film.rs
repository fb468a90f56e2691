//! What is a film, as far as it is needed to take it apart?

use std::time::Duration;

use crate::allow;

/// The name of the film in its folder. It has no ending that could mislead.
pub(crate) const NAME: &str = "film";

/// What was found out about a film before it is decoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Film {
    /// The kind of file, by ffmpeg's first name for it.
    pub(crate) container: String,
    /// Its length, as far as it tells and can be believed.
    pub(crate) duration: Option<Duration>,
    /// Its pictures, if it has any.
    pub(crate) video: Option<Video>,
    /// Its sound, if it has any.
    pub(crate) sound: Option<Sound>,
}

/// The pictures of a film.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Video {
    /// Which of the film's streams.
    pub(crate) index: u32,
    pub(crate) codec: String,
    /// As it is shown: turned upright, with square pixels.
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The sound of a film.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sound {
    /// Which of the film's streams.
    pub(crate) index: u32,
    pub(crate) codec: String,
}

impl Video {
    /// The size of pictures whose longer edge has at most `edge` pixels; never larger than the film.
    pub(crate) fn size(&self, edge: u32) -> (u32, u32) {
        let longer = self.width.max(self.height).max(1);
        let scaled = |length: u32| {
            let length = u64::from(length) * u64::from(edge.min(longer)) / u64::from(longer);
            u32::try_from(length).unwrap_or(edge).max(1)
        };
        (scaled(self.width), scaled(self.height))
    }
}

/// How a child is told to open the film: what it may be, what it may reach, how large a picture may be.
pub(crate) fn input(max_pixels: u32) -> Vec<String> {
    let words = [
        ["-protocol_whitelist", allow::PROTOCOLS],
        ["-format_whitelist", allow::CONTAINERS],
        ["-codec_whitelist", allow::DECODERS],
        ["-max_pixels", &max_pixels.to_string()],
        ["-i", &format!("file:{NAME}")],
    ];
    words.iter().flatten().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_shape_and_are_never_enlarged() {
        let size = |width, height| Video { index: 0, codec: String::new(), width, height }.size(1280);
        assert_eq!(size(1920, 1080), (1280, 720));
        assert_eq!(size(1080, 1920), (720, 1280));
        assert_eq!(size(640, 480), (640, 480));
        assert_eq!(size(1, 1), (1, 1));
        assert_eq!(size(4_000_000, 2), (1280, 1));
    }
}
