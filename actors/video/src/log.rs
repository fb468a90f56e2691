//! What does a child say while it works? Where it is, and what it complains of: one line each, on its standard error.

use std::time::Duration;

/// Complaints that are kept; of the others, their number.
const KEPT: usize = 4;
/// The longest line that is kept, in bytes.
const LONGEST: usize = 300;
/// Keys of ffmpeg's progress report; `stream_…` beside them.
const PROGRESS: [&str; 11] = [
    "frame",
    "fps",
    "bitrate",
    "total_size",
    "out_time_us",
    "out_time_ms",
    "out_time",
    "dup_frames",
    "drop_frames",
    "speed",
    "progress",
];
/// What ffmpeg says of its own output, which is no fault of the film.
const OF_OUTPUT: [&str; 2] = ["[null ", "[smjpeg "];

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    line: Vec<u8>,
    complaints: Vec<String>,
    count: usize,
    reached: Duration,
}

impl Log {
    /// Takes what came, in whatever pieces.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.end_line(),
                _ if self.line.len() < LONGEST => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// The last line may lack its end.
    pub(crate) fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim().to_owned();
        match line.split_once('=') {
            Some((key, value)) if PROGRESS.contains(&key) || key.starts_with("stream_") => {
                // ffmpeg's `out_time_us` is in microseconds, or `N/A`.
                if let ("out_time_us", Ok(micros)) = (key, value.parse()) {
                    self.reached = self.reached.max(Duration::from_micros(micros));
                }
            }
            _ if line.is_empty() || OF_OUTPUT.iter().any(|start| line.starts_with(start)) => {}
            _ => {
                self.count += 1;
                if self.complaints.len() < KEPT {
                    self.complaints.push(plain(&line));
                }
            }
        }
    }

    /// How far the output has come, by the film's own clock.
    pub(crate) fn reached(&self) -> Duration {
        self.reached
    }

    /// True if a complaint says this.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.complaints.iter().any(|complaint| complaint.contains(words))
    }

    /// The code that ffmpeg would have needed and was not allowed, by its own name for it.
    pub(crate) fn forbidden_code(&self) -> Option<&str> {
        self.complaints.iter().find_map(|line| Some(line.split_once("Codec (")?.1.split_once(") not on whitelist")?.0))
    }

    /// The size of a picture that was too large to be decoded, as `20000×20000`.
    pub(crate) fn refused_size(&self) -> Option<String> {
        let after = |line: &String| Some(line.split_once("Picture size ")?.1.split(' ').next()?.replace('x', "×"));
        self.complaints.iter().find_map(after)
    }

    /// The first complaint, and how many more there are.
    pub(crate) fn complaint(&self) -> Option<String> {
        let first = self.complaints.first()?;
        Some(match self.count {
            1 => first.clone(),
            count => format!("{first} (and {} more)", count - 1),
        })
    }
}

/// A line without ffmpeg's addresses in memory and whatever could confuse a terminal: `[h264 @ 0x55d0] bad` is
/// `h264: bad`.
fn plain(line: &str) -> String {
    let (part, rest) = match line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
        Some((part, rest)) => (part.split(" @ ").next(), rest),
        None => (None, line),
    };
    let rest: String = rest.chars().filter(|character| !character.is_control()).collect();
    // The film's name on our disk says nothing to its owner.
    let rest = rest.trim_start_matches("file:film: ").replace("file:film", "the film");
    part.map_or_else(|| rest.clone(), |part| format!("{part}: {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_and_complaints_are_told_apart() {
        let mut log = Log::default();
        log.take(b"frame=3\nfps=0.00\nstream_0_0_q=3.0\nout_time_us=N/A\nout_time_us=5161");
        log.take(b"000\nprogress=continue\n[h264 @ 0x55d0c8] error while decoding MB 3 4\r\nfile:film: Invalid data");
        log.take(b" found\x1b[31m when processing input\n[null @ 0x1] non monotonically increasing dts\n");
        assert_eq!(log.reached(), Duration::from_millis(5161));
        assert_eq!(log.complaint().unwrap(), "h264: error while decoding MB 3 4 (and 1 more)");
        assert!(log.says("Invalid data found[31m when"));
    }

    #[test]
    fn a_code_that_is_not_allowed_is_named() {
        let mut log = Log::default();
        log.take(b"[ffv1 @ 0x1] Codec (ffv1) not on whitelist 'h264,hevc'\n");
        assert_eq!(log.forbidden_code(), Some("ffv1"));
    }

    #[test]
    fn a_picture_that_is_too_large_is_told_by_its_size() {
        let mut log = Log::default();
        log.take(b"[IMGUTILS @ 0x1] Picture size 20000x20000 exceeds specified max pixel count 35389440, see\n");
        assert_eq!(log.refused_size().unwrap(), "20000×20000");
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut log = Log::default();
        for _ in 0..100_000 {
            log.take(b"no end of complaints\n");
        }
        log.take(&vec![b'x'; 1 << 20]);
        log.end_line();
        assert_eq!(log.complaint().unwrap(), "no end of complaints (and 100000 more)");
        assert!(log.complaints.len() == KEPT && log.line.capacity() < 1024);
    }
}
