//! Columns that fit what is in them.

use super::paint::{Paint, columns, pad};

/// A table of text, with lines below rows where there is more to say.
pub(super) struct Table {
    head: Vec<String>,
    lines: Vec<Line>,
}

enum Line {
    Row(Vec<String>),
    Note(String),
}

impl Table {
    pub(super) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.map(str::to_owned).into(), lines: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.lines.push(Line::Row(cells.into()));
    }

    /// A line of its own, below the row before.
    pub(super) fn note(&mut self, text: &str) {
        self.lines.push(Line::Note(text.to_owned()));
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let rows = || {
            self.lines.iter().filter_map(|line| if let Line::Row(cells) = line { Some(cells) } else { None })
        };
        let width = |at: usize| {
            let cells = rows().chain([&self.head]).filter_map(|cells| cells.get(at));
            cells.map(|cell| columns(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let join = |cells: &[String]| {
            let cells: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
            cells.join("  ").trim_end().to_owned()
        };
        let mut lines = vec![paint.faint(&join(&self.head))];
        for line in &self.lines {
            lines.push(match line {
                Line::Row(cells) => join(cells),
                Line::Note(text) => format!("  {text}"),
            });
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(["host", "zone"]);
        table.row(["a-long-name".into(), "a".into()]);
        table.note("more of it");
        table.row(["h2".into(), "b".into()]);
        let text = table.text(Paint { colored: false });
        assert_eq!(text, "host         zone\na-long-name  a\n  more of it\nh2           b");
    }
}
