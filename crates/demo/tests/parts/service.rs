//! The program behind the demo's releases, as a supervisor runs it.

use std::{
    net::SocketAddr,
    process::{Output, Stdio},
    time::Duration,
};

use demo::service::migrate;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::support::wait_for;

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-service"));
    command.env_clear().env("PORT", "0").env("DEPLOYINATOR_RELEASE", "r7").env("DEPLOYINATOR_HOST", "h3");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Starts the program, and reads from its output where it listens.
async fn serve(command: &mut Command) -> (Child, SocketAddr) {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let reading = BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).await;
    assert!(reading.unwrap() > 0, "it ended before it listened");
    let address = line.trim().strip_prefix("r7 listens on ").unwrap().parse().unwrap();
    (child, address)
}

/// One GET over a connection of its own; its answer has begun.
async fn begin(address: SocketAddr, path: &str) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
        .send_request(Request::get(path).header("host", "t").body(Empty::<Bytes>::new()).unwrap())
        .await
        .unwrap()
}

async fn text(response: Response<Incoming>) -> Result<String, hyper::Error> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec()).unwrap())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = begin(address, path).await;
    (response.status().as_u16(), text(response).await.unwrap())
}

fn terminate(child: &Child) {
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

async fn end(command: &mut Command) -> Output {
    tokio::time::timeout(Duration::from_secs(30), command.output()).await.expect("it ends by itself").unwrap()
}

#[tokio::test]
async fn it_says_who_it_is() {
    let (_child, address) = serve(&mut command()).await;
    assert_eq!(get(address, "/").await, (200, "r7 on h3\n".to_owned()));
    assert_eq!(get(address, "/healthz").await.0, 200);
    assert_eq!(get(address, "/slow?ms=20").await, (200, "....r7 on h3\n".to_owned()));
    assert_eq!(get(address, "/slow?ms=-1").await.0, 400);
    assert_eq!(get(address, "/nowhere").await.0, 404);
}

#[tokio::test]
async fn it_finishes_what_is_in_flight_when_it_is_told_to_stop() {
    let (mut child, address) = serve(&mut command()).await;
    let slow = begin(address, "/slow?ms=1500").await;
    terminate(&child);
    wait_for("it to accept no more", || async { TcpStream::connect(address).await.err() }).await;
    assert!(child.try_wait().unwrap().is_none(), "it left its caller");
    assert_eq!(text(slow).await.unwrap(), "....r7 on h3\n");
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn it_does_not_wait_for_ever_for_a_caller() {
    let (mut child, address) = serve(&mut command()).await;
    let slow = begin(address, "/slow?ms=600000").await;
    terminate(&child);
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
    assert!(text(slow).await.is_err(), "a broken answer looked whole");
}

#[tokio::test]
async fn it_is_bad_as_told() {
    let (_child, address) = serve(command().args(["--bad", "health"])).await;
    assert_eq!(get(address, "/healthz").await.0, 503);
    assert_eq!(get(address, "/").await.0, 200);
    let (_child, address) = serve(command().env("DEMO_UNHEALTHY", "1")).await;
    assert_eq!(get(address, "/healthz").await.0, 503);
    let ended = end(command().args(["--bad", "exit", "--start-ms", "10"])).await;
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "demo-service: r7 was built to exit\n");
}

#[tokio::test]
async fn it_stops_at_once_while_it_does_not_listen_yet() {
    let mut child = command().args(["--start-ms", "600000"]).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id().unwrap());
    wait_for("it to have a handler for SIGTERM", || async {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
        (u64::from_str_radix(caught, 16).unwrap() & (1 << 14) != 0).then_some(())
    })
    .await;
    terminate(&child);
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_migration_is_counted_whether_it_fails_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("runs");
    let migrate = |fail: &'static [&'static str]| {
        let mut command = command();
        command.args(["migrate", "--count-file"]).arg(&file).args(fail);
        command
    };
    assert_eq!(end(&mut migrate(&[])).await.status.code(), Some(0));
    let failed = end(&mut migrate(&["--fail"])).await;
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("migration of r7"), "{failed:?}");
    assert_eq!(end(migrate(&[]).env("DEMO_MIGRATE_FAIL", "1")).await.status.code(), Some(1));
    assert_eq!(migrate::runs(&file).unwrap(), 3);
}

#[tokio::test]
async fn it_closes_its_port_and_runs_on_if_it_is_told_so() {
    let (mut child, address) = serve(command().args(["--close-ms", "10"])).await;
    wait_for("the port to close", || async { TcpStream::connect(address).await.err().map(drop) }).await;
    assert_eq!(child.try_wait().unwrap(), None);
}

#[tokio::test]
async fn it_heeds_no_sigterm_if_it_is_told_so() {
    let (mut child, address) = serve(command().arg("--ignore-term")).await;
    terminate(&child);
    for _ in 0..10 {
        assert_eq!(get(address, "/").await.0, 200);
    }
    assert_eq!(child.try_wait().unwrap(), None);
}

/// Ends every process that carries this in its environment.
struct Marked(String);

impl Marked {
    fn pids(&self) -> Vec<i32> {
        let carries = |pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|pair| pair == self.0.as_bytes())
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(carries).collect()
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

#[tokio::test]
async fn it_goes_to_the_background_and_leaves_others_behind_if_it_is_told_so() {
    let host = format!("fork-{}", std::process::id());
    let marked = Marked(format!("DEPLOYINATOR_HOST={host}"));
    let mut command = command();
    command.env("DEPLOYINATOR_HOST", &host).env("PATH", std::env::var_os("PATH").unwrap());
    let mut child = command.args(["--fork", "--grandchildren", "2"]).spawn().unwrap();
    let status = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    let address = line.trim().strip_prefix("r7 listens on ").unwrap().parse().unwrap();
    assert_eq!(get(address, "/").await, (200, format!("r7 on {host}\n")));
    assert_eq!(marked.pids().len(), 3, "the service and two that it started");
}

#[tokio::test]
async fn it_writes_as_much_as_it_is_told_to_and_says_when_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let mut command = command();
    command.args(["--spew-bytes", "100000", "--ready-ms", "10"]).env("NOTIFY_SOCKET", &path);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = tokio::spawn(async move {
        let mut written = 0;
        while written < 100_000 {
            written += lines.next_line().await.unwrap().expect("it writes on").len() + 1;
        }
        lines
    });
    for wanted in ["STATUS=warming up", "READY=1\nSTATUS="] {
        let mut bytes = [0; 100];
        let heard = tokio::time::timeout(Duration::from_secs(30), socket.recv(&mut bytes)).await;
        assert_eq!(std::str::from_utf8(&bytes[..heard.expect("it speaks").unwrap()]).unwrap(), wanted);
    }
    let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
    drop(read.expect("it writes so much").unwrap());
}
