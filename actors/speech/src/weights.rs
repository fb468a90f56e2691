//! Is this file a whole Whisper model?
//!
//! whisper.cpp trusts a file of weights: a damaged one makes it throw, which ends the process, and one that is cut off
//! in its last tensor it takes for whole. So the structure is walked first, which reads some hundred kilobytes.
//! The format is that of whisper.cpp's `models/convert-pt-to-ggml.py`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// `ggml` in the file's byte order.
const MAGIC: u32 = 0x6767_6d6c;

/// Why a file is not a model, for a person.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    /// It cannot be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a Whisper model in ggml format (GGUF is another format)")]
    NotWhisper,
    /// It is a model, but not a whole one.
    #[error("it is cut off or damaged: {0}")]
    Damaged(&'static str),
}

/// Walks the file from its magic number to its last tensor.
pub(crate) fn check(path: &Path) -> Result<(), Damage> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut walk = Walk { file: BufReader::new(file), left: length };
    walk.whole().map_err(|damage| match damage {
        Damage::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Damage::Damaged("it ends too early"),
        damage => damage,
    })
}

struct Walk {
    file: BufReader<File>,
    left: u64,
}

impl Walk {
    fn whole(&mut self) -> Result<(), Damage> {
        if self.number().map_err(|_| Damage::NotWhisper)? != MAGIC {
            return Err(Damage::NotWhisper);
        }
        self.header()?;
        let (bands, bins) = (self.number_up_to(256)?, self.number_up_to(4096)?);
        self.skip(bands * bins * 4)?;
        for _ in 0..self.number_up_to(100_000)? {
            let length = self.number_up_to(1024)?;
            self.skip(length)?;
        }
        while self.left > 0 {
            self.tensor()?;
        }
        Ok(())
    }

    /// The sizes that whisper.cpp allocates by; every model so far is far below these bounds.
    fn header(&mut self) -> Result<(), Damage> {
        let [_vocabulary, _audio_context, _audio_width, _audio_heads] =
            [self.size(100_000)?, self.size(4096)?, self.size(4096)?, self.size(128)?];
        let audio_layers = self.size(64)?;
        let [_text_context, _text_width, _text_heads, _text_layers, _bands] =
            [self.size(4096)?, self.size(4096)?, self.size(128)?, self.size(64)?, self.size(256)?];
        self.number_up_to(10_000)?;
        // whisper.cpp looks its name up by this number, and throws for any other.
        if matches!(audio_layers, 4 | 6 | 12 | 24 | 32) { Ok(()) } else { Err(Damage::Damaged("its header")) }
    }

    fn tensor(&mut self) -> Result<(), Damage> {
        let (dimensions, name, kind) = (self.number_up_to(4)?, self.number_up_to(256)?, self.number_up_to(64)?);
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            elements = elements.saturating_mul(self.size(1 << 24)?);
        }
        self.skip(name)?;
        let (block, bytes) = block(kind).ok_or(Damage::Damaged("a tensor of an unknown type"))?;
        if !elements.is_multiple_of(block) {
            return Err(Damage::Damaged("a tensor of an odd size"));
        }
        self.skip((elements / block).saturating_mul(bytes))
    }

    fn number(&mut self) -> Result<u32, Damage> {
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes)?;
        self.left = self.left.saturating_sub(4);
        Ok(u32::from_le_bytes(bytes))
    }

    fn number_up_to(&mut self, most: u64) -> Result<u64, Damage> {
        match u64::from(self.number()?) {
            number if number <= most => Ok(number),
            _ => Err(Damage::Damaged("a length in it cannot be")),
        }
    }

    fn size(&mut self, most: u64) -> Result<u64, Damage> {
        match self.number_up_to(most)? {
            0 => Err(Damage::Damaged("a size in it is zero")),
            size => Ok(size),
        }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Damage> {
        self.left = self.left.checked_sub(bytes).ok_or(Damage::Damaged("it ends too early"))?;
        let bytes = i64::try_from(bytes).map_err(|_| Damage::Damaged("a length in it cannot be"))?;
        Ok(self.file.seek_relative(bytes)?)
    }
}

/// Elements and bytes of one block of a ggml type that Whisper models come in.
fn block(kind: u64) -> Option<(u64, u64)> {
    Some(match kind {
        0 => (1, 4),      // F32
        1 => (1, 2),      // F16
        2 => (32, 18),    // Q4_0
        3 => (32, 20),    // Q4_1
        6 => (32, 22),    // Q5_0
        7 => (32, 24),    // Q5_1
        8 => (32, 34),    // Q8_0
        10 => (256, 84),  // Q2_K
        11 => (256, 110), // Q3_K
        12 => (256, 144), // Q4_K
        13 => (256, 176), // Q5_K
        14 => (256, 210), // Q6_K
        _ => return None,
    })
}
