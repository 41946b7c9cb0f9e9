//! `cargo xtask conformance`: compares fakeaws with moto, an independent stand-in for AWS. Needs Python with venv and pip, and
//! moto from where pip gets its packages; what is missing is a failure, never a skip.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::{
    build,
    metadata::Metadata,
    setup::{self, PYTHON_WORKS},
    shell::{Shell, describe},
    verify::Verdict,
};

/// The binary that compares.
const BINARY: &str = "deployinator-conformance";
/// What moto is, with all that it needs: versions and hashes.
const REQUIREMENTS: &str = "crates/fakeaws/conformance/requirements.txt";
/// Python, as it is called, unless the environment says otherwise.
const PYTHON: &str = "python3";

/// Sees to moto, builds what compares, and becomes it; returns only when that does not work.
pub(crate) fn conformance(shell: &Shell, args: &[OsString]) -> Result<ExitCode> {
    let Some(mut command) = command(shell)? else { return Ok(ExitCode::FAILURE) };
    let error = command.args(args).exec();
    Err(error).with_context(|| format!("run {}", describe(&command)))
}

/// The same as a check.
pub(crate) fn check(shell: &Shell) -> Result<Verdict> {
    let Some(command) = command(shell)? else {
        return Ok(Verdict::Failed { report: "cargo said above why it was not built".to_owned() });
    };
    let ran = shell.run(command)?;
    if !ran.succeeded {
        return Ok(Verdict::Failed { report: ran.unseen });
    }
    Ok(Verdict::Passed { notes: ran.output.lines().last().map(str::to_owned).into_iter().collect() })
}

/// Sees to Python: to the one that the environment names, or to that of the system, which is installed where it is missing.
pub(crate) fn prepare(shell: &Shell) -> Result<()> {
    match named() {
        Some(python) => try_out(shell, &python),
        None => setup::ensure("conformance"),
    }
}

fn named() -> Option<PathBuf> {
    std::env::var_os("PYTHON").map(PathBuf::from)
}

fn try_out(shell: &Shell, python: &Path) -> Result<()> {
    run(
        shell,
        Command::new(python).args(["-c", PYTHON_WORKS]),
        "Python 3.10 or newer, with venv and pip, is needed (on Debian: python3-venv); name another one in PYTHON",
    )
}

/// What compares; nothing when cargo has already said why it was not built.
fn command(shell: &Shell) -> Result<Option<Command>> {
    let target = Metadata::of_workspace(shell)?.target_directory;
    let python = moto(shell, &target.join("conformance").join("moto"))?;
    let Some(binary) = build::executable_of_workspace(shell, BINARY)? else { return Ok(None) };
    let mut command = Command::new(binary);
    command.arg("--python").arg(python).current_dir(shell.root());
    Ok(Some(command))
}

/// The Python that has moto, made where there is none yet or other versions are wanted by now.
fn moto(shell: &Shell, folder: &Path) -> Result<PathBuf> {
    let wanted = shell.root().join(REQUIREMENTS);
    let wanted_text = fs::read_to_string(&wanted).with_context(|| format!("read {}", wanted.display()))?;
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted_text) {
        return Ok(python);
    }
    let system = named().unwrap_or_else(|| PYTHON.into());
    try_out(shell, &system)?;
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    eprintln!("conformance: installing moto below {}; once, for about 20 s", folder.display());
    run(shell, Command::new(&system).args(["-m", "venv"]).arg(folder), "make a virtual environment")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(&wanted);
    run(shell, &mut pip, "install moto with pip")?;
    fs::write(&installed, wanted_text).with_context(|| format!("write {}", installed.display()))?;
    Ok(python)
}

fn run(shell: &Shell, command: &mut Command, what: &str) -> Result<()> {
    let output = command.current_dir(shell.root()).output();
    let output = output.with_context(|| format!("{what}: start {:?}", command.get_program()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}\n{}", output.status, said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_installed_has_a_version_and_a_hash() {
        let text = include_str!("../../fakeaws/conformance/requirements.txt");
        let packages: Vec<&str> = text.split_inclusive("\n").filter(|line| !line.starts_with(' ')).collect();
        assert!(packages.len() > 10 && packages.iter().all(|line| line.contains("==")), "{packages:?}");
        assert!(text.contains("\nmoto==5.2.5 \\\n"));
        for package in text.split("==").skip(1) {
            assert!(package.contains("--hash=sha256:"), "{package}");
        }
    }

    #[test]
    fn a_python_that_is_not_there_is_a_failure_with_what_is_needed() {
        let shell = Shell::new(false).unwrap();
        let error = run(&shell, &mut Command::new("no-such-python"), "Python is needed").unwrap_err();
        assert!(format!("{error:#}").starts_with("Python is needed: start \"no-such-python\""), "{error:#}");
        let error = run(&shell, Command::new("sh").args(["-c", "echo no venv >&2; exit 1"]), "needed");
        assert!(format!("{:#}", error.unwrap_err()).contains("no venv"));
    }
}
