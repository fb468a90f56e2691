//! How are rows laid out in columns?

use crate::cli::format::{harmless, wrap};

const GAP: usize = 2;
/// The last column is not squeezed below this.
const NARROWEST: usize = 16;

/// Rows under headings. A column that is empty in every row is left out; the last one takes what is left of the line
/// and is wrapped.
pub(crate) struct Table {
    headings: Vec<Heading>,
    rows: Vec<Vec<String>>,
}

struct Heading {
    text: &'static str,
    is_number: bool,
}

impl Table {
    /// Columns with these headings; one that begins with `#` holds numbers and is set to the right.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        let heading = |text: &&'static str| match text.strip_prefix('#') {
            Some(text) => Heading { text, is_number: true },
            None => Heading { text, is_number: false },
        };
        Self { headings: headings.iter().map(heading).collect(), rows: Vec::new() }
    }

    /// Adds a row, one cell a heading.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| harmless(&cell).replace(['\n', '\t'], " ")).to_vec());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines of at most `width` characters, if it can; unlimited without a width.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let used: Vec<(usize, &Heading, usize)> = self
            .headings
            .iter()
            .enumerate()
            .filter(|(column, _)| self.cells(*column).any(|cell| !cell.is_empty()))
            .map(|(column, heading)| {
                let widest = self.cells(column).map(length).max().unwrap_or(0);
                (column, heading, widest.max(length(heading.text)))
            })
            .collect();
        let Some(((last, last_heading, last_width), before)) = used.split_last() else { return String::new() };
        let taken: usize = before.iter().map(|(.., width)| width + GAP).sum();
        let room = width.map_or(*last_width, |width| width.saturating_sub(taken).max(NARROWEST).min(*last_width));

        let mut lines = vec![join(used.iter().map(|(_, heading, width)| pad(heading.text, *width, heading.is_number)))];
        for row in &self.rows {
            let cell = |column: usize| row.get(column).map_or("", String::as_str);
            let mut wrapped = match last_heading.is_number {
                true => vec![pad(cell(*last), *last_width, true)],
                false => wrap(cell(*last), room),
            }
            .into_iter();
            let first = before
                .iter()
                .map(|(column, heading, width)| pad(cell(*column), *width, heading.is_number))
                .chain(wrapped.next());
            lines.push(join(first));
            lines.extend(wrapped.map(|rest| format!("{}{rest}", " ".repeat(taken))));
        }
        lines.join("\n")
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(move |row| row.get(column)).map(String::as_str)
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn pad(text: &str, width: usize, to_the_right: bool) -> String {
    if to_the_right { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn join(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["model", "#took", "reason", "text"]);
        table.row(["fast", "9 ms", "", "short"].map(str::to_owned));
        table.row(["whisper", "870 ms", "", "a rather longer text that goes on"].map(str::to_owned));
        table
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let expected = "model      took  text\n\
                        fast       9 ms  short\n\
                        whisper  870 ms  a rather longer text that goes on";
        assert_eq!(table().render(None), expected);
    }

    #[test]
    fn the_last_column_is_wrapped_to_the_width() {
        let expected = "model      took  text\n\
                        fast       9 ms  short\n\
                        whisper  870 ms  a rather longer\n\
                        \x20                text that goes on";
        assert_eq!(table().render(Some(34)), expected);
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(Table::new(&["a"]).render(None), "");
    }
}
