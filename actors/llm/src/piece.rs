//! What does a model read before it answers? Text in tokens, and pictures in rows of numbers.

use std::collections::VecDeque;
use std::ops::Range;

use llama_cpp_2::token::LlamaToken;

/// A stretch of a prompt.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Text.
    Text(Vec<LlamaToken>),
    /// A picture, or a part of a large one.
    View(View),
}

/// A picture as the model reads it: a row of numbers in the place of each token.
#[derive(Debug)]
pub(crate) struct View {
    /// The numbers, row after row.
    pub(crate) rows: Vec<f32>,
    /// Numbers of a row.
    pub(crate) width: usize,
    /// Where each row is, for models that see a grid: in time, down, across, and whatever their fourth number counts.
    /// Empty for models that read row after row.
    pub(crate) places: Vec<[i32; 4]>,
    /// How far what follows is from the view's own place.
    pub(crate) advance: i32,
    /// True if its rows look at each other, so that one step must take them all.
    pub(crate) is_whole: bool,
}

impl View {
    /// Tokens that it stands for.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    /// The numbers of some rows; none past the end.
    pub(crate) fn numbers(&self, rows: &Range<usize>) -> &[f32] {
        self.rows.get(rows.start * self.width..rows.end * self.width).unwrap_or_default()
    }
}

/// What is still to be read of a prompt.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    pieces: VecDeque<Piece>,
    /// Of the first piece, so much is read.
    read: usize,
    tokens: usize,
}

impl Prompt {
    /// Pieces in their order.
    pub(crate) fn new(pieces: Vec<Piece>) -> Self {
        let tokens = pieces.iter().map(Piece::len).sum();
        Self { pieces: pieces.into_iter().filter(|piece| piece.len() > 0).collect(), read: 0, tokens }
    }

    /// Tokens in all, pictures' too.
    pub(crate) fn len(&self) -> usize {
        self.tokens
    }

    /// True if the model has something to go on with: what comes last is text.
    pub(crate) fn ends_with_text(&self) -> bool {
        matches!(self.pieces.back(), Some(Piece::Text(_)))
    }

    /// True once nothing is left.
    pub(crate) fn is_read(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Up to `room` tokens of the text that comes next; none if a picture does.
    pub(crate) fn take_text(&mut self, room: usize) -> Vec<LlamaToken> {
        let Some(Piece::Text(tokens)) = self.pieces.front() else { return Vec::new() };
        let taken: Vec<LlamaToken> = tokens.iter().skip(self.read).take(room).copied().collect();
        self.advance(taken.len());
        taken
    }

    /// The picture that comes next, and how many of its rows are read.
    pub(crate) fn view(&self) -> Option<(&View, usize)> {
        match self.pieces.front() {
            Some(Piece::View(view)) => Some((view, self.read)),
            _ => None,
        }
    }

    /// Notes that so many rows of the picture were read; gives its advance once it is read to the end.
    pub(crate) fn viewed(&mut self, rows: usize) -> Option<i32> {
        let (view, read) = self.view()?;
        let advance = (read + rows >= view.len()).then_some(view.advance);
        self.advance(rows);
        advance
    }

    fn advance(&mut self, tokens: usize) {
        self.read += tokens;
        if self.pieces.front().is_some_and(|piece| self.read >= piece.len()) {
            self.pieces.pop_front();
            self.read = 0;
        }
    }
}

impl Piece {
    /// How far what follows is from its beginning.
    pub(crate) fn advance(&self) -> i32 {
        match self {
            Self::Text(tokens) => i32::try_from(tokens.len()).unwrap_or(i32::MAX),
            Self::View(view) => view.advance,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(tokens) => tokens.len(),
            Self::View(view) => view.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tokens: &[i32]) -> Piece {
        Piece::Text(tokens.iter().map(|&token| LlamaToken(token)).collect())
    }

    #[test]
    fn a_prompt_is_read_piece_by_piece() {
        let view = View { rows: vec![0.5; 6], width: 2, places: Vec::new(), advance: 3, is_whole: true };
        let mut prompt = Prompt::new(vec![text(&[1, 2, 3]), Piece::View(view), text(&[]), text(&[4])]);
        assert_eq!((prompt.len(), prompt.ends_with_text()), (7, true));
        assert_eq!(prompt.take_text(2), [LlamaToken(1), LlamaToken(2)]);
        assert!(prompt.view().is_none());
        assert_eq!(prompt.take_text(2), [LlamaToken(3)]);
        assert_eq!(prompt.take_text(2), []);
        let (view, read) = prompt.view().unwrap();
        assert_eq!((view.len(), read, view.numbers(&(1..3)).len()), (3, 0, 4));
        assert_eq!(prompt.viewed(1), None);
        assert_eq!(prompt.view().unwrap().1, 1);
        assert_eq!(prompt.viewed(2), Some(3));
        assert!(!prompt.is_read());
        assert_eq!(prompt.take_text(9), [LlamaToken(4)]);
        assert!(prompt.is_read());
    }
}
