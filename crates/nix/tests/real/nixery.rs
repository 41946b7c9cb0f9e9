//! A Nix store, a key and a cache of one test, for whoever tests with Nix itself. What is built is published and taken out of the store again, so that staging has to fetch it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;

/// Builds a release without anything of nixpkgs. A dependency is named by its path, and is not copied.
const RELEASE: &str = r#"
{ name, serve, migrate, pad, dep ? null }:
derivation {
  inherit name serve migrate pad;
  system = builtins.currentSystem;
  builder = "/bin/sh";
  dep = if dep == null then "" else builtins.storePath dep;
  args = [ "-c" ''
    set -e; PATH=/usr/bin:/bin
    mkdir -p $out/bin
    printf '#!/bin/sh\n# %s needs %s\n%s\n' "$name" "$dep" "$serve" > $out/bin/serve
    if [ -n "$migrate" ]; then printf '#!/bin/sh\n%s\n' "$migrate" > $out/bin/migrate; fi
    chmod +x $out/bin/*
    if [ "$pad" -gt 0 ]; then dd if=/dev/urandom of=$out/pad bs=1M count=$pad 2>/dev/null; fi
  '' ];
}
"#;

/// What a release of a test is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recipe {
    /// What `bin/serve` does, for the shell.
    pub(crate) serve: String,
    /// What `bin/migrate` does; without it there is none.
    pub(crate) migrate: String,
    /// Megabytes of noise in it.
    pub(crate) pad: usize,
    /// What it needs, by its store path.
    pub(crate) needs: Option<String>,
}

/// A Nix store, a key and a cache of one test; gone with it.
pub(crate) struct Nixery {
    dir: TempDir,
    made: AtomicUsize,
    pub(crate) key: String,
}

/// What is in a store is read-only, and is not removed then but by root; a disk that was mounted there is in the way as well.
impl Drop for Nixery {
    fn drop(&mut self) {
        let nix = self.path("nix");
        let quiet = |program: &str, option: &str| {
            let mut command = Command::new(program);
            command.args(option.split(' ')).arg(&nix).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = command.status();
        };
        quiet("umount", "--lazy");
        quiet("chmod", "-R u+w");
    }
}

impl Nixery {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("deployinator-nix-").tempdir().expect("a directory");
        for below in ["nix/store", "home", "etc", "cache"] {
            fs::create_dir_all(dir.path().join(below)).expect("the test's own directory");
        }
        fs::write(dir.path().join("release.nix"), RELEASE).expect("the test's own file");
        let mut nixery = Self { dir, made: AtomicUsize::new(0), key: String::new() };
        nixery.key = nixery.new_key("cache-1");
        nixery
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn store_dir(&self) -> PathBuf {
        self.path("nix/store")
    }

    pub(crate) fn cache(&self) -> String {
        format!("file://{}", self.path("cache").display())
    }

    /// A new key of this name; returns the public one. The secret one is in a file of its name.
    pub(crate) fn new_key(&self, name: &str) -> String {
        let (secret, public) = (self.path(&format!("{name}.sec")), self.path(&format!("{name}.pub")));
        let _ = fs::remove_file(&secret);
        self.run("nix-store", &["--generate-binary-cache-key", name, text(&secret), text(&public)]);
        fs::read_to_string(public).expect("the key").trim().to_owned()
    }

    /// A command of Nix on this world's store.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.path("home")).env("NIX_CONF_DIR", self.path("etc")).env("NIX_REMOTE", "");
        command.env("NIX_STORE_DIR", self.store_dir()).env("NIX_STATE_DIR", self.path("nix/var/nix"));
        command.env("NIX_LOG_DIR", self.path("nix/var/log/nix"));
        if program == "nix" {
            command.args(["--extra-experimental-features", "nix-command"]);
        }
        command
    }

    pub(crate) fn try_run(&self, program: &str, args: &[&str]) -> Output {
        let output = self.command(program).args(args).output();
        output.unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask setup nix` installs it"))
    }

    /// Runs a command of Nix on this world's store, and returns what it prints.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.try_run(program, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {said}");
        String::from_utf8(output.stdout).expect("store paths").trim().to_owned()
    }

    /// Builds a release with content of its own, and leaves it in the store.
    pub(crate) fn build(&self, recipe: &Recipe) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let expression = self.path("release.nix");
        let (name, pad) = (format!("web-{number}"), recipe.pad.to_string());
        let mut args = vec!["--no-out-link", text(&expression), "--option", "sandbox", "false"];
        args.extend(["--option", "build-users-group", "", "--option", "substituters", ""]);
        args.extend(["--argstr", "name", &name, "--argstr", "pad", &pad]);
        args.extend(["--argstr", "serve", &recipe.serve, "--argstr", "migrate", &recipe.migrate]);
        if let Some(needs) = &recipe.needs {
            args.extend(["--argstr", "dep", needs]);
        }
        self.run("nix-build", &args)
    }

    /// Signs a path and all that it needs.
    pub(crate) fn sign(&self, path: &str, key: &str) {
        let secret = self.path(&format!("{key}.sec"));
        self.run("nix", &["store", "sign", "-k", text(&secret), "-r", path]);
    }

    /// Puts a path and all that it needs into the cache.
    pub(crate) fn publish(&self, path: &str) {
        let cache = format!("{}?compression=none&write-nar-listing=true", self.cache());
        self.run("nix", &["copy", "--to", &cache, path]);
    }

    /// Takes everything out of the store that nothing needs.
    pub(crate) fn forget(&self) {
        self.run("nix-store", &["--gc"]);
    }

    /// A release that is in the cache, signed, and not in the store.
    pub(crate) fn offer(&self, recipe: &Recipe) -> String {
        let path = self.build(recipe);
        self.sign(&path, "cache-1");
        self.publish(&path);
        self.forget();
        assert!(!Path::new(&path).exists(), "{path} is still here");
        path
    }

    pub(crate) fn is_valid(&self, path: &str) -> bool {
        self.try_run("nix-store", &["--check-validity", path]).status.success()
    }

    /// Changes a file of a store path behind Nix's back.
    pub(crate) fn tamper(&self, path: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let (bin, serve) = (Path::new(path).join("bin"), Path::new(path).join("bin/serve"));
        for place in [&bin, &serve] {
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("the test owns it");
        }
        fs::write(&serve, "something else").expect("the test owns it");
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the test's own path")
}
