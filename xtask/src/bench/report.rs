//! What was measured, as a table for people and as JSON.

use anyhow::Result;
use serde::Serialize;
use std::fmt::Write;

/// The rows, in the order of measuring.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    figure: String,
    limit: String,
    /// Absent where nothing is promised.
    reached: Option<bool>,
}

impl Report {
    /// A figure with a promise: at most `most`, in this unit.
    pub fn at_most(&mut self, what: &str, value: f64, most: f64, unit: &str) {
        let reached = Some(value <= most);
        self.add(what, format!("{}{unit}", round(value)), format!("≤ {}{unit}", round(most)), reached);
    }

    /// A figure that is stated only.
    pub fn state(&mut self, what: &str, figure: String) {
        self.add(what, figure, String::new(), None);
    }

    /// A figure that could not be measured.
    pub fn failure(&mut self, what: &str, why: &str) {
        self.add(what, why.replace('\n', " "), "measurable".to_owned(), Some(false));
    }

    fn add(&mut self, what: &str, figure: String, limit: String, reached: Option<bool>) {
        eprintln!("    {what}: {figure} {limit}");
        self.rows.push(Row { what: what.to_owned(), figure, limit, reached });
    }

    /// How many promises are not kept.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.reached == Some(false)).count()
    }

    pub fn markdown(&self) -> String {
        let mut text = String::from("| what | figure | promise | |\n|---|---|---|---|\n");
        for row in &self.rows {
            let mark = match row.reached {
                Some(true) => "reached",
                Some(false) => "MISSED",
                None => "",
            };
            let (what, figure) = (row.what.replace('|', "\\|"), row.figure.replace('|', "\\|"));
            writeln!(text, "| {what} | {figure} | {} | {mark} |", row.limit).expect("a string takes all");
        }
        text
    }

    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Three significant digits are as many as a measurement has.
fn round(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
