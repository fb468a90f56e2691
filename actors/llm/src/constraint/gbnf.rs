//! How does a grammar in GBNF, llama.cpp's notation, become one that llguidance reads?
//!
//! What does not refer to itself is a regular expression: a terminal. What does is a rule over terminals, and there a
//! terminal takes as much text as it can, which llama.cpp's own engine would leave open. Reading is bounded: nesting,
//! rules, repetitions.

use std::collections::{BTreeMap, BTreeSet};

mod parse;

use parse::{Expression, Grammar};

/// Why a grammar cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Error {
    /// It is not GBNF.
    #[error("line {line}: {what}")]
    Syntax { line: usize, what: String },
    /// A symbol has no rule.
    #[error("there is no rule for `{0}`")]
    Undefined(String),
}

/// A grammar in Lark that takes the same texts.
///
/// # Errors
/// Says what is wrong, and in which line.
pub(super) fn to_lark(text: &str) -> Result<String, Error> {
    let grammar = parse::grammar(text)?;
    for rule in grammar.values() {
        let mut unknown = None;
        rule.symbols(&mut |symbol| {
            if !grammar.contains_key(symbol) {
                unknown = Some(symbol.to_owned());
            }
        });
        if let Some(symbol) = unknown {
            return Err(Error::Undefined(symbol));
        }
    }
    if !grammar.contains_key(ROOT) {
        return Err(Error::Undefined(ROOT.to_owned()));
    }
    Ok(Writer::new(&grammar).write())
}

const ROOT: &str = "root";

struct Writer<'g> {
    grammar: &'g Grammar,
    numbers: BTreeMap<&'g str, usize>,
    recursive: BTreeSet<&'g str>,
    /// Terminals for what stands between the recursive parts of rules.
    terminals: Vec<String>,
}

impl<'g> Writer<'g> {
    fn new(grammar: &'g Grammar) -> Self {
        let numbers = grammar.keys().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        Self { grammar, numbers, recursive: recursive(grammar), terminals: Vec::new() }
    }

    fn write(mut self) -> String {
        let mut lark = format!("start: {}\n", self.reference(ROOT));
        for (name, rule) in self.grammar {
            let body = if self.recursive.contains(name.as_str()) { self.rule(rule) } else { self.terminal(rule) };
            lark.push_str(&format!("{}: {body}\n", self.reference(name)));
        }
        for (number, terminal) in self.terminals.iter().enumerate() {
            lark.push_str(&format!("P{number}: {terminal}\n"));
        }
        lark
    }

    /// Rules are written small in Lark, terminals large.
    fn reference(&self, name: &str) -> String {
        let number = self.numbers.get(name).copied().unwrap_or_default();
        if self.recursive.contains(name) { format!("r{number}") } else { format!("T{number}") }
    }

    fn is_regular(&self, expression: &Expression) -> bool {
        let mut is_regular = true;
        expression.symbols(&mut |symbol| is_regular &= !self.recursive.contains(symbol));
        is_regular
    }

    /// A regular expression, in the notation of a terminal.
    fn terminal(&self, expression: &Expression) -> String {
        let write = |part: &Expression| self.terminal(part);
        match expression {
            Expression::Text(text) => literal(text),
            Expression::Class { is_negated, ranges } => class(*is_negated, ranges),
            Expression::Symbol(name) => self.reference(name),
            Expression::Sequence(parts) if parts.is_empty() => "\"\"".to_owned(),
            Expression::Sequence(parts) => joined(parts.iter().map(|part| in_sequence(part, write(part))), " "),
            Expression::Choice(choices) => joined(choices.iter().map(write), " | "),
            Expression::Repeat { inner, least, most } => repeated(inner, write(inner), *least, *most),
        }
    }

    /// A rule's body: what is regular in it becomes a terminal of its own, as long as it can be.
    fn rule(&mut self, expression: &Expression) -> String {
        if self.is_regular(expression) {
            return self.part(std::slice::from_ref(expression));
        }
        match expression {
            Expression::Symbol(name) => self.reference(name),
            Expression::Sequence(parts) => {
                let mut written = Vec::new();
                let mut rest = parts.as_slice();
                while let Some(first) = rest.first() {
                    let regular = rest.iter().take_while(|part| self.is_regular(part)).count();
                    let (taken, left) = rest.split_at_checked(regular.max(1)).unwrap_or((rest, &[]));
                    written.push(if regular > 0 { self.part(taken) } else { in_sequence(first, self.rule(first)) });
                    rest = left;
                }
                written.join(" ")
            }
            Expression::Choice(choices) => {
                let choices: Vec<String> = choices.iter().map(|choice| self.rule(choice)).collect();
                choices.join(" | ")
            }
            Expression::Repeat { inner, least, most } => {
                // What repeats a rule is one itself.
                let written = self.rule(inner);
                repeated(inner, written, *least, *most)
            }
            Expression::Text(_) | Expression::Class { .. } => self.part(std::slice::from_ref(expression)),
        }
    }

