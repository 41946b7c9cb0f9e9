//! The files of the repository, read once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Files that are read; of all others only the path is known.
const READ: [&str; 8] = ["md", "nix", "proto", "rs", "sh", "tf", "toml", "tpl"];

/// Folders with a dot that are ours; the others belong to tools.
const DOTTED: [&str; 3] = [".cargo", ".ci", ".config"];

/// What is in the repository, by paths from its root.
#[derive(Debug, Default)]
pub(super) struct Tree {
    texts: BTreeMap<PathBuf, String>,
    paths: BTreeSet<PathBuf>,
}

impl Tree {
    /// Reads the tree, without what was built.
    pub(super) fn read(root: &Path, built: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.descend(root, Path::new(""), built)?;
        Ok(tree)
    }

    fn descend(&mut self, root: &Path, folder: &Path, built: &Path) -> Result<()> {
        let full = root.join(folder);
        self.paths.insert(folder.to_owned());
        for entry in fs::read_dir(&full).with_context(|| format!("list {}", full.display()))? {
            let entry = entry.with_context(|| format!("list {}", full.display()))?;
            let kind = entry.file_type().with_context(|| format!("look at {}", entry.path().display()))?;
            let name = entry.file_name();
            let path = folder.join(&name);
            if kind.is_dir() {
                let name = name.to_string_lossy();
                let is_of_a_tool = name.starts_with('.') && !DOTTED.contains(&&*name);
                if !is_of_a_tool && name != "target" && entry.path() != built {
                    self.descend(root, &path, built)?;
                }
            } else if kind.is_file() {
                let is_read = path.extension().is_some_and(|end| READ.iter().any(|read| end == *read));
                if is_read || path.starts_with(".ci") {
                    let text = fs::read_to_string(entry.path());
                    let text = text.with_context(|| format!("read {}", entry.path().display()))?;
                    self.texts.insert(path.clone(), text);
                }
                self.paths.insert(path);
            }
        }
        Ok(())
    }

    /// The text of one file, if it is among those that are read.
    pub(super) fn text(&self, path: &Path) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// All files that are read and end in `.extension`.
    pub(super) fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&Path, &str)> {
        self.texts().filter(move |(path, _)| path.extension().is_some_and(|end| end == extension))
    }

    /// All files that are read.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Whether there is such a file or folder.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }

    /// A tree for a test, of these files and the folders around them.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let texts: BTreeMap<_, _> =
            files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect();
        let paths = texts.keys().flat_map(|path: &PathBuf| path.ancestors().map(Path::to_owned)).collect();
        Self { texts, paths }
    }
}
