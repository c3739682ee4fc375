//! Tables: a line of headings, columns as wide as what is in them, nothing else.

use super::{Style, Tone};
use crate::text::neutral;

/// Between two columns.
const GAP: &str = "  ";

/// A cell: text that is neutralised, in a tone or none.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
}

/// A cell without a tone.
pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell { text: neutral(text.as_ref()), tone: None }
}

/// A cell in a tone.
pub(crate) fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
    Cell { text: neutral(text.as_ref()), tone: Some(tone) }
}

/// A cell with a state, in its tone.
pub(crate) fn state(text: impl AsRef<str>) -> Cell {
    let tone = super::tone_of(text.as_ref());
    toned(text, tone)
}

/// The table; without rows only its headings.
pub(crate) fn render(headings: &[&str], rows: &[Vec<Cell>], style: Style) -> String {
    let heading = headings.iter().map(|heading| toned(heading, Tone::Faint)).collect::<Vec<_>>();
    let all: Vec<&Vec<Cell>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let painted = cell.tone.map_or_else(|| cell.text.clone(), |tone| style.paint(tone, &cell.text));
            line.push_str(&painted);
            // The last column needs no padding, and trailing blanks would wrap on narrow terminals.
            if row[column + 1..].iter().any(|later| !later.text.is_empty()) {
                let pad = widths[column] - cell.text.chars().count();
                line.push_str(&" ".repeat(pad));
                line.push_str(GAP);
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_guests_cannot_break_out() {
        let rows = vec![
            vec![cell("hello"), state("running"), cell("")],
            vec![cell("x\x1b[2J\n"), state("crash-loop"), cell("why")],
        ];
        let text = render(&["NAME", "STATE", "NOTE"], &rows, Style::PLAIN);
        assert_eq!(
            text,
            "NAME          STATE       NOTE\n\
             hello         running\n\
             x\\u{1b}[2J\\n  crash-loop  why\n"
        );
        let coloured =
            render(&["NAME", "STATE"], &[vec![cell("a"), state("failed")]], Style { colour: true });
        assert_eq!(coloured, "\x1b[2mNAME\x1b[0m  \x1b[2mSTATE\x1b[0m\na     \x1b[31mfailed\x1b[0m\n");
    }
}
