//! Takes bytes apart into lines. Pure: where it stands is an argument.

/// Longest line, in bytes; the rest of a longer one is passed over.
pub const LINE_LIMIT_BYTES: usize = 16 << 10;

/// A line as it stands in what was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// Without its end.
    pub(super) text: &'a [u8],
    /// Where it begins.
    pub(super) from: usize,
    /// Where what follows it begins.
    pub(super) next: usize,
    /// It is longer than this.
    pub(super) cut: bool,
    /// Its beginning was taken before.
    pub(super) continued: bool,
}

/// Takes whole lines, and the beginning of one that is too long. `within` is how much of the first line was taken before, and becomes
/// how much of the last one was; at [`LINE_LIMIT_BYTES`] the rest of the line is passed over. Returns how many bytes are done with.
pub(super) fn take<'a>(bytes: &'a [u8], within: &mut usize, mut push: impl FnMut(Found<'a>)) -> usize {
    let mut from = 0;
    loop {
        let rest = &bytes[from..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let room = LINE_LIMIT_BYTES.saturating_sub(*within);
        let continued = *within > 0;
        match end {
            // The end of what was shown already, or was too long to be.
            Some(end) if room == 0 || continued && end == 0 => {
                (from, *within) = (from + end + 1, 0);
            }
            None if room == 0 => return bytes.len(),
            Some(end) if end <= room => {
                push(Found { text: &rest[..end], from, next: from + end + 1, cut: false, continued });
                (from, *within) = (from + end + 1, 0);
            }
            _ if rest.len() > room => {
                push(Found { text: whole(&rest[..room]), from, next: from + room, cut: true, continued });
                (from, *within) = (from + room, LINE_LIMIT_BYTES);
            }
            _ => return from,
        }
    }
}

/// Without the piece of a character that a cut left at the end.
fn whole(bytes: &[u8]) -> &[u8] {
    let begins = bytes.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or(bytes.len());
    match std::str::from_utf8(&bytes[begins..]) {
        Err(e) if e.error_len().is_none() => &bytes[..begins],
        _ => bytes,
    }
}

/// How much of the line that goes on after these bytes stands in them; [`LINE_LIMIT_BYTES`] is as much as there can be.
pub(super) fn within(before: &[u8]) -> usize {
    let begins = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    (before.len() - begins).min(LINE_LIMIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8], mut within: usize) -> (Vec<(String, bool, bool)>, usize, usize) {
        let mut lines = Vec::new();
        let done = take(bytes, &mut within, |found| {
            lines.push((String::from_utf8_lossy(found.text).into_owned(), found.cut, found.continued));
        });
        (lines, done, within)
    }

    fn plain(text: &str) -> (String, bool, bool) {
        (text.to_owned(), false, false)
    }

    #[test]
    fn whole_lines_are_taken_and_a_beginning_is_left() {
        assert_eq!(taken(b"", 0), (vec![], 0, 0));
        assert_eq!(taken(b"a\n\nbc", 0), (vec![plain("a"), plain("")], 3, 0));
    }

    #[test]
    fn a_long_line_is_cut_once_and_its_rest_passed_over() {
        let long = "x".repeat(LINE_LIMIT_BYTES);
        let text = format!("{long}\n{long}y\nz\n");
        let cut = (long.clone(), true, false);
        assert_eq!(taken(text.as_bytes(), 0), (vec![plain(&long), cut.clone(), plain("z")], text.len(), 0));
        let (lines, done, within) = taken(format!("{long}y").as_bytes(), 0);
        assert_eq!((lines, done, within), (vec![cut], LINE_LIMIT_BYTES + 1, LINE_LIMIT_BYTES));
        assert_eq!(taken(b"yy\nz\n", LINE_LIMIT_BYTES), (vec![plain("z")], 5, 0));
    }

    #[test]
    fn a_line_goes_on_where_it_was_shown_up_to() {
        assert_eq!(taken(b" end\nz\n", 7), (vec![(" end".to_owned(), false, true), plain("z")], 7, 0));
        assert_eq!(taken(b"\nz\n", 7), (vec![plain("z")], 3, 0), "nothing but its end is left");
    }

    #[test]
    fn a_cut_leaves_no_piece_of_a_character() {
        let text = format!("{}ü\n", "x".repeat(LINE_LIMIT_BYTES - 1));
        let (lines, done, _) = taken(text.as_bytes(), 0);
        assert_eq!(lines, [("x".repeat(LINE_LIMIT_BYTES - 1), true, false)]);
        assert_eq!(done, text.len());
        assert_eq!(whole(b"a\xff"), b"a\xff", "what never was a character stays");
    }

    #[test]
    fn where_a_line_stands_is_read_from_what_is_before() {
        assert_eq!(within(b""), 0);
        assert_eq!(within(b"a\n"), 0);
        assert_eq!(within(b"a\nbc"), 2);
        assert_eq!(within(&[b'x'; LINE_LIMIT_BYTES]), LINE_LIMIT_BYTES);
    }
}
