//! One line for a person: pieces of text, each with its colour, none of which can end the line or steer a terminal.

use std::fmt::Display;

use planner::shown::escape;

/// A colour of the 8 that each terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// What is wrong.
    Red,
    /// What is well.
    Green,
    /// What needs a look.
    Yellow,
    /// What is only context.
    Dim,
}

impl Colour {
    fn code(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Dim => 2,
        }
    }
}

/// One line, whatever its pieces hold: they are escaped as it is rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Option<Colour>, String)>);

/// Begins a line with a coloured piece.
pub(crate) fn painted(colour: Colour, text: impl Display) -> Line {
    Line::default().painted(colour, text)
}

impl Line {
    /// Appends a piece.
    pub(crate) fn and(mut self, text: impl Display) -> Self {
        self.0.push((None, text.to_string()));
        self
    }

    /// Appends a coloured piece.
    pub(crate) fn painted(mut self, colour: Colour, text: impl Display) -> Self {
        self.0.push((Some(colour), text.to_string()));
        self
    }

    /// Appends another line's pieces.
    pub(crate) fn followed_by(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Renders it without a line end, with or without its colours.
    pub(crate) fn render(&self, is_painted: bool) -> String {
        let pieces = self
            .0
            .iter()
            .map(|(colour, piece)| match colour.filter(|_| is_painted) {
                Some(colour) => format!("\x1b[{}m{}\x1b[0m", colour.code(), escape(piece)),
                None => escape(piece).into_owned(),
            });
        pieces.collect()
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self(vec![(None, text)])
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Lays `rows` out in columns as wide as their widest cell, two spaces apart; the first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<Line> {
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| escape(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            Line::from(cells.join("  ").trim_end())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_and_brings_no_colour_of_its_own() {
        let line = painted(Colour::Red, "x\x1b[32m").and("\n04:00:00 * all is well\u{202e}");
        assert_eq!(
            line.render(false),
            "x\\u{1b}[32m\\n04:00:00 * all is well\\u{202e}"
        );
        assert_eq!(
            line.render(true),
            "\x1b[31mx\\u{1b}[32m\x1b[0m\\n04:00:00 * all is well\\u{202e}"
        );
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let rows = [["model", "w"], ["iris\n", "-"], ["wine-quality", "10%"]]
            .map(|row| row.map(str::to_owned).to_vec());
        let lines: Vec<_> = table(&rows).iter().map(|line| line.render(false)).collect();
        expect_test::expect![[r"
            model         w
            iris\n        -
            wine-quality  10%"]]
        .assert_eq(&lines.join("\n"));
    }
}
