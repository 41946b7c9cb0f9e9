//! Licence expressions as crates state them: SPDX identifiers with `AND`, `OR`, `WITH` and brackets, and the
//! old `/` for `OR`.

use std::{fmt, iter::Peekable, vec::IntoIter};

/// An expression that cannot be read; it is never taken for an allowed one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    expected: &'static str,
    found: Option<String>,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "expected {} before {found:?}", self.expected),
            None => write!(f, "expected {} at the end", self.expected),
        }
    }
}

/// Whether the expression can be met with licences from `allowed` alone.
pub(super) fn is_allowed(expression: &str, allowed: &[&str]) -> Result<bool, Malformed> {
    let mut reader = Reader { words: words(expression).into_iter().peekable(), allowed };
    let met = reader.any()?;
    match reader.words.next() {
        None => Ok(met),
        found => Err(Malformed { expected: "AND or OR", found }),
    }
}

fn words(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

struct Reader<'a> {
    words: Peekable<IntoIter<String>>,
    allowed: &'a [&'a str],
}

impl Reader<'_> {
    fn any(&mut self) -> Result<bool, Malformed> {
        let mut met = self.all()?;
        while self.words.next_if(|word| word == "OR").is_some() {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, Malformed> {
        let mut met = self.one()?;
        while self.words.next_if(|word| word == "AND").is_some() {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, Malformed> {
        if self.words.next_if(|word| word == "(").is_some() {
            let met = self.any()?;
            return match self.words.next() {
                Some(word) if word == ")" => Ok(met),
                found => Err(Malformed { expected: ")", found }),
            };
        }
        let mut licence = self.identifier("a licence")?;
        if self.words.next_if(|word| word == "WITH").is_some() {
            licence = format!("{licence} WITH {}", self.identifier("an exception")?);
        }
        Ok(self.allowed.contains(&licence.as_str()))
    }

    fn identifier(&mut self, expected: &'static str) -> Result<String, Malformed> {
        match self.words.next() {
            Some(word) if !matches!(word.as_str(), "AND" | "OR" | "WITH" | "(" | ")") => Ok(word),
            found => Err(Malformed { expected, found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: [&str; 3] = ["MIT", "BSD", "Apache WITH LLVM"];

    #[track_caller]
    fn check(expression: &str, met: bool) {
        assert_eq!(is_allowed(expression, &ALLOWED), Ok(met), "{expression}");
    }

    #[test]
    fn one_side_of_or_is_enough_and_both_of_and_are_needed() {
        check("MIT", true);
        check("GPL", false);
        check("GPL OR MIT", true);
        check("MIT/GPL", true);
        check("GPL / LGPL", false);
        check("MIT AND BSD", true);
        check("MIT AND GPL", false);
    }

    #[test]
    fn and_binds_before_or_and_brackets_before_both() {
        check("GPL AND MIT OR BSD", true);
        check("GPL AND (MIT OR BSD)", false);
        check("(MIT OR GPL) AND BSD", true);
        check("((MIT))", true);
    }

    #[test]
    fn a_licence_with_an_exception_is_one_of_its_own() {
        check("Apache WITH LLVM", true);
        check("MIT WITH LLVM", false);
        check("Apache", false);
        check("Apache WITH LLVM AND MIT", true);
    }

    #[test]
    fn what_is_not_known_is_not_allowed() {
        check("MIT+", false);
        check("mit", false);
        check("LicenseRef-Mine", false);
    }

    #[test]
    fn what_cannot_be_read_is_refused_where_it_goes_wrong() {
        for (expression, problem) in [
            ("", "expected a licence at the end"),
            ("MIT BSD", "expected AND or OR before \"BSD\""),
            ("MIT OR", "expected a licence at the end"),
            ("(MIT", "expected ) at the end"),
            ("MIT)", "expected AND or OR before \")\""),
            ("Apache WITH OR MIT", "expected an exception before \"OR\""),
        ] {
            let error = is_allowed(expression, &ALLOWED).expect_err(expression);
            assert_eq!(error.to_string(), problem, "{expression}");
        }
    }
}
