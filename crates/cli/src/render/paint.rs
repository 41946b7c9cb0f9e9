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
}
