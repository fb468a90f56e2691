//! What kind of film is this? ffprobe says, before anything is decoded.

use std::path::Path;
use std::time::{Duration, Instant};

use megabrain_schemas::{Fault, FaultKind};
use serde::Deserialize;

use crate::allow;
use crate::child::NOT_STARTED;
use crate::film::{Film, Sound, Video, input};
use crate::log::Log;
use crate::running::{Ending, Running};
use crate::split::{IsDue, Setup, Stop};

/// What a probe may take.
const MAX_TIME: Duration = Duration::from_secs(60);
/// What it may say.
const MAX_OUTPUT: usize = 1 << 20;
/// The least that a film takes, in bits a second: a header that says less is not believed.
const MIN_BIT_RATE: f64 = 250.0;

const ENTRIES: &str = "format=format_name,start_time,duration\
    :stream=index,codec_type,codec_name,width,height,sample_aspect_ratio\
    :stream_disposition=default,attached_pic:stream_side_data=rotation";

/// Looks at the film in `folder`, which has `bytes` bytes.
///
/// # Errors
/// `invalid_request` if it is no film that is known, `too_large` if its pictures are; `engine` if ffprobe fails.
pub(crate) fn probe(setup: &Setup, folder: &Path, bytes: u64, is_due: IsDue<'_>) -> Result<Film, Stop> {
    let mut arguments =
        ["-hide_banner", "-loglevel", "error", "-of", "json", "-show_entries", ENTRIES].map(String::from).to_vec();
    arguments.extend(input(setup.config.max_pixels));
    let child = Running::start(&setup.tools, &setup.tools.ffprobe, &arguments, folder, setup.config.limits())?;
    let mut said = Vec::new();
    let (ending, child) = listen(setup, child, is_due, &mut |bytes| {
        said.extend_from_slice(bytes);
        if said.len() > MAX_OUTPUT { Err(Fault::invalid("the film has too many streams")) } else { Ok(()) }
    })?;
    let max_pixels = setup.config.max_pixels;
    // Of a picture that it refused for its size, ffprobe tells no size.
    let by_size = |fault| child.log().refused_size().map_or(fault, |size| too_large(&size, max_pixels));
    match ending {
        Ending::Exit(0) => {}
        Ending::Exit(code) if code != NOT_STARTED => return Err(by_size(refusal(ending, child.log())).into()),
        _ => return Err(refusal(ending, child.log()).into()),
    }
    let told: Told = serde_json::from_slice(&said)
        .map_err(|error| Fault::engine(format!("what ffprobe says cannot be read: {error}")))?;
    let mut film = told.film(max_pixels).map_err(by_size)?;
    film.duration = film.duration.filter(|length| bytes as f64 * 8.0 / length.as_secs_f64() >= MIN_BIT_RATE);
    if film.duration.is_none() {
        film.duration = measure(setup, &film, folder, is_due)?;
    }
    Ok(film)
}

/// The length of a film that does not tell it: all of it is read, and nothing decoded.
fn measure(setup: &Setup, film: &Film, folder: &Path, is_due: IsDue<'_>) -> Result<Option<Duration>, Stop> {
    let mut arguments = setup.quiet();
    arguments.extend(input(setup.config.max_pixels));
    let streams = [film.video.as_ref().map(|video| video.index), film.sound.as_ref().map(|sound| sound.index)];
    arguments.extend(streams.iter().flatten().flat_map(|index| ["-map".to_owned(), format!("0:{index}")]));
    arguments.extend(["-c", "copy", "-f", "null", "-"].map(String::from));
    let child = Running::start(&setup.tools, &setup.tools.ffmpeg, &arguments, folder, setup.config.limits())?;
    let (_, child) = listen(setup, child, is_due, &mut |_| Ok(()))?;
    Ok(Some(child.log().reached()).filter(|length| !length.is_zero()))
}

