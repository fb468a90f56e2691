//! Which part of an answer is a call? Read while the answer is written.
//!
//! Text goes out at once, but for the end of it that may be the beginning of a call, and white space, which is left out
//! before a call. A call goes out when it is whole; what looked like one and is none goes out as text.

use megabrain_schemas::FunctionCall;

use super::Part;
use super::family::{Family, Marker, Writing};
use super::notation::{Found, find_calls};
use crate::text::overlap;

/// Finds calls of some functions in an answer.
#[derive(Debug)]
pub(crate) struct CallReader {
    family: Family,
    names: Vec<String>,
    held: String,
    /// True once words were said since the beginning, or since the last call.
    is_saying: bool,
    has_called: bool,
}

/// A JSON value where an answer begins, without any mark.
const BARE: Marker = Marker { begin: "", end: "", writing: Writing::Json };

impl CallReader {
    /// A reader of an answer of a model of this family, which may call functions of these names.
    pub(crate) fn new(family: Family, names: Vec<String>) -> Self {
        Self { family, names, held: String::new(), is_saying: false, has_called: false }
    }

    /// Takes the next text and returns what is certain now.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        self.read(false)
    }

    /// Ends the answer: what was held back.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        self.read(true)
    }

    fn read(&mut self, is_end: bool) -> Vec<Part> {
        let mut parts = Vec::new();
        while let Some((at, marker)) = self.next_marker() {
            let body = at + marker.begin.len();
            let found = find_calls(marker, self.held.get(body..).unwrap_or_default(), is_end, &self.names);
            match found {
                Found::Open => {
                    self.say(at, false, &mut parts);
                    return parts;
                }
                Found::Calls(calls, length) => {
                    self.say(at, true, &mut parts);
                    self.held.drain(..(body - at + length).min(self.held.len()));
                    self.call(calls, &mut parts);
                }
                Found::None => {
                    // At least one character, so that it is not looked at again.
                    let first = self.held.get(body..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                    self.say(if marker == BARE { body + first } else { body }, false, &mut parts);
                    self.is_saying = true;
                }
            }
        }
        self.say_certain(is_end, &mut parts);
        parts
    }

    /// The first place where a call may begin.
    fn next_marker(&self) -> Option<(usize, Marker)> {
        let marked = self.family.markers().iter().filter_map(|marker| Some((self.held.find(marker.begin)?, *marker)));
        marked.chain(self.bare()).min_by_key(|(at, _)| *at)
    }

    /// An answer may begin with a bare call; several are told apart by white space, or a semicolon.
    fn bare(&self) -> Option<(usize, Marker)> {
        if self.is_saying {
            return None;
        }
        let is_between = |character: char| character.is_whitespace() || (self.has_called && ";,".contains(character));
        let begun = self.held.trim_start_matches(is_between);
        if self.family.markers().iter().any(|marker| marker.begin.starts_with(begun)) {
            return None;
        }
        begun.starts_with(['{', '[']).then(|| (self.held.len() - begun.len(), BARE))
    }

    /// Says everything that cannot be the beginning of a call.
    fn say_certain(&mut self, is_end: bool, parts: &mut Vec<Part>) {
        if is_end {
            let is_rest = self.has_called && !self.is_saying && self.held.trim().is_empty();
            if is_rest {
                self.held.clear();
            }
            let length = self.held.len();
            return self.emit(length, parts);
        }
        let open = self.family.markers().iter().map(|marker| overlap(&self.held, marker.begin)).max().unwrap_or(0);
        let certain = self.held.get(..self.held.len() - open).unwrap_or_default();
        // A bare call may follow what stands between two.
        let is_between = |character: char| character.is_whitespace() || (!self.is_saying && ";,".contains(character));
        let certain = if self.has_called && !self.is_saying {
            certain.trim_end_matches(is_between).len()
        } else {
            certain.trim_end().len()
        };
        self.emit(certain, parts);
    }

    /// Says what stands before a marker; without the white space at its end if `is_call`.
    fn say(&mut self, length: usize, is_call: bool, parts: &mut Vec<Part>) {
        let text = self.held.get(..length).unwrap_or_default();
        let is_separator = |character: char| character.is_whitespace() || (self.has_called && ";,".contains(character));
        // White space before a call that is still open stays held back with it, and so does what stands between two.
        let is_between = !self.is_saying && text.trim_matches(is_separator).is_empty();
        let kept = if is_between { 0 } else { text.trim_end().len() };
        self.emit(kept, parts);
        if is_call {
            self.held.drain(..length - kept);
        }
    }

    fn emit(&mut self, length: usize, parts: &mut Vec<Part>) {
        let text: String = self.held.drain(..length).collect();
        if text.is_empty() {
            return;
        }
        self.is_saying |= !text.trim().is_empty();
        match parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(&text),
            _ => parts.push(Part::Text(text)),
        }
    }

    fn call(&mut self, calls: Vec<FunctionCall>, parts: &mut Vec<Part>) {
        parts.extend(calls.into_iter().map(Part::Call));
        self.is_saying = false;
        self.has_called = true;
    }
}
