//! What a push names, as the agents are told it: an absolute path. Which of them it is to be, a directory or a store path, is for the agent's
//! store to say.

use std::{
    fs,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use api::Exit;
use serde_json::Value;

use crate::failure::Failure;

/// Most that is read from standard input, in bytes.
const INPUT_LIMIT: u64 = 16 << 20;
/// How many links a source may be away.
const LINKS: usize = 40;

/// The source that this argument means, as an absolute path.
pub(super) fn of(argument: &Path) -> Result<String, Failure> {
    let failed = |why: String| {
        let next = "push a directory with an executable bin/serve, a Nix store path, or a link to one";
        Failure::new(Exit::Rejected, format!("push {}: {why}", argument.display()), Some(next))
    };
    if argument == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().take(INPUT_LIMIT).read_to_string(&mut text);
        return read.map_err(|error| error.to_string()).and_then(|_| built(&text)).map_err(|why| {
            let next = "pipe the output of `nix build --json` of one package into it";
            Failure::new(Exit::Rejected, format!("push what is on standard input: {why}"), Some(next))
        });
    }
    let found = absolute(argument).map_err(failed)?;
    found.into_os_string().into_string().map_err(|_| failed("the path is not valid UTF-8".into()))
}

/// The agents' working directory is not ours, and our links are not theirs. A store path need not be on this machine, and is not followed: it
/// is what it is.
fn absolute(argument: &Path) -> Result<PathBuf, String> {
    let mut path = argument.to_owned();
    for _ in 0..LINKS {
        if is_store_path(&path) {
            return Ok(path);
        }
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // No link.
            Err(_) => break,
        }
    }
    argument.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => "no such directory".to_owned(),
        _ => error.to_string(),
    })
}

/// Whether it looks like `…/HASH-NAME`, from the root on.
fn is_store_path(path: &Path) -> bool {
    let is_letter = |byte: u8| b"0123456789abcdfghijklmnpqrsvwxyz".contains(&byte);
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
    let plain = !path.to_string_lossy().ends_with('/');
    plain
        && path.is_absolute()
        && name
            .is_some_and(|(hash, name)| hash.len() == 32 && !name.is_empty() && hash.bytes().all(is_letter))
}

/// The one store path that `nix build --json` says it has built.
fn built(json: &str) -> Result<String, String> {
    if json.trim().is_empty() {
        return Err("there is nothing".into());
    }
    let value: Value = serde_json::from_str(json)
        .map_err(|error| format!("it is no JSON of `nix build --json`: {error}"))?;
    let Value::Array(built) = value else { return Err("it is no list, as `nix build --json` prints".into()) };
    let [one] = built.as_slice() else {
        return Err(format!("it names {} packages, and one release can be pushed", built.len()));
    };
    let outputs = one.get("outputs").and_then(Value::as_object);
    let outputs = outputs.ok_or("it says nothing of outputs, as `nix build --json` does")?;
    let out = match outputs.get("out") {
        None if outputs.len() == 1 => outputs.values().next(),
        out => out,
    };
    let out = out.and_then(Value::as_str);
    out.map(str::to_owned).ok_or_else(|| {
        let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
        format!("it has no output \"out\", only {}: push the store path of one of them", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const STORE_PATH: &str = "/nix/store/mxgjd2a4zyan9szh09sv6kyxp21zyv6h-web-1.2";

    #[test]
    fn a_store_path_need_not_be_here_and_a_link_to_one_is_followed_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("result");
        symlink(STORE_PATH, &link).unwrap();
        let further = folder.path().join("further");
        symlink("result", &further).unwrap();
        for argument in [Path::new(STORE_PATH), &link, &further] {
            assert_eq!(of(argument).unwrap(), STORE_PATH, "{}", argument.display());
        }
        let inside = format!("{STORE_PATH}/bin");
        assert!(absolute(Path::new(&inside)).is_err(), "what is inside is none, and is not here");
    }

    #[test]
    fn a_directory_is_made_absolute_and_its_links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("release");
        fs::create_dir(&real).unwrap();
        let link = folder.path().join("current");
        symlink("release", &link).unwrap();
        assert_eq!(of(&link).unwrap(), real.to_str().unwrap());
        assert_eq!(absolute(&folder.path().join("none")), Err("no such directory".to_owned()));
        symlink("round", folder.path().join("round")).unwrap();
        assert!(absolute(&folder.path().join("round")).is_err(), "a link to itself ends");
    }

    #[test]
    fn one_output_of_one_package_is_what_nix_has_built() {
        let of =
            |outputs: &str| built(&format!(r#"[{{"drvPath":"/nix/store/x.drv","outputs":{{{outputs}}}}}]"#));
        let out = format!(r#""out":"{STORE_PATH}""#);
        assert_eq!(of(&out).unwrap(), STORE_PATH);
        assert_eq!(of(&format!(r#"{out},"dev":"/nix/store/y""#)).unwrap(), STORE_PATH);
        assert_eq!(of(&format!(r#""bin":"{STORE_PATH}""#)).unwrap(), STORE_PATH);
        assert!(of(r#""bin":"/a","dev":"/b""#).unwrap_err().contains("only bin, dev"));
        assert!(built("").unwrap_err().contains("nothing"));
        assert!(built("error: x").unwrap_err().contains("no JSON"));
        assert!(built("[]").unwrap_err().contains("0 packages"));
        assert!(built("{}").unwrap_err().contains("no list"));
    }
}