/// Listens to a child until it ends.
fn listen(
    setup: &Setup,
    mut child: Running,
    is_due: IsDue<'_>,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(Ending, Running), Stop> {
    let max_time = setup.config.max_time;
    let (most, key) = if max_time < MAX_TIME { (max_time, " (`max_time`)") } else { (MAX_TIME, "") };
    let end = Instant::now() + most;
    loop {
        if is_due() {
            return Err(Stop::Interrupted);
        }
        if Instant::now() > end {
            let most = humantime::format_duration(most);
            let message = format!("finding out what the film is takes longer than {most}{key}");
            return Err(Fault::new(FaultKind::TooLarge, message).into());
        }
        Running::wait(&mut [&mut child]);
        child.read(take)?;
        child.kill_if_hung(setup.config.patience);
        if let Some(ending) = child.ending() {
            return Ok((ending, child));
        }
    }
}

/// The fault of a film whose pictures are of this size.
pub(crate) fn too_large(size: &str, max_pixels: u32) -> Fault {
    Fault::new(FaultKind::TooLarge, format!("the film's pictures have {size} pixels: {max_pixels} are taken at most"))
}

/// Why the film is not taken.
fn refusal(ending: Ending, log: &Log) -> Fault {
    let why = log.complaint().map(|complaint| format!(": {complaint}")).unwrap_or_default();
    match (ending, log.forbidden_code()) {
        (Ending::Signal(signal), _) => Fault::engine(format!("ffprobe was ended by signal {signal}{why}")),
        (Ending::Hung, _) => Fault::engine("ffprobe hung and was killed"),
        (Ending::Exit(NOT_STARTED), _) => Fault::engine(format!("ffprobe does not run{why}")),
        (Ending::Exit(_), Some(code)) => Fault::invalid(format!("in the film is {code}, which is not taken")),
        (Ending::Exit(_), None) if log.says("not on whitelist") => {
            Fault::invalid(format!("this is no film, or of a kind that is not taken; {}", allow::KNOWN))
        }
        (Ending::Exit(_), None) => {
            Fault::invalid(format!("this is not a film, or damaged, or of an unknown kind; {}{why}", allow::KNOWN))
        }
    }
}

/// What ffprobe says, as far as it is asked.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Deserialize)]
struct Format {
    #[serde(default)]
    format_name: String,
    start_time: Option<String>,
    duration: Option<String>,
}

impl Format {
    /// Of Matroska and MP4, ffprobe tells when the film ends, by a clock that need not begin at zero.
    fn length(&self) -> Option<Duration> {
        let told = self.duration.as_deref().and_then(seconds)?;
        if !["matroska", "mov"].iter().any(|name| self.format_name.starts_with(name)) {
            return Some(told);
        }
        let start = self.start_time.as_deref().and_then(seconds).unwrap_or_default();
        Some(told.checked_sub(start).filter(|length| !length.is_zero()).unwrap_or(told))
    }
}

#[derive(Debug, Deserialize)]
struct Stream {
    index: u32,
    codec_type: Option<String>,
    codec_name: Option<String>,
    #[serde(default)]
    width: i64,
    #[serde(default)]
    height: i64,
    sample_aspect_ratio: Option<String>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Debug, Default, Deserialize)]
struct Disposition {
    #[serde(default)]
    default: u8,
    #[serde(default)]
    attached_pic: u8,
}

#[derive(Debug, Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

impl Told {
    fn film(&self, max_pixels: u32) -> Result<Film, Fault> {
        let of_kind = |kind: &'static str| {
            self.streams
                .iter()
                .filter(move |stream| stream.codec_type.as_deref() == Some(kind))
                .filter(Stream::is_known)
        };
        // A picture of the cover is no film.
        let moving = of_kind("video").filter(|stream| stream.disposition.attached_pic == 0);
        let video = moving.max_by_key(|stream| (stream.disposition.default, stream.pixels(), u32::MAX - stream.index));
        let sound = of_kind("audio").max_by_key(|stream| (stream.disposition.default, u32::MAX - stream.index));
        if let Some(stream) = video.filter(|stream| stream.pixels() > i64::from(max_pixels)) {
            return Err(too_large(&format!("{}×{}", stream.width, stream.height), max_pixels));
        }
        if video.is_none() && sound.is_none() {
            return Err(Fault::invalid("the film holds neither pictures nor sound of a kind that is known"));
        }
        Ok(Film {
            container: self.format.format_name.split(',').next().unwrap_or_default().to_owned(),
            duration: self.format.length(),
            video: video.map(Stream::video),
            sound: sound.map(|stream| Sound { index: stream.index, codec: stream.codec() }),
        })
    }
}

