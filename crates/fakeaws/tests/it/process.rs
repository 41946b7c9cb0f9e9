//! The stand-in as a process.

use std::process::Stdio;

use fakeaws::{Control, NewInstance};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

#[tokio::test]
async fn it_says_where_its_doors_are_and_ends_when_it_is_told_to() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deployinator-fakeaws"));
    command.args(["--region", "us-east-1", "--settings", r#"{"account":"999999999999","pending_ms":0}"#]);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("start it");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("a line with its doors");
    let doors: serde_json::Value = serde_json::from_str(&line).unwrap();
    for door in ["api", "metadata", "control"] {
        assert!(doors[door].as_str().unwrap().starts_with("http://127.0.0.1:"), "{line}");
    }
    let control = Control::new(doors["control"].as_str().unwrap());
    let made = control.launch(&NewInstance::default()).await.unwrap();
    assert_eq!((made.zone.as_str(), made.state.as_str()), ("us-east-1a", "running"));
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn what_it_cannot_use_is_said_and_fails() {
    let ran = Command::new(env!("CARGO_BIN_EXE_deployinator-fakeaws"))
        .args(["--settings", r#"{"regions":"x"}"#])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && said.contains("read --settings: unknown field `regions`"), "{said}");
}
