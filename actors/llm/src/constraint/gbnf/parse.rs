//! What does a text in GBNF say?

use std::collections::BTreeMap;

use super::Error;

/// How deep groups nest.
const DEEPEST: usize = 24;
/// Rules of a grammar.
const MOST_RULES: usize = 1000;
/// Times that something repeats, where a number says so.
const MOST_TIMES: u32 = 2000;

/// Rules by their names.
pub(super) type Grammar = BTreeMap<String, Expression>;

/// The right side of a rule, or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Text(String),
    Class { is_negated: bool, ranges: Vec<(char, char)> },
    Symbol(String),
    Sequence(Vec<Expression>),
    Choice(Vec<Expression>),
    Repeat { inner: Box<Expression>, least: u32, most: Option<u32> },
}

impl Expression {
    /// Calls `see` with every symbol in it.
    pub(super) fn symbols(&self, see: &mut impl FnMut(&str)) {
        match self {
            Self::Symbol(name) => see(name),
            Self::Sequence(parts) | Self::Choice(parts) => parts.iter().for_each(|part| part.symbols(see)),
            Self::Repeat { inner, .. } => inner.symbols(see),
            Self::Text(_) | Self::Class { .. } => {}
        }
    }
}

/// Reads a grammar.
pub(super) fn grammar(text: &str) -> Result<Grammar, Error> {
    let mut reader = Reader { rest: text, line: 1 };
    let mut grammar = Grammar::new();
    reader.skip_space(true);
    while !reader.rest.is_empty() {
        let name = reader.name().ok_or_else(|| reader.wrong("expected the name of a rule"))?;
        reader.skip_space(false);
        if !reader.takes("::=") {
            return Err(reader.wrong("expected `::=`"));
        }
        reader.skip_space(true);
        let line = reader.line;
        let rule = reader.choice(0)?;
        if grammar.len() >= MOST_RULES {
            return Err(reader.wrong(&format!("more than {MOST_RULES} rules")));
        }
        if grammar.insert(name.clone(), rule).is_some() {
            return Err(Error::Syntax { line, what: format!("there is a rule for `{name}` already") });
        }
        reader.skip_space(true);
    }
    Ok(grammar)
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> Error {
        Error::Syntax { line: self.line, what: what.to_owned() }
    }

    /// Expressions between bars. At the top, a rule ends with its line, unless a bar begins the next.
    fn choice(&mut self, depth: usize) -> Result<Expression, Error> {
        if depth > DEEPEST {
            return Err(self.wrong(&format!("it nests deeper than {DEEPEST} groups")));
        }
        let mut choices = vec![self.sequence(depth)?];
        while self.takes("|") {
            self.skip_space(true);
            choices.push(self.sequence(depth)?);
        }
        Ok(if choices.len() == 1 { choices.remove(0) } else { Expression::Choice(choices) })
    }

    fn sequence(&mut self, depth: usize) -> Result<Expression, Error> {
        let mut parts = Vec::new();
        loop {
            let part = match self.peek() {
                Some('"') => self.text()?,
                Some('[') => self.class()?,
                Some('(') => {
                    self.next();
                    self.skip_space(true);
                    let inner = self.choice(depth + 1)?;
                    if !self.takes(")") {
                        return Err(self.wrong("expected `)`"));
                    }
                    inner
                }
                Some('.') => {
                    self.next();
                    Expression::Class { is_negated: false, ranges: vec![('\0', char::MAX)] }
                }
                Some(character) if is_word(character) => {
                    if self.begins_a_rule() {
                        break;
                    }
                    Expression::Symbol(self.name().unwrap_or_default())
                }
                None | Some('|' | ')') => break,
                Some('\n' | '\r') if depth == 0 => break,
                Some(other) => {
                    return Err(self.wrong(&format!("expected a text, a class, a group or a name, found {other:?}")));
                }
            };
            let part = self.repetition(part)?;
            parts.push(part);
            self.skip_space(depth > 0);
            if depth == 0 {
                self.skip_to_bar();
            }
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Sequence(parts) })
    }

    /// A rule goes on in the next line where that begins with a bar.
    fn skip_to_bar(&mut self) {
        let (rest, line) = (self.rest, self.line);
        self.skip_space(true);
        if self.peek() != Some('|') {
            (self.rest, self.line) = (rest, line);
        }
    }

    fn begins_a_rule(&self) -> bool {
        let after = self.rest.trim_start_matches(is_word);
        after.trim_start_matches([' ', '\t']).starts_with("::=")
    }

    fn repetition(&mut self, inner: Expression) -> Result<Expression, Error> {
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counted(inner),
            _ => return Ok(inner),
        };
        self.next();
        Ok(Expression::Repeat { inner: Box::new(inner), least, most })
    }

    fn counted(&mut self, inner: Expression) -> Result<Expression, Error> {
        let wrong =
            |reader: &Self| reader.wrong(&format!("a repetition is {{n}}, {{n,}} or {{n,m}}, n ≤ m ≤ {MOST_TIMES}"));
        let Some((counts, rest)) = self.rest.get(1..).and_then(|rest| rest.split_once('}')) else {
            return Err(wrong(self));
        };
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|times| *times <= MOST_TIMES);
        let (least, most) = match counts.split_once(',') {
            None => (number(counts), number(counts).map(Some)),
            Some((least, most)) if most.trim().is_empty() => (number(least), Some(None)),
            Some((least, most)) => {
                (if least.trim().is_empty() { Some(0) } else { number(least) }, number(most).map(Some))
            }
        };
        let (Some(least), Some(most)) = (least, most) else { return Err(wrong(self)) };
        if most.is_some_and(|most| most < least) {
            return Err(wrong(self));
        }
        self.rest = rest;
        Ok(Expression::Repeat { inner: Box::new(inner), least, most })
    }

    fn text(&mut self) -> Result<Expression, Error> {
        self.next();
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Err(self.wrong("a text does not end")),
                Some('"') => break,
                Some(_) => text.push(self.character()?),
            }
        }
        self.next();
        Ok(Expression::Text(text))
    }

    fn class(&mut self) -> Result<Expression, Error> {
        self.next();
        let is_negated = self.takes("^");
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Err(self.wrong("a class of characters does not end")),
                Some(']') => break,
                Some(_) => {}
            }
            let first = self.character()?;
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let last = if is_range {
                self.next();
                self.character()?
            } else {
                first
            };
            if last < first {
                return Err(self.wrong("a range that begins after its end"));
            }
            ranges.push((first, last));
        }
        self.next();
        if ranges.is_empty() {
            return Err(self.wrong("an empty class of characters"));
        }
        Ok(Expression::Class { is_negated, ranges })
    }

    /// A character, perhaps escaped.
    fn character(&mut self) -> Result<char, Error> {
        let Some(character) = self.next() else { return Err(self.wrong("it ends too early")) };
        if character != '\\' {
            return Ok(character);
        }
        match self.next() {
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('x') => self.code(2),
            Some('u') => self.code(4),
            Some('U') => self.code(8),
            Some(escaped @ ('\\' | '"' | '[' | ']' | '-' | '^' | '/')) => Ok(escaped),
            Some(other) => Err(self.wrong(&format!("unknown escape `\\{other}`"))),
            None => Err(self.wrong("it ends too early")),
        }
    }

    fn code(&mut self, digits: usize) -> Result<char, Error> {
        let code = self.rest.get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        let Some(character) = code.and_then(char::from_u32) else {
            return Err(self.wrong(&format!("expected {digits} hexadecimal digits of a character")));
        };
        self.rest = self.rest.get(digits..).unwrap_or_default();
        Ok(character)
    }

    fn name(&mut self) -> Option<String> {
        let end = self.rest.find(|character| !is_word(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// Skips white space and comments, and ends of lines where a rule may go on.
    fn skip_space(&mut self, over_lines: bool) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => {}
                Some('\n' | '\r') if over_lines => {}
                Some('#') => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = self.rest.get(end..).unwrap_or_default();
                    continue;
                }
                _ => return,
            }
            self.next();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.line += usize::from(character == '\n');
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
        Some(character)
    }

    fn takes(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_".contains(character)
}
