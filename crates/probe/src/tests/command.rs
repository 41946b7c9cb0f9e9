//! Probes with programs. Scripts write down the processes that they start.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::*;
use crate::words::shown;

/// A directory with a script in it.
struct Script {
    dir: TempDir,
    program: PathBuf,
}

impl Script {
    fn new(body: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("check");
        fs::write(&program, format!("#!/bin/sh\n{body}\n")).expect("a script is written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may be executed");
        Self { dir, program }
    }

    fn spec(&self, arguments: &[&str], timeout: Duration) -> ProbeSpec {
        let program = self.program.display().to_string();
        let argv = std::iter::once(program).chain(arguments.iter().map(ToString::to_string)).collect();
        ProbeSpec::Command { argv, timeout }
    }

    fn prober(&self) -> ServiceProber {
        let environment = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("PORT", "8080".to_owned()),
            ("DIR", self.dir.path().display().to_string()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let found = Surroundings { environment, account: None, working_directory: None };
        ServiceProber::new(move || Ok(found.clone()))
    }

    async fn probe(&self, timeout: Duration) -> Result<(), String> {
        let probed =
            time::timeout(PATIENCE, async { self.prober().probe(&self.spec(&[], timeout), address()).await });
        let said = probed
            .await
            .expect("a probe ends within its own time-out")
            .map_err(|failure| failure.to_string());
        said.map_err(|words| words.replace(&self.program.display().to_string(), "check"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits for the processes that the script wrote down, one a line.
    async fn pids(&self, count: usize) -> Vec<u32> {
        until("the script has written its processes down", || {
            let text = fs::read_to_string(self.file("pids")).unwrap_or_default();
            let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (pids.len() == count).then_some(pids)
        })
        .await
    }
}

fn address() -> SocketAddr {
    ([127, 0, 0, 1], 8080).into()
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(time::Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the system says of a process: none once it is gone, reaped.
fn state(pid: u32) -> Option<char> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

/// Waits until none of them runs. One that lost its parent may stay a zombie where nobody reaps; no child of ours does.
async fn gone(pids: &[u32]) {
    until(&format!("processes {pids:?} are gone"), || {
        pids.iter().all(|pid| matches!(state(*pid), None | Some('Z'))).then_some(())
    })
    .await;
}

fn children_of_ours() -> Vec<u32> {
    let is_ours = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parent.and_then(|text| text.trim().parse::<u32>().ok()) == Some(std::process::id())
    };
    let entries = fs::read_dir("/proc").expect("processes can be listed");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(is_ours).collect()
}

#[tokio::test]
async fn code_0_passes_with_the_environment_and_the_arguments_as_told() {
    let script = Script::new(r#"[ "$PORT/$1/$#/$HOME" = '8080/a b; exit 9/2/' ] || exit 7"#);
    let spec = script.spec(&["a b; exit 9", "second"], PATIENCE);
    assert_eq!(script.prober().probe(&spec, address()).await, Ok(()));
}

#[tokio::test]
async fn the_last_line_is_the_reason_whichever_output_it_is_on() {
    for (body, words) in [
        ("exit 3", "check exited with code 3"),
        ("echo one; echo 'queue is stuck'; echo; exit 1", "check exited with code 1: queue is stuck"),
        ("echo one; echo 'disk full' >&2; exit 1", "check exited with code 1: disk full"),
        ("printf 'no end of line'; exit 1", "check exited with code 1: no end of line"),
        (r"printf '\033[31mred\033[0m\n'; exit 1", "check exited with code 1: [31mred[0m"),
        ("echo dying; kill -9 $$", "check was killed by signal 9: dying"),
        ("yes x | head -c 300000; echo last; exit 1", "check exited with code 1: last"),
    ] {
        assert_eq!(Script::new(body).probe(PATIENCE).await, Err(words.into()), "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_run_says_why() {
    let prober = bare();
    let run = async |program: &str| {
        let spec = ProbeSpec::Command { argv: vec![program.to_owned()], timeout: PATIENCE };
        prober.probe(&spec, address()).await
    };
    // None of it is a word on the service.
    let unasked = |words: &str| Err(ProbeFailure::Unasked(words.into()));
    assert_eq!(run("/nowhere/check").await, unasked("run /nowhere/check: there is no such program"));
    assert_eq!(run("/dev/null").await, unasked("run /dev/null: it may not be executed"));
    let none = prober.probe(&ProbeSpec::Command { argv: vec![], timeout: PATIENCE }, address()).await;
    assert_eq!(none, unasked("no program was named"));
}

const HANGS: &str = "sleep 1000 & echo $! >> $DIR/pids; sh -c 'sleep 1000' & echo $! >> $DIR/pids; \
                     echo 'asks the database'; echo $$ >> $DIR/pids; wait";

#[tokio::test]
async fn one_that_hangs_is_killed_with_all_that_it_started() {
    let script = Script::new(HANGS);
    let mut timeout = Duration::from_millis(250);
    // On a busy machine it takes longer to get where it hangs.
    while fs::read_to_string(script.file("pids")).unwrap_or_default().lines().count() < 3 {
        timeout *= 2;
        assert!(timeout < PATIENCE, "the script never hangs");
        let _ = fs::remove_file(script.file("pids"));
        let failed = script.probe(timeout).await.expect_err("it hangs");
        assert!(failed.starts_with(&format!("check did not end within {}", shown(timeout))), "{failed}");
    }
    let pids = script.pids(3).await;
    gone(&pids).await;
    until("the program itself was reaped", || state(pids[2]).is_none().then_some(())).await;
    until("no child is left", || (!children_of_ours().contains(&pids[2])).then_some(())).await;
}

#[tokio::test]
async fn what_it_leaves_behind_in_its_group_is_killed_and_not_waited_for() {
    // The pipe stays open in what is left: its end must not be waited for.
    let script = Script::new("sleep 1000 & echo $! >> $DIR/pids; echo fine; exit 0");
    assert_eq!(script.probe(PATIENCE).await, Ok(()));
    gone(&script.pids(1).await).await;
}

#[tokio::test]
async fn one_that_fled_its_group_does_not_hold_the_answer_back() {
    let script = Script::new("setsid sleep 1000 & echo $! >> $DIR/pids; echo fled; exit 4");
    assert_eq!(script.probe(PATIENCE).await, Err("check exited with code 4: fled".into()));
    let fled = script.pids(1).await;
    let fled = rustix::process::Pid::from_raw(fled[0].cast_signed()).expect("a process");
    let _ = rustix::process::kill_process(fled, rustix::process::Signal::KILL);
}

#[tokio::test]
async fn there_is_never_more_than_one_at_a_time() {
    let script = Script::new("mkdir $DIR/one || exit 9; echo x >> $DIR/runs; sleep 0.05; rmdir $DIR/one");
    let (prober, spec) = (Arc::new(script.prober()), script.spec(&[], PATIENCE));
    let mut probes = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (prober, spec) = (prober.clone(), spec.clone());
        probes.spawn(async move { prober.probe(&spec, address()).await });
    }
    for answer in probes.join_all().await {
        assert_eq!(answer, Ok(()));
    }
    assert_eq!(fs::read_to_string(script.file("runs")).unwrap_or_default().lines().count(), 8);
}

#[tokio::test]
async fn one_that_is_given_up_leaves_nothing_behind_and_the_next_one_runs() {
    let script = Script::new(&format!("[ -e $DIR/pids ] && exit 0; {HANGS}"));
    let (prober, spec) = (Arc::new(script.prober()), script.spec(&[], PATIENCE));
    let asked = tokio::spawn({
        let (prober, spec) = (prober.clone(), spec.clone());
        async move { prober.probe(&spec, address()).await }
    });
    let pids = script.pids(3).await;
    asked.abort();
    gone(&pids).await;
    until("the program itself was reaped", || state(pids[2]).is_none().then_some(())).await;
    assert_eq!(prober.probe(&spec, address()).await, Ok(()));
}

#[tokio::test]
async fn it_runs_where_and_as_whom_it_is_told() {
    // Becoming who one is needs no rights.
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let script = Script::new(&format!("[ \"$(id -u):$(id -g):$PWD\" = {uid}:{gid}:/tmp ]"));
    let found = Surroundings {
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        account: Some(Account { user: "me".into(), uid, gid }),
        working_directory: Some("/tmp".into()),
    };
    let prober = ServiceProber::new(move || Ok(found.clone()));
    assert_eq!(prober.probe(&script.spec(&[], PATIENCE), address()).await, Ok(()));
}

#[tokio::test]
async fn what_is_not_there_to_be_given_is_the_reason() {
    let prober = ServiceProber::new(|| Err("there is no user www on this host".to_owned()));
    let spec = ProbeSpec::Command { argv: vec!["/bin/true".into()], timeout: PATIENCE };
    let failed = prober.probe(&spec, address()).await.map_err(|failure| failure.to_string());
    assert_eq!(failed, Err("run /bin/true: there is no user www on this host".into()));
}
