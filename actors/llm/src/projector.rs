//! How does a picture become what a language model reads? By the model's projector, in llama.cpp's libmtmd.

#![allow(unsafe_code, reason = "llama-cpp-2's own wrapper does not give out what a projector computed")]

use std::ffi::CString;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_sys_2 as sys;
use megabrain_runtime::LoadError;
use megabrain_schemas::Fault;

use crate::context::raw_model;
use crate::devices::Device;
use crate::native;
use crate::piece::{Piece, View};
use crate::projector::watch::Watch;

/// A decoded picture: red, green and blue of each pixel, row after row.
#[derive(Debug)]
pub(crate) struct Picture {
    /// In pixels.
    pub(crate) width: u32,
    /// In pixels.
    pub(crate) height: u32,
    /// Three bytes a pixel.
    pub(crate) rgb: Vec<u8>,
}

/// How many tokens a prompt with pictures may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// In all.
    pub(crate) prompt: usize,
    /// Of a picture whose rows look at each other, so that one step must take them all.
    pub(crate) whole: usize,
}

/// Why a prompt with pictures was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It was to end.
    Ended,
    /// It has so many tokens, and there is no room for them.
    TooLong(usize),
    /// Anything else.
    Failed(Fault),
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// The eyes of one language model.
#[derive(Debug)]
pub(crate) struct Projector {
    raw: NonNull<sys::mtmd_context>,
    marker: String,
    width: usize,
    sees_grid: bool,
    // After `raw`, which is freed first: libmtmd looks at both.
    watch: Arc<Watch>,
    _model: Arc<LlamaModel>,
}

// SAFETY: libmtmd keeps nothing by thread, and whoever owns the projector is the only one that calls it.
unsafe impl Send for Projector {}

impl Projector {
    /// Loads the file that belongs to the model.
    ///
    /// # Errors
    /// It is no projector, belongs to another model, or sees nothing.
    pub(crate) fn load(
        file: &Path,
        model: Arc<LlamaModel>,
        device: &Device,
        threads: usize,
    ) -> Result<Self, LoadError> {
        let wrong = |reason: &str| LoadError::Weights(format!("the projector {} {reason}", file.display()));
        let path = file.to_str().and_then(|path| CString::new(path).ok()).ok_or_else(|| wrong("has an odd name"))?;
        // Nobody can write it into a message to point at a picture that is not there.
        let marker = format!("<picture-{:016x}>", rand::random::<u64>());
        let marker_text = CString::new(marker.as_str()).map_err(|_| wrong("cannot be marked"))?;
        let watch = Watch::new();
        native::forget();
        // SAFETY: plain structures; the strings live until the call returns, and libmtmd copies them. The device's index
        // is ggml's own. The watch lives as long as what is made.
        let raw = unsafe {
            let mut params = sys::mtmd_context_params_default();
            params.use_gpu = !device.is_ram();
            if !device.is_ram() {
                params.device = sys::ggml_backend_dev_get(device.index);
            }
            params.n_threads = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
            params.media_marker = marker_text.as_ptr();
            params.print_timings = false;
            (params.cb_eval, params.cb_eval_user_data) = watch.callback();
            sys::mtmd_init_from_file(path.as_ptr(), raw_model(&model), params)
        };
        let raw = NonNull::new(raw)
            .ok_or_else(|| wrong(&format!("cannot be loaded, or is of another model: {}", native::complaint())))?;
        // SAFETY: `raw` and the model are live.
        let (has_eyes, sees_grid, width) = unsafe {
            let width = sys::llama_model_n_embd_inp(raw_model(&model));
            (sys::mtmd_support_vision(raw.as_ptr()), sys::mtmd_decode_use_mrope(raw.as_ptr()), width)
        };
        let width = usize::try_from(width).unwrap_or(0);
        let projector = Self { raw, marker, width, sees_grid, watch, _model: model };
        if has_eyes { Ok(projector) } else { Err(wrong("takes no pictures")) }
    }

    /// What stands in a text for a picture.
    pub(crate) fn marker(&self) -> &str {
        &self.marker
    }

