//! Links between our own pages lead somewhere: the file is there, and so is the heading.

use std::path::{Component, Path, PathBuf};

use super::{
    markdown::{self, Link},
    tree::Tree,
};
use crate::verify::Problem;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let pages = tree.with_extension("md");
    let found = pages.flat_map(|(page, text)| {
        let links = markdown::links(text).into_iter();
        links.filter_map(|link| of_link(tree, page, text, &link))
    });
    found.collect()
}

fn of_link(tree: &Tree, page: &Path, text: &str, link: &Link<'_>) -> Option<Problem> {
    let problem = |what: &str| Some(Problem::at(page, link.line, format!("link to {}: {what}", link.to)));
    let (path, anchor) = link.to.split_once('#').unwrap_or((link.to, ""));
    if is_elsewhere(path) {
        return None;
    }
    let Some(target) = resolve(page, path) else {
        return problem("leads out of the repository; a reader elsewhere does not have it");
    };
    if !tree.has(&target) {
        return problem("there is no such file");
    }
    let target_text = if path.is_empty() { Some(text) } else { tree.text(&target) };
    let is_page = path.is_empty() || target.extension().is_some_and(|end| end == "md");
    if !anchor.is_empty()
        && is_page
        && !target_text.is_some_and(|text| markdown::anchors(text).contains(anchor))
    {
        return problem("there is no such heading");
    }
    None
}

/// Whether it is an address with a scheme, such as `https:` or `mailto:`.
fn is_elsewhere(path: &str) -> bool {
    path.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// What a link on `page` means, as a path from the root; nothing if that is outside.
fn resolve(page: &Path, link: &str) -> Option<PathBuf> {
    if link.is_empty() {
        return Some(page.to_owned());
    }
    let mut path = page.parent()?.to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => (),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: &str) -> Option<String> {
        let page = format!("# Top\n[x]({link})\n");
        let files = [
            ("README.md", "# Read me\n"),
            ("docs/a.md", page.as_str()),
            ("docs/adr/0001.md", ""),
            ("LICENSE", ""),
        ];
        let problems = check(&Tree::of(&files));
        assert!(problems.len() <= 1, "{problems:?}");
        problems.first().map(Problem::to_string)
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for link in [
            "../README.md",
            "../README.md#read-me",
            "adr/",
            "adr/0001.md",
            "./a.md#top",
            "#top",
            "../LICENSE",
            "../",
            "https://example.org/none#x",
            "mailto:a@example.org",
        ] {
            assert_eq!(found(link), None, "{link}");
        }
    }

    #[test]
    fn links_that_do_not_are_named_with_their_line() {
        for (link, problem) in [
            ("b.md", "there is no such file"),
            ("README.md", "there is no such file"),
            ("../README.md#write-me", "there is no such heading"),
            ("#bottom", "there is no such heading"),
            ("../../a.md", "leads out of the repository; a reader elsewhere does not have it"),
            ("/etc/a.md", "leads out of the repository; a reader elsewhere does not have it"),
        ] {
            assert_eq!(found(link), Some(format!("docs/a.md:2: link to {link}: {problem}")));
        }
    }
}