impl Stream {
    /// A stream whose code has a name; of pictures also their size.
    fn is_known(self: &&Self) -> bool {
        let is_sized = self.codec_type.as_deref() != Some("video") || (self.width > 0 && self.height > 0);
        self.codec_name.is_some() && is_sized
    }

    fn pixels(&self) -> i64 {
        self.width.saturating_mul(self.height)
    }

    fn codec(&self) -> String {
        self.codec_name.clone().unwrap_or_default()
    }

    fn video(&self) -> Video {
        let shape = self.sample_aspect_ratio.as_deref().and_then(ratio).unwrap_or(1.0);
        // Rounded and bounded by the cast: a ratio may say anything.
        let (width, height) = ((self.width as f64 * shape).round().max(1.0) as u32, self.height as u32);
        let turn = self.side_data_list.iter().find_map(|side| side.rotation).unwrap_or(0.0);
        let is_lying = (turn.abs() % 180.0 - 90.0).abs() < 45.0;
        let (width, height) = if is_lying { (height, width) } else { (width, height) };
        Video { index: self.index, codec: self.codec(), width, height }
    }
}

/// `4:3`, unless it is none.
fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once(':')?;
    let (above, below) = (above.parse::<f64>().ok()?, below.parse::<f64>().ok()?);
    (above > 0.0 && below > 0.0).then_some(above / below)
}

fn seconds(text: &str) -> Option<Duration> {
    let length = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())?;
    (!length.is_zero()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(json: &str) -> Result<Film, Fault> {
        serde_json::from_str::<Told>(json).unwrap().film(1_000_000)
    }

    #[test]
    fn the_film_proper_is_found_among_covers_and_commentaries() {
        let film = film(
            r#"{"streams": [
                {"index": 0, "codec_type": "video", "codec_name": "mjpeg", "width": 900, "height": 900, "disposition": {"attached_pic": 1}},
                {"index": 1, "codec_type": "video", "codec_name": "h264", "width": 640, "height": 480},
                {"index": 2, "codec_type": "video", "codec_name": "h264", "width": 720, "height": 576, "sample_aspect_ratio": "16:15"},
                {"index": 3, "codec_type": "audio", "codec_name": "ac3"},
                {"index": 4, "codec_type": "audio", "codec_name": "aac", "disposition": {"default": 1}},
                {"index": 5, "codec_type": "subtitle", "codec_name": "ass"},
                {"index": 6, "codec_type": "video", "width": 720, "height": 576}
            ], "format": {"format_name": "matroska,webm", "start_time": "2.000000", "duration": "14.500000"}}"#,
        );
        assert_eq!(
            film.unwrap(),
            Film {
                container: "matroska".into(),
                duration: Some(Duration::from_millis(12_500)),
                video: Some(Video { index: 2, codec: "h264".into(), width: 768, height: 576 }),
                sound: Some(Sound { index: 4, codec: "aac".into() }),
            }
        );
    }

    #[test]
    fn a_film_held_upright_is_upright() {
        let turned = |rotation: &str| {
            let json = format!(
                r#"{{"streams": [{{"index": 0, "codec_type": "video", "codec_name": "hevc", "width": 640, "height": 360,
                "side_data_list": [{{}}, {{"rotation": {rotation}}}]}}], "format": {{}}}}"#
            );
            let video = film(&json).unwrap().video.unwrap();
            (video.width, video.height)
        };
        assert_eq!(turned("-90"), (360, 640));
        assert_eq!(turned("270"), (360, 640));
        assert_eq!(turned("180"), (640, 360));
        assert_eq!(turned("0"), (640, 360));
    }

    #[test]
    fn too_many_pixels_and_nothing_at_all_are_refused() {
        let huge = film(
            r#"{"streams": [{"index": 0, "codec_type": "video", "codec_name": "gif", "width": 20000, "height": 20000}]}"#,
        );
        assert_eq!(huge.unwrap_err().kind, FaultKind::TooLarge);
        assert_eq!(film("{}").unwrap_err().kind, FaultKind::InvalidRequest);
        assert_eq!(seconds("0.000000"), None);
        assert_eq!(seconds("-3"), None);
        assert_eq!(ratio("0:1"), None);
    }
}