    /// Makes a text with markers, and a picture for each of them, what the model reads. May take seconds a picture, and
    /// asks all the while whether it `is_due` to end.
    ///
    /// # Errors
    /// Why it was not read; `engine` if libmtmd fails.
    pub(crate) fn read(
        &mut self,
        text: &str,
        begins_document: bool,
        pictures: &[Picture],
        room: Room,
        is_due: impl Fn() -> bool + Send + 'static,
    ) -> Result<Vec<Piece>, Unread> {
        self.watch.begin(is_due);
        let chunks = self.cut(text, begins_document, pictures)?;
        self.check_length(&chunks, room)?;
        let mut pieces = Vec::with_capacity(chunks.len());
        let mut position = 0;
        for chunk in chunks.iter() {
            if self.watch.is_over() {
                return Err(Unread::Ended);
            }
            let piece = if is_text(chunk) {
                Piece::Text(tokens(chunk))
            } else {
                let view = self.view(chunk, position);
                // What is left of a look that was ended are numbers, too.
                if self.watch.is_over() {
                    return Err(Unread::Ended);
                }
                Piece::View(view?)
            };
            position += piece.advance();
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// Refuses what has no room before anything is looked at.
    fn check_length(&self, chunks: &Chunks, room: Room) -> Result<(), Unread> {
        // SAFETY: every chunk is live.
        let length = |chunk| unsafe { sys::mtmd_input_chunk_get_n_tokens(chunk) };
        let tokens: usize = chunks.iter().map(length).sum();
        if tokens > room.prompt {
            return Err(Unread::TooLong(tokens));
        }
        let whole = chunks.iter().filter(|chunk| !is_text(*chunk) && self.is_whole(*chunk)).map(length).max();
        match whole {
            Some(whole) if whole > room.whole => Err(Unread::Failed(Fault::engine(format!(
                "a picture has {whole} tokens, which this model reads at once, and `batch` is {}",
                room.whole
            )))),
            _ => Ok(()),
        }
    }

    fn is_whole(&self, chunk: *const sys::mtmd_input_chunk) -> bool {
        // SAFETY: both are live.
        unsafe { sys::mtmd_decode_use_non_causal(self.raw.as_ptr(), chunk) }
    }

    fn cut(&self, text: &str, begins_document: bool, pictures: &[Picture]) -> Result<Chunks, Fault> {
        let failed = |what: &str| Fault::engine(format!("libmtmd {what}: {}", native::complaint()));
        let bitmaps: Option<Vec<Bitmap>> = pictures.iter().map(Bitmap::new).collect();
        let bitmaps = bitmaps.ok_or_else(|| failed("takes no such picture"))?;
        let pointers: Vec<*const sys::mtmd_bitmap> =
            bitmaps.iter().map(|bitmap| bitmap.0.as_ptr().cast_const()).collect();
        let chunks = Chunks::new().ok_or_else(|| failed("has no memory"))?;
        let text = sys::mtmd_input_text {
            text: text.as_ptr().cast(),
            text_len: text.len(),
            add_special: begins_document,
            parse_special: true,
        };
        native::forget();
        // SAFETY: the text is given with its length; there are as many pointers as the count says; all outlive the call.
        let code = unsafe {
            let (raw, into) = (self.raw.as_ptr(), chunks.0.as_ptr());
            sys::mtmd_tokenize(raw, into, &raw const text, pointers.as_ptr(), pointers.len())
        };
        match code {
            0 => Ok(chunks),
            1 => Err(failed("found other pictures in the prompt than were given")),
            _ => Err(failed("cannot prepare the picture")),
        }
    }

    fn view(&mut self, chunk: *const sys::mtmd_input_chunk, position: i32) -> Result<View, Fault> {
        let failed = || Fault::engine(format!("libmtmd cannot look at the picture: {}", native::complaint()));
        native::forget();
        // SAFETY: the chunk is live. What was computed has a row for each of its tokens, and lives until the next call.
        unsafe {
            let tokens = sys::mtmd_input_chunk_get_n_tokens(chunk);
            if sys::mtmd_encode_chunk(self.raw.as_ptr(), chunk) != 0 {
                return Err(failed());
            }
            let rows = NonNull::new(sys::mtmd_get_output_embd(self.raw.as_ptr())).ok_or_else(failed)?;
            Ok(View {
                rows: std::slice::from_raw_parts(rows.as_ptr(), tokens * self.width).to_vec(),
                width: self.width,
                places: if self.sees_grid { places(chunk, tokens, position) } else { Vec::new() },
                advance: sys::mtmd_input_chunk_get_n_pos(chunk),
                is_whole: self.is_whole(chunk),
            })
        }
    }
}

impl Drop for Projector {
    fn drop(&mut self) {
        // SAFETY: `raw` was made by `mtmd_init_from_file`, and is freed here only.
        unsafe { sys::mtmd_free(self.raw.as_ptr()) }
    }
}

fn is_text(chunk: *const sys::mtmd_input_chunk) -> bool {
    // SAFETY: the chunk is live.
    unsafe { sys::mtmd_input_chunk_get_type(chunk) == sys::MTMD_INPUT_CHUNK_TYPE_TEXT }
}

/// The tokens of a chunk of text.
fn tokens(chunk: *const sys::mtmd_input_chunk) -> Vec<LlamaToken> {
    let mut count = 0;
    // SAFETY: the chunk is live; null or `count` tokens come back, which live as long as it.
    unsafe {
        let tokens = sys::mtmd_input_chunk_get_tokens_text(chunk, &raw mut count);
        if tokens.is_null() {
            return Vec::new();
        }
        std::slice::from_raw_parts(tokens, count).iter().map(|&token| LlamaToken(token)).collect()
    }
}

/// Where each row of a picture that begins at `position` is.
fn places(chunk: *const sys::mtmd_input_chunk, rows: usize, position: i32) -> Vec<[i32; 4]> {
    let number = |place: u32| i32::try_from(place).unwrap_or(i32::MAX);
    // SAFETY: the chunk is a live picture's, and has so many rows.
    unsafe {
        let image = sys::mtmd_input_chunk_get_tokens_image(chunk);
        let place = |row| sys::mtmd_image_tokens_get_decoder_pos(image, position, row);
        (0..rows).map(place).map(|place| [place.t, place.y, place.x, place.z].map(number)).collect()
    }
}

/// A picture as libmtmd takes it.
struct Bitmap(NonNull<sys::mtmd_bitmap>);

impl Bitmap {
    fn new(picture: &Picture) -> Option<Self> {
        let bytes = picture.width as usize * picture.height as usize * 3;
        if picture.rgb.len() != bytes {
            return None;
        }
        // SAFETY: there are three bytes a pixel, which are copied.
        let raw = unsafe { sys::mtmd_bitmap_init(picture.width, picture.height, picture.rgb.as_ptr()) };
        NonNull::new(raw).map(Self)
    }
}

impl Drop for Bitmap {
    fn drop(&mut self) {
        // SAFETY: made by `mtmd_bitmap_init`, and freed here only.
        unsafe { sys::mtmd_bitmap_free(self.0.as_ptr()) }
    }
}

/// A prompt cut into text and pictures.
struct Chunks(NonNull<sys::mtmd_input_chunks>);

impl Chunks {
    fn new() -> Option<Self> {
        // SAFETY: takes nothing.
        NonNull::new(unsafe { sys::mtmd_input_chunks_init() }).map(Self)
    }

    fn len(&self) -> usize {
        // SAFETY: live.
        unsafe { sys::mtmd_input_chunks_size(self.0.as_ptr()) }
    }

    /// Each lives as long as all.
    fn iter(&self) -> impl Iterator<Item = *const sys::mtmd_input_chunk> {
        // SAFETY: live, and the index is below the length.
        (0..self.len()).map(|index| unsafe { sys::mtmd_input_chunks_get(self.0.as_ptr(), index) })
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        // SAFETY: made by `mtmd_input_chunks_init`, and freed here only.
        unsafe { sys::mtmd_input_chunks_free(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests;
mod watch;
