//! Colours, where they are wanted.

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    pub(crate) colored: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn busy(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }
}

/// How many columns a text takes: escape sequences take none.
pub(crate) fn columns(text: &str) -> usize {
    let mut escaped = false;
    text.chars()
        .filter(|c| {
            match (*c, escaped) {
                ('\x1b', _) => escaped = true,
                ('m', true) => {
                    escaped = false;
                    return false;
                }
                _ => (),
            }
            !escaped
        })
        .count()
}

/// Cuts a text to so many columns, and ends its colours.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut out, mut used, mut escaped) = (String::new(), 0, false);
    for c in text.chars() {
        match (c, escaped) {
            ('\x1b', _) => escaped = true,
            ('m', true) => escaped = false,
            (_, true) => (),
            _ if width <= used + 1 => break,
            _ => used += 1,
        }
        out.push(c);
    }
    out.push('…');
    if text.contains('\x1b') {
        out.push_str("\x1b[0m");
    }
    out
}

/// Breaks lines that are wider than the terminal at spaces; what follows is indented. A word that is too long for a line has one of its own.
pub(crate) fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width.filter(|width| indent + 20 < *width) else { return text.to_owned() };
    text.split('\n').map(|line| wrap_line(line, width, indent)).collect::<Vec<_>>().join("\n")
}

fn wrap_line(line: &str, width: usize, indent: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let (mut out, mut used, mut fresh) = (String::new(), 0, true);
    for word in line.split(' ') {
        let needed = columns(word) + usize::from(!fresh);
        if !fresh && width < used + needed && 0 < columns(word) {
            let kept = out.trim_end_matches(' ').len();
            out.truncate(kept);
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            (used, fresh) = (indent, true);
        }
        if !fresh {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += columns(word);
        fresh = false;
    }
    out
}

/// Fills a text up to so many columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_columns() {
        let painted = Paint { colored: true }.good("four");
        assert_eq!(columns(&painted), 4);
        assert_eq!(columns(&pad(&painted, 6)), 6);
        assert_eq!(columns(&cut(&painted, 3)), 3);
        assert_eq!(cut("four", 4), "four");
        assert_eq!(cut("fourteen", 4), "fou…");
    }

    #[test]
    fn a_long_line_is_broken_at_spaces_and_indented() {
        let text = "  waits: one two three four five six seven eight nine";
        let wrapped = wrap(text, Some(30), 9);
        assert_eq!(wrapped, "  waits: one two three four\n         five six seven eight\n         nine");
        assert_eq!(wrap(text, None, 9), text, "in a pipe nothing is broken");
        let painted = Paint { colored: true }.bad("red");
        let line = format!("{painted} {}", "x ".repeat(40));
        assert!(wrap(&line, Some(40), 2).lines().all(|line| columns(line) <= 40));
    }
}
