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
    is_number: bool,
}

/// A cell without a tone.
pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell { text: neutral(text.as_ref()), tone: None, is_number: false }
}

/// A cell with a number, which stands at the right of its column.
pub(crate) fn number(text: impl AsRef<str>) -> Cell {
    Cell { is_number: true, ..cell(text) }
}

/// A cell in a tone.
pub(crate) fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
    Cell { tone: Some(tone), ..cell(text) }
}

/// A cell with a state, in its tone.
pub(crate) fn state(text: impl AsRef<str>) -> Cell {
    let tone = super::tone_of(text.as_ref());
    toned(text, tone)
}

/// The least that is left of the last column on a narrow terminal.
const LAST_MIN: usize = 12;

/// The table; without rows only its headings. Where a terminal is too narrow, the last column is cut.
pub(crate) fn render(headings: &[&str], rows: &[Vec<Cell>], style: Style) -> String {
    // A heading stands where what is below it stands.
    let is_number = |column: usize| rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.is_number));
    let heading = headings.iter().enumerate();
    let heading =
        heading.map(|(column, text)| Cell { is_number: is_number(column), ..toned(text, Tone::Faint) });
    let heading: Vec<Cell> = heading.collect();
    let mut all: Vec<Vec<Cell>> = std::iter::once(heading).chain(rows.iter().cloned()).collect();
    if let Some(columns) = style.columns {
        cut_last(&mut all, headings.len(), columns);
    }
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for row in &all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let painted = cell.tone.map_or_else(|| cell.text.clone(), |tone| style.paint(tone, &cell.text));
            let pad = " ".repeat(widths[column] - cell.text.chars().count());
            if cell.is_number {
                line.push_str(&pad);
            }
            line.push_str(&painted);
            // The last column needs no padding, and trailing blanks would wrap on narrow terminals.
            if row[column + 1..].iter().any(|later| !later.text.is_empty()) {
                if !cell.is_number {
                    line.push_str(&pad);
                }
                line.push_str(GAP);
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Cuts the last column to what the others leave of a line.
fn cut_last(all: &mut [Vec<Cell>], columns: usize, line: usize) {
    let length = |cell: &Cell| cell.text.chars().count();
    let width = |column| all.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0);
    let others: usize = (0..columns.saturating_sub(1)).map(|column| width(column) + GAP.len()).sum();
    let room = line.saturating_sub(others).max(LAST_MIN);
    for cell in all.iter_mut().filter_map(|row| row.get_mut(columns.checked_sub(1)?)) {
        cell.text = shortened(&cell.text, room);
    }
}

/// The text in so many characters: of a path the end is kept, of everything else the beginning.
fn shortened(text: &str, room: usize) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.into();
    }
    let is_path = text.contains('/') && !text.contains(' ');
    if is_path {
        let end: String = text.chars().skip(length - room + 1).collect();
        return format!("…{end}");
    }
    let begin: String = text.chars().take(room - 1).collect();
    format!("{}…", begin.trim_end())
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
        let coloured = render(
            &["NAME", "STATE"],
            &[vec![cell("a"), state("failed")]],
            Style { colour: true, columns: None },
        );
        assert_eq!(coloured, "\x1b[2mNAME\x1b[0m  \x1b[2mSTATE\x1b[0m\na     \x1b[31mfailed\x1b[0m\n");
    }

    #[test]
    fn the_last_column_is_cut_on_a_narrow_terminal() {
        let rows = vec![
            vec![cell("hello"), cell("file:///srv/apps/hello.wasm")],
            vec![cell("orders"), cell("it cannot be started because")],
        ];
        let table =
            |columns| render(&["NAME", "IMAGE"], &rows, Style { colour: false, columns: Some(columns) });
        assert_eq!(table(80), render(&["NAME", "IMAGE"], &rows, Style::PLAIN));
        let text = table(24);
        assert_eq!(text, "NAME    IMAGE\nhello   …apps/hello.wasm\norders  it cannot be st…\n");
        assert!(text.lines().all(|line| line.chars().count() <= 24));
        assert!(table(3).contains("…/hello.wasm"), "something is always left");
    }
}
