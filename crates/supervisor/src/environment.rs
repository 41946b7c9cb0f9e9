//! Files that add to a program's environment, in the format that systemd documents for `EnvironmentFile=`.
//!
//! ```text
//! # a comment, as is a line that begins with `;`
//! NAME=value with spaces, \\ takes the next character as it is, and joins lines at the end of one
//! NAME='as it stands, over several lines if need be'
//! NAME="the same, but \\ works before \" \\ ` and $"
//! ```
//!
//! One thing is stricter: a line that means nothing is refused, not skipped. Absent on purpose: variables within values.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Read},
    iter::Peekable,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::Chars,
};

use ports::supervisor::EnvironmentFile;
use rustix::fs::OFlags;

/// Longest file that is read, in bytes.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// Why a file was of no use.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// It could not be read.
    #[error("read environment file {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// One of its lines says nothing that is understood.
    #[error("environment file {path}, line {line}: {problem}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What is wrong, without what stands there: it may be a secret.
        problem: String,
    },
}

/// All variables of the files, a later one over an earlier one. An optional file may be missing, but not be wrong.
///
/// # Errors
/// One of them cannot be read or understood.
pub fn read(files: &[EnvironmentFile]) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let mut variables = BTreeMap::new();
    for EnvironmentFile { path, optional } in files {
        let text = match text(path) {
            Ok(text) => text,
            Err(e) if *optional && e.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(EnvironmentError::Read { path: path.clone(), source }),
        };
        let read = parse(&text);
        let in_line = |(line, problem)| EnvironmentError::Line { path: path.clone(), line, problem };
        variables.extend(read.map_err(in_line)?);
    }
    Ok(variables)
}

fn text(path: &Path) -> io::Result<String> {
    let not_blocked = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    // A pipe would keep the keeper waiting for whoever writes to it.
    let file = OpenOptions::new().read(true).custom_flags(not_blocked).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        return Err(io::Error::other(format!("it is longer than {FILE_LIMIT_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// A line's number, and what is wrong there.
type Wrong = (usize, String);

fn parse(text: &str) -> Result<Vec<(String, String)>, Wrong> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut found = Vec::new();
    while let Some(variable) = reader.variable()? {
        found.push(variable);
    }
    Ok(found)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    /// Where the next character stands.
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    /// The next variable; none at the end.
    fn variable(&mut self) -> Result<Option<(String, String)>, Wrong> {
        loop {
            match self.rest.peek() {
                None => return Ok(None),
                Some('#' | ';') => while self.next().is_some_and(|c| c != '\n') {},
                Some(c) if c.is_whitespace() => drop(self.next()),
                Some(_) => break,
            }
        }
        let line = self.line;
        let mut name = String::new();
        loop {
            match self.next() {
                Some('=') => break,
                Some('\n') | None => {
                    return Err((line, "holds no `=`; write NAME=VALUE, or # before a comment".to_owned()));
                }
                Some(c) => name.push(c),
            }
        }
        let name = name.trim_end();
        check_name(name).map_err(|problem| (line, problem))?;
        let value = self.value(line)?;
        if value.contains('\0') {
            return Err((line, "must not hold a zero byte".to_owned()));
        }
        Ok(Some((name.to_owned(), value)))
    }

    fn value(&mut self, line: usize) -> Result<String, Wrong> {
        while self.rest.next_if(|&c| c.is_whitespace() && c != '\n').is_some() {}
        match self.rest.peek() {
            Some(&quote @ ('\'' | '"')) => {
                self.next();
                let value = self.quoted(quote, line)?;
                self.nothing_more()?;
                Ok(value)
            }
            _ => Ok(self.plain()),
        }
    }

    /// Up to the end of the line. White space at its end is not part of it, unless a backslash says so.
    fn plain(&mut self) -> String {
        let mut value = String::new();
        let mut whole = 0;
        while let Some(c) = self.next() {
            match c {
                '\n' => break,
                '\\' => match self.next() {
                    Some('\n') | None => (),
                    Some(c) => {
                        value.push(c);
                        whole = value.len();
                    }
                },
                c => {
                    value.push(c);
                    if !c.is_whitespace() {
                        whole = value.len();
                    }
                }
            }
        }
        value.truncate(whole);
        value
    }

    fn quoted(&mut self, quote: char, line: usize) -> Result<String, Wrong> {
        let mut value = String::new();
        loop {
            match self.next() {
                None => return Err((line, format!("the quote {quote} that begins here does not end"))),
                Some(c) if c == quote => return Ok(value),
                Some('\\') if quote == '"' => match self.next() {
                    Some('\n') | None => (),
                    Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                },
                Some(c) => value.push(c),
            }
        }
    }

    /// After a quoted value only white space may stand.
    fn nothing_more(&mut self) -> Result<(), Wrong> {
        let line = self.line;
        while let Some(c) = self.next() {
            match c {
                '\n' => return Ok(()),
                c if c.is_whitespace() => (),
                _ => return Err((line, "holds something after the closing quote".to_owned())),
            }
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !fits {
        return Err(
            "the name before `=` may hold only letters, digits and `_`, starts with no digit, and has no \
                    `export` before it"
                .to_owned(),
        );
    }
    if ["PORT", "NOTIFY_SOCKET"].contains(&name) || name.starts_with("DEPLOYINATOR_") {
        return Err(format!("{name} is set by Deployinator itself"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
