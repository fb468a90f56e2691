//! How do pictures and sound come out of ffmpeg with their times? In SMJPEG: a tag, a time in milliseconds, a length,
//! the bytes. It is the simplest of the formats that ffmpeg writes into a pipe with times, and carries both kinds.
//!
//! The format: icculus.org/smjpeg. Numbers are big-endian. Times before zero come as they are, in two's complement.

use megabrain_schemas::Fault;

const MAGIC: &[u8] = b"\0\nSMJPEG";
/// Magic, version and length in milliseconds.
const HEAD: usize = 16;
/// Tag, time and length.
const CHUNK_HEAD: usize = 12;
/// The largest picture that is believed: some times what one of the largest edge takes.
const MAX_CHUNK: usize = 64 << 20;

/// A picture or a stretch of sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chunk<'a> {
    /// In milliseconds, by the clock of the file.
    pub(crate) at_ms: i32,
    pub(crate) bytes: &'a [u8],
}

/// Takes a stream apart, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    waiting: Vec<u8>,
    is_begun: bool,
}

impl Reader {
    /// Takes bytes and gives the chunks that they complete.
    ///
    /// # Errors
    /// `engine` if this is not SMJPEG; those of `give`.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        give: &mut dyn FnMut(Chunk<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.waiting.extend_from_slice(bytes);
        let mut taken = 0;
        while let Some(length) = self.next(taken, give)? {
            taken += length;
        }
        self.waiting.drain(..taken);
        Ok(())
    }

    /// Reads what begins at `start`; gives its length, or `None` if it is not whole yet.
    fn next(
        &mut self,
        start: usize,
        give: &mut dyn FnMut(Chunk<'_>) -> Result<(), Fault>,
    ) -> Result<Option<usize>, Fault> {
        let rest = self.waiting.get(start..).unwrap_or_default();
        if !self.is_begun {
            let Some(head) = rest.get(..HEAD) else { return Ok(None) };
            if !head.starts_with(MAGIC) {
                return Err(unexpected(head));
            }
            self.is_begun = true;
            return Ok(Some(HEAD));
        }
        let Some(tag) = rest.first_chunk::<4>() else { return Ok(None) };
        let (head, length) = match tag {
            b"HEND" | b"DONE" => return Ok(Some(4)),
            b"_TXT" | b"_SND" | b"_VID" => (8, number(rest, 4)),
            b"sndD" | b"vidD" => (CHUNK_HEAD, number(rest, 8)),
            _ => return Err(unexpected(tag)),
        };
        let Some(length) = length.map(|length| length as usize) else { return Ok(None) };
        if length > MAX_CHUNK {
            return Err(Fault::engine(format!("ffmpeg made a piece of {length} bytes: {MAX_CHUNK} are taken at most")));
        }
        let Some(bytes) = rest.get(head..head + length) else { return Ok(None) };
        if let (CHUNK_HEAD, Some(time)) = (head, number(rest, 4)) {
            give(Chunk { at_ms: time.cast_signed(), bytes })?;
        }
        Ok(Some(head + length))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn unexpected(bytes: &[u8]) -> Fault {
    Fault::engine(format!("ffmpeg's output cannot be read: {} is not expected", bytes.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"\0\nSMJPEG\0\0\0\0\0\0\0\0_TXT\0\0\0\x05a = b_VID\0\0\0\x0c\0\0\0\0\x02\x80\x01\xe0JFIFHEND\
        vidD\0\0\x07\xd0\0\0\0\x03onesndD\xff\xff\xff\xf9\0\0\0\x04two!vidD\0\0\0\0\0\0\0\0DONE";

    fn chunks(pieces: &[&[u8]]) -> Result<Vec<(i32, Vec<u8>)>, Fault> {
        let (mut reader, mut chunks) = (Reader::default(), Vec::new());
        for piece in pieces {
            reader.take(piece, &mut |chunk| {
                chunks.push((chunk.at_ms, chunk.bytes.to_vec()));
                Ok(())
            })?;
        }
        Ok(chunks)
    }

    #[test]
    fn chunks_are_the_same_however_the_pipe_cuts_them() {
        let expected = vec![(2000, b"one".to_vec()), (-7, b"two!".to_vec()), (0, vec![])];
        assert_eq!(chunks(&[STREAM]).unwrap(), expected);
        for size in 1..20 {
            assert_eq!(chunks(&STREAM.chunks(size).collect::<Vec<_>>()).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_gives_what_is_whole() {
        assert_eq!(chunks(&[&STREAM[..STREAM.len() - 20]]).unwrap().len(), 1);
        assert_eq!(chunks(&[b"\0\nSM"]).unwrap(), []);
    }

    #[test]
    fn another_format_and_a_monstrous_length_are_refused() {
        assert!(chunks(&[b"RIFF    WAVEfmt and more"]).unwrap_err().message.contains("RIFF"));
        assert!(chunks(&[&STREAM[..16], b"what is this"]).unwrap_err().message.contains("what"));
        assert!(chunks(&[&STREAM[..16], b"vidD\0\0\0\0\xff\xff\xff\xff"]).unwrap_err().message.contains("4294967295"));
    }
}
