//! Where releases are built, signed and published, as a CI job would: a Nix store of its own, and a cache that it copies to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use demo::{
    programs::Programs,
    releases::{self, Recipe},
};

/// Settings for Nix that hold wherever a lab runs it.
pub(crate) const NIX_CONFIG: &str =
    "sandbox = false\nexperimental-features = nix-command\nbuild-users-group =\nsubstituters =\n";

/// A CI job's machine.
#[derive(Debug)]
pub(crate) struct Builder {
    dir: PathBuf,
    service: PathBuf,
    /// What hosts have to trust.
    pub(crate) public_key: String,
}

impl Builder {
    /// One with an empty store and a new key.
    ///
    /// # Errors
    /// Nix is missing or fails.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let dir = dir.join("builder");
        fs::create_dir_all(dir.join("nix/store")).context("make the builder's store")?;
        let programs = Programs::find()?;
        let mut builder = Self { dir, service: programs.service, public_key: String::new() };
        let (secret, public) = (builder.dir.join("secret.key"), builder.dir.join("public.key"));
        builder.run(&format!(
            "nix-store --generate-binary-cache-key lab-1 {} {}",
            secret.display(),
            public.display()
        ))?;
        builder.public_key = fs::read_to_string(&public).context("read the public key")?.trim().to_owned();
        Ok(builder)
    }

    /// Builds a release; nobody else has it yet.
    ///
    /// # Errors
    /// Nix fails.
    pub(crate) fn build(&self, recipe: &Recipe) -> Result<String> {
        let runs = self.dir.join("migrations");
        let made = releases::write(&self.dir, recipe, &self.service, &runs).context("write a release")?;
        let (name, made) = (&recipe.name, made.display());
        let expression = format!(
            "derivation {{ name = \"{name}\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
             args = [ \"-c\" \"PATH=/usr/bin:/bin; cp -r {made} $out\" ]; }}"
        );
        let path = self.run(&format!("nix-build --no-out-link -E '{expression}'"))?;
        Ok(path.trim().to_owned())
    }

    /// Signs it, so that hosts take it.
    ///
    /// # Errors
    /// Nix fails.
    pub(crate) fn sign(&self, path: &str) -> Result<()> {
        self.run(&format!("nix store sign -k {}/secret.key -r {path}", self.dir.display())).map(drop)
    }

    /// Copies it to the cache.
    ///
    /// # Errors
    /// Nix fails.
    pub(crate) fn publish(&self, path: &str, cache: &Path) -> Result<()> {
        self.run(&format!("nix copy --to 'file://{}?compression=zstd' {path}", cache.display())).map(drop)
    }

    /// How often migrations were run.
    pub(crate) fn migrations(&self) -> usize {
        releases::runs(&self.dir.join("migrations"))
    }

    /// Runs a line of shell where `/nix` is the builder's.
    fn run(&self, line: &str) -> Result<String> {
        let script = format!("set -e; mkdir -p /nix; mount --bind {}/nix /nix; {line}", self.dir.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]).stdin(Stdio::null());
        command.env("HOME", &self.dir).env("NIX_CONFIG", NIX_CONFIG);
        let said = command.output().context("run the builder")?;
        if !said.status.success() {
            bail!("{line}: {}: {}", said.status, String::from_utf8_lossy(&said.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }
}
