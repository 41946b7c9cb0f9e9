//! The demo's migration: it leaves one line per run in a file, so that runs can be counted.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

/// Appends one line to `file`, in one write, and makes it last. The number of lines is the number of runs.
///
/// # Errors
/// When the file cannot be written.
pub fn record(file: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes())?;
    file.sync_all()
}

/// How many runs `file` tells of; none when there is no file.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn runs(file: &Path) -> io::Result<usize> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("runs");
        assert_eq!(runs(&file).unwrap(), 0);
        record(&file, "r1 on h1").unwrap();
        record(&file, "two\nlines").unwrap();
        assert_eq!(runs(&file).unwrap(), 2);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "r1 on h1\ntwo lines\n");
    }
}
