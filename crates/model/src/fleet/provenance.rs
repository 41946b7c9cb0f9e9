//! Where a pushed release comes from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a pushed release comes from, as whoever pushed it said. For people: nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The revision that it was built from; empty when it was not said, as the others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub git_rev: String,
    /// The run of CI that pushed it, as its address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ci_run: String,
    /// Who made the change.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
}

impl Provenance {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.git_rev.is_empty() && self.ci_run.is_empty() && self.author.is_empty()
    }
}

/// `git 1a2b3c4 by ann, https://ci.example.com/12`.
impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rev = (!self.git_rev.is_empty()).then(|| format!("git {}", self.git_rev));
        let author = (!self.author.is_empty()).then(|| format!("by {}", self.author));
        let change: Vec<String> = rev.into_iter().chain(author).collect();
        let change = Some(change.join(" ")).filter(|change| !change.is_empty());
        let run = Some(self.ci_run.clone()).filter(|run| !run.is_empty());
        f.write_str(&change.into_iter().chain(run).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_told() {
        let of = |git_rev: &str, ci_run: &str, author: &str| {
            Provenance { git_rev: git_rev.into(), ci_run: ci_run.into(), author: author.into() }.to_string()
        };
        assert_eq!(of("1a2b", "https://ci/1", "ann"), "git 1a2b by ann, https://ci/1");
        assert_eq!(of("1a2b", "", ""), "git 1a2b");
        assert_eq!(of("", "https://ci/1", "ann"), "by ann, https://ci/1");
        assert_eq!(of("", "https://ci/1", ""), "https://ci/1");
        assert_eq!(of("", "", ""), "");
        assert!(Provenance::default().is_empty());
    }
}
