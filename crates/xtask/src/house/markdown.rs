//! Just enough of Markdown to find links and what they can point at. Code is left out.

use std::collections::{BTreeMap, BTreeSet};

/// A link, what it is called in the text, and the line it stands on, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    pub(super) line: usize,
    pub(super) label: &'a str,
    pub(super) to: &'a str,
}

/// All links and images: `[text](to)` and `[label]: to`.
pub(super) fn links(text: &str) -> Vec<Link<'_>> {
    let of_line = |(line, text)| {
        let found = labels_and_targets(text).into_iter();
        found.map(move |(label, to)| Link { line, label, to })
    };
    prose(text).flat_map(of_line).collect()
}

/// The names that a link can point at after `#`, made from headings as forges make them.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        let depth = line.len() - title.len();
        (1..=6).contains(&depth).then_some(title).filter(|title| title.starts_with(' '))
    });
    let name = |title: &str| {
        let name = slug(title.trim());
        let earlier = seen.entry(name.clone()).or_default();
        *earlier += 1;
        if *earlier == 1 { name } else { format!("{name}-{}", *earlier - 1) }
    };
    headings.map(name).collect()
}

fn slug(title: &str) -> String {
    let kept = title.chars().filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// The lines outside fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return true,
            (Some(_), _) => (),
        }
        false
    })
}

fn labels_and_targets(line: &str) -> Vec<(&str, &str)> {
    if let Some(("", rest)) = line.trim_start().split_once('[')
        && let Some((label, to)) = rest.split_once("]:")
        && !label.starts_with('^')
        && !label.contains(']')
    {
        return target(to).map(|to| (label, to)).into_iter().collect();
    }
    let mut found = Vec::new();
    let mut in_code = false;
    let mut previous = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '`' => in_code = !in_code,
            '(' if previous == ']' && !in_code => {
                let to = target(&line[at + 1..closing(&line[at..]) + at]);
                found.extend(to.map(|to| (label(&line[..at]), to)));
            }
            _ => (),
        }
        previous = c;
    }
    found
}

/// What stands in the square brackets that `before` ends with.
fn label(before: &str) -> &str {
    let inside = before.strip_suffix(']').unwrap_or(before);
    inside.rfind('[').map_or(inside, |open| &inside[open + 1..])
}

/// Where the bracket that `text` starts with is closed; its end if it never is.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return at,
            ')' => depth -= 1,
            _ => (),
        }
    }
    text.len()
}

/// The address in a link, without its title and its pointed brackets.
fn target(inside: &str) -> Option<&str> {
    let inside = inside.trim();
    match inside.strip_prefix('<') {
        Some(rest) => rest.split_once('>').map(|(to, _)| to),
        None => inside.split_whitespace().next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &str)> {
        links(text).iter().map(|link| (link.line, link.to)).collect()
    }

    #[test]
    fn links_are_found_in_all_their_shapes() {
        let text =
            "see [a](a.md) and ![b](img/b.png \"B\")\n\n- [c](<c d.md>) [e](f(1).md#g)\n[label]: h.md 'H'\n";
        assert_eq!(
            found(text),
            [(1, "a.md"), (1, "img/b.png"), (3, "c d.md"), (3, "f(1).md#g"), (4, "h.md")]
        );
    }

    #[test]
    fn a_link_is_called_what_stands_in_its_brackets() {
        let text = "[a] and [b c](b.md), ![](d.md)\n[e]: e.md\n";
        let labels: Vec<_> = links(text).iter().map(|link| link.label).collect();
        assert_eq!(labels, ["b c", "", "e"]);
    }

    #[test]
    fn code_and_footnotes_hold_no_links() {
        let text = "`[a](a.md)`\n```text\n[b](b.md)\n~~~\n```\n[^1]: words.md\n[x] (y)\n~~~\n[z](z.md)\n~~~\n[c](c.md)";
        assert_eq!(found(text), [(11, "c.md")]);
    }

    #[test]
    fn anchors_are_named_as_forges_name_them() {
        let text =
            "# The design\n## 1. What it *is*: `P1`\n## Again\n## Again\n```\n# not this\n```\n#neither\n";
        let expected = ["1-what-it-is-p1", "again", "again-1", "the-design"];
        assert_eq!(anchors(text), expected.map(str::to_owned).into());
    }
}