    fn part(&mut self, parts: &[Expression]) -> String {
        let is_empty = |part: &Expression| matches!(part, Expression::Sequence(parts) if parts.is_empty());
        if parts.iter().all(is_empty) {
            return "\"\"".to_owned();
        }
        let is_one = parts.len() == 1;
        let write = |part| if is_one { self.terminal(part) } else { in_sequence(part, self.terminal(part)) };
        let terminal = joined(parts.iter().map(write), " ");
        let number = self.terminals.iter().position(|known| *known == terminal).unwrap_or_else(|| {
            self.terminals.push(terminal);
            self.terminals.len() - 1
        });
        format!("P{number}")
    }
}

/// Names of the rules from which they themselves can be reached, and of those that need such a rule.
fn recursive(grammar: &Grammar) -> BTreeSet<&str> {
    // A rule is regular once all that it needs is.
    let mut regular: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = regular.len();
        for (name, rule) in grammar {
            let mut is_regular = true;
            rule.symbols(&mut |symbol| is_regular &= regular.contains(symbol));
            if is_regular {
                regular.insert(name);
            }
        }
        if regular.len() == before {
            break;
        }
    }
    grammar.keys().map(String::as_str).filter(|name| !regular.contains(name)).collect()
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// Groups are few: Lark nests no deeper than thirty.
fn in_sequence(part: &Expression, written: String) -> String {
    if matches!(part, Expression::Choice(_)) { format!("({written})") } else { written }
}

fn repeated(inner: &Expression, written: String, least: u32, most: Option<u32>) -> String {
    let is_one = matches!(inner, Expression::Text(_) | Expression::Class { .. } | Expression::Symbol(_));
    let inner = if is_one { written } else { format!("({written})") };
    match (least, most) {
        (_, Some(0)) => "\"\"".to_owned(),
        (0, Some(1)) => format!("{inner}?"),
        (0, None) => format!("{inner}*"),
        (1, None) => format!("{inner}+"),
        (least, Some(most)) => format!("{inner}{{{least},{most}}}"),
        (least, None) => format!("{inner}{{{least},}}"),
    }
}

/// As JSON writes a text, and the one character more that Lark wants escaped.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn class(is_negated: bool, ranges: &[(char, char)]) -> String {
    let code = |character: char| format!("\\x{{{:x}}}", u32::from(character));
    let ranges: String = ranges.iter().map(|(first, last)| format!("{}-{}", code(*first), code(*last))).collect();
    format!("/[{}{ranges}]/", if is_negated { "^" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_refer_to_itself_is_a_terminal() {
        let lark = to_lark("root ::= greeting [a-z]+ \"!\"?\ngreeting ::= \"hi \" | \"ho\\n\"  # either").unwrap();
        assert_eq!(lark, "start: T1\nT0: \"hi \" | \"ho\\n\"\nT1: T0 /[\\x{61}-\\x{7a}]/+ \"!\"?\n");
    }

    #[test]
    fn what_refers_to_itself_is_a_rule_over_terminals() {
        let lark = to_lark("root ::= \"(\" \" \"* root \")\" | [0-9]").unwrap();
        assert_eq!(lark, "start: r0\nr0: P0 r0 P1 | P2\nP0: \"(\" \" \"*\nP1: \")\"\nP2: /[\\x{30}-\\x{39}]/\n");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (grammar, part) in [
            ("", "no rule for `root`"),
            ("root ::= \"a\" nothing", "no rule for `nothing`"),
            ("rot ::= \"a\"", "no rule for `root`"),
            ("root ::= \"a", "line 1: a text does not end"),
            ("root ::= \"a\"\nroot = \"b\"", "line 2: expected `::=`"),
            ("root ::= [a", "line 1: a class of characters does not end"),
            ("root ::= []", "line 1: an empty class"),
            ("root ::= [z-a]", "line 1: a range that begins after its end"),
            ("root ::= (\"a\"", "line 1: expected `)`"),
            ("root ::= \"a\"{5,2}", "line 1: a repetition"),
            ("root ::= \"a\"{99999}", "line 1: a repetition"),
            ("root ::= *", "line 1: expected"),
            ("root ::= \"\\q\"", "line 1: unknown escape `\\q`"),
            ("root ::= \"a\"\nroot ::= \"b\"", "line 2: there is a rule for `root` already"),
            ("root ::= <|im_end|>", "line 1: expected"),
        ] {
            let error = to_lark(grammar).unwrap_err().to_string();
            assert!(error.contains(part), "{grammar:?}: {error}");
        }
    }

    #[test]
    fn deep_and_long_grammars_are_refused() {
        let error = to_lark(&format!("root ::= {}\"a\"", "(".repeat(60_000))).unwrap_err().to_string();
        assert!(error.contains("nests deeper"), "{error}");
        let rules: String = (0..5000).map(|number| format!("r{number} ::= \"a\"\n")).collect();
        let error = to_lark(&rules).unwrap_err().to_string();
        assert!(error.contains("rules"), "{error}");
    }
}
