//! What a check found.

use std::{fmt, path::PathBuf};

/// How a step ended.
pub(crate) enum Verdict {
    Passed {
        /// What is worth a line all the same: warnings, the closing lines of the tests.
        notes: Vec<String>,
    },
    Failed {
        report: String,
    },
}

/// One thing that is wrong, where it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) file: PathBuf,
    pub(crate) line: Option<usize>,
    /// A warning does not fail the step.
    pub(crate) warning: bool,
    pub(crate) text: String,
}

impl Problem {
    /// A problem with a whole file.
    pub(crate) fn of(file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, warning: false, text: text.into() }
    }

    /// A problem on one line, counted from 1.
    pub(crate) fn at(file: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::of(file, text) }
    }

    /// The same, but only a warning.
    pub(crate) fn warn(self) -> Self {
        Self { warning: true, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.warning {
            f.write_str("warning: ")?;
        }
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

impl Verdict {
    /// Passed unless one of the problems is more than a warning.
    pub(crate) fn from_problems(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        let failed = problems.iter().any(|problem| !problem.warning);
        let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
        if failed { Self::Failed { report: lines.join("\n") } } else { Self::Passed { notes: lines } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_alone_pass_and_are_shown() {
        let Verdict::Passed { notes } = Verdict::from_problems(vec![Problem::of("a.rs", "long").warn()])
        else {
            panic!("a warning failed the step");
        };
        assert_eq!(notes, ["warning: a.rs: long"]);
    }

    #[test]
    fn one_failure_fails_and_all_is_reported_in_the_order_of_files() {
        let problems = vec![Problem::at("b.rs", 3, "bad"), Problem::of("a.rs", "long").warn()];
        let Verdict::Failed { report } = Verdict::from_problems(problems) else { panic!("it passed") };
        assert_eq!(report, "warning: a.rs: long\nb.rs:3: bad");
    }
}
