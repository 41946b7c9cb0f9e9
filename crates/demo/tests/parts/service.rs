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
