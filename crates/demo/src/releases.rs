//! Makes releases of the demo's service: directories with `bin/serve` and `bin/migrate`.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// How a release misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Bad {
    /// It never gets healthy.
    Health,
    /// It exits at once.
    Exit,
    /// Its migration fails.
    Migrate,
}

/// What a release is made of.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Makes it another release than the others.
    pub name: String,
    /// How it misbehaves.
    pub bad: Option<Bad>,
    /// Time from its start until it listens, in milliseconds.
    pub start_ms: u64,
    /// Whether it brings `bin/migrate`.
    pub migrates: bool,
    /// Time that its migration takes, in milliseconds.
    pub migrate_ms: u64,
    /// So much is added to its size, so that it takes longer to stage and to verify.
    pub ballast_bytes: u64,
    /// Shell commands that `bin/serve` begins with.
    pub first: String,
}

impl Recipe {
    /// A good release with a migration.
    #[must_use]
    pub fn good(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            bad: None,
            start_ms: 100,
            migrates: true,
            migrate_ms: 0,
            ballast_bytes: 0,
            first: String::new(),
        }
    }
}

/// Writes a release below `dir`. `service` is the program of the demo's service; each run of the migration adds a line to `runs`.
///
/// # Errors
/// A file cannot be written.
pub fn write(dir: &Path, recipe: &Recipe, service: &Path, runs: &Path) -> io::Result<PathBuf> {
    let root = dir.join(&recipe.name);
    fs::create_dir_all(root.join("bin"))?;
    let service = service.display();
    let bad = match recipe.bad {
        Some(Bad::Health) => " --bad health",
        Some(Bad::Exit) => " --bad exit",
        Some(Bad::Migrate) | None => "",
    };
    script(
        &root.join("bin/serve"),
        &format!("{}\nexec '{service}' --start-ms {}{bad}", recipe.first, recipe.start_ms),
    )?;
    if recipe.migrates {
        let fail = if recipe.bad == Some(Bad::Migrate) { " --fail" } else { "" };
        script(
            &root.join("bin/migrate"),
            &format!(
                "exec '{service}' migrate --count-file '{}' --take-ms {}{fail}",
                runs.display(),
                recipe.migrate_ms
            ),
        )?;
    }
    if 0 < recipe.ballast_bytes {
        File::create(root.join("ballast"))?.set_len(recipe.ballast_bytes)?;
    }
    fs::write(root.join("NAME"), format!("{}\n", recipe.name))?;
    Ok(root)
}

fn script(path: &Path, line: &str) -> io::Result<()> {
    fs::write(path, format!("#!/bin/sh\n{line}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// How often migrations were run, as they counted themselves.
#[must_use]
pub fn runs(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}
