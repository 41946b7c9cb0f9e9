//! Finds and reads the files. Everything that is to be decided about them is decided in [`crate::parse`].

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{Instance, Loaded, Problem, instance};

/// Longest file that is read, in bytes.
const FILE_LIMIT_BYTES: u64 = 1024 * 1024;

/// Reads the configuration at `path`: one file, or a directory whose `*.toml` files are merged in the order of
/// their names. Hidden files are left out: editors leave them behind.
///
/// # Errors
/// Every problem found, of files that cannot be read and of what stands in those that can.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    for file in files(path).map_err(|problem| vec![problem])? {
        match read(&file) {
            Ok(text) => sources.push((file.display().to_string(), text)),
            Err(text) => problems.push(about(&file, text)),
        }
    }
    let origin = path.display().to_string();
    let placeholder = Instance::placeholder();
    let parsed = crate::parse_what_is_there(&origin, &sources, problems.is_empty(), Some(&placeholder));
    match parsed {
        Ok((settings, left)) => Ok(instance::loaded(settings, left, &origin, sources)),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

fn about(path: &Path, text: impl Into<String>) -> Problem {
    Problem { file: path.display().to_string(), line: None, key: String::new(), text: text.into() }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| about(path, format!("cannot be read: {error}"));
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if file.extension().is_some_and(|extension| extension == "toml") && !hidden {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(about(path, "holds no *.toml file"));
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    // Looked at before it is opened: to open a pipe would wait for a writer.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err("must be a regular file".into());
    }
    let mut bytes = Vec::new();
    let limited = fs::File::open(file).map_err(unreadable)?.take(FILE_LIMIT_BYTES + 1);
    { limited }.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        return Err(format!("must be at most {} KiB long", FILE_LIMIT_BYTES / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "must be UTF-8 text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &Path) -> String {
        let problems = load(path).expect_err("nothing was found wrong");
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        list.join("\n").replace(&path.display().to_string(), "DIR")
    }

    fn whole(path: &Path) -> crate::Settings {
        match load(path).expect("all is right") {
            Loaded::Whole(settings) => *settings,
            Loaded::Partial(partial) => panic!("{partial:?} leaves something to an instance"),
        }
    }

    fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
        fs::write(folder.join(name), text).expect("the test writes its own folder");
    }

    #[test]
    fn files_are_merged_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "10-base.toml", crate::EXAMPLE);
        write(folder.path(), "20-site.toml", "[store]\nkeep_releases = 7\n[agent]\nlog = \"debug\"\n");
        write(folder.path(), "15-between.toml", "[store]\nkeep_releases = 6\n");
        for ignored in [".30-hidden.toml", "40-notes.txt", "50-old.toml~"] {
            write(folder.path(), ignored, "this is no TOML");
        }
        let settings = whole(folder.path());
        assert_eq!(settings.store, crate::Store::Directory { keep_releases: 7 });
        assert_eq!(settings.agent.log, "debug");
        assert_eq!(settings.agent.host.as_str(), "h1");
    }

    #[test]
    fn one_file_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "all.conf", crate::EXAMPLE);
        assert_eq!(whole(&folder.path().join("all.conf")).cluster.name.as_str(), "demo");
    }

    #[test]
    fn files_that_cannot_be_read_are_named_along_with_the_problems_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "10-site.toml", "[agent]\nlog_format = \"xml\"\n");
        write(folder.path(), "20-latin.toml", b"# caf\xe9\n");
        write(folder.path(), "30-long.toml", "#".repeat(1024 * 1024 + 1));
        fs::create_dir(folder.path().join("40-dir.toml")).unwrap();
        assert_eq!(
            problems(folder.path()),
            "DIR/20-latin.toml: must be UTF-8 text\n\
             DIR/30-long.toml: must be at most 1024 KiB long\n\
             DIR/40-dir.toml: must be a regular file\n\
             DIR/10-site.toml: agent.log_format: must be \"text\" or \"json\""
        );
    }

    #[test]
    fn an_empty_or_missing_directory_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(problems(folder.path()), "DIR: holds no *.toml file");
        let gone = folder.path().join("gone");
        assert!(problems(&gone).starts_with("DIR: cannot be read: No such file"), "{}", problems(&gone));
    }
}
