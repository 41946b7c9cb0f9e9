use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time,
};

use super::*;

mod command;
mod grpc;

/// Longest wait of a test for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service that reads one request a connection, and then does as it is told. Ends with the test.
struct Service {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    /// The request that it was sent.
    async fn request(&mut self) -> String {
        let request = time::timeout(PATIENCE, self.requests.recv()).await;
        request.expect("a request arrives in time").expect("the service runs")
    }
}

/// `None` keeps the connection open and says nothing.
async fn service(answer: Option<&'static str>) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let (sender, requests) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            let _ = sender.send(request);
            match answer {
                Some(answer) => {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                None => silent.push(stream),
            }
        }
    });
    Service { address, requests, task }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).expect("a probe sends ASCII")
}

fn http(path: &str, timeout: Duration) -> ProbeSpec {
    ProbeSpec::Http { path: path.into(), status: 200, headers: BTreeMap::new(), timeout }
}

/// A prober without surroundings: for all but programs.
fn bare() -> ServiceProber {
    ServiceProber::new(|| Ok(Surroundings::default()))
}

async fn probe(spec: &ProbeSpec, address: SocketAddr) -> Result<(), String> {
    let probed = time::timeout(PATIENCE, bare().probe(spec, address)).await;
    probed.expect("a probe ends within its own time-out").map_err(|failure| failure.to_string())
}

/// An address where nothing listens: the port was free a moment ago, and is not given out again at once.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a free port")
}

#[tokio::test]
async fn the_status_wanted_passes_and_the_request_is_as_told() {
    let mut service = service(Some("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let spec = ProbeSpec::Http {
        path: "/healthz?deep=1".into(),
        status: 204,
        headers: BTreeMap::from([("Host".into(), "www.example.org".into()), ("X-Probe".into(), "1".into())]),
        timeout: PATIENCE,
    };
    assert_eq!(probe(&spec, service.address).await, Ok(()));
    let request = service.request().await.to_lowercase();
    assert!(request.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{request}");
    for line in ["host: www.example.org", "x-probe: 1", "connection: close"] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "no {line} in {request}");
    }
    assert_eq!(request.matches("host:").count(), 1, "{request}");
}

#[tokio::test]
async fn without_a_host_header_the_address_is_sent() {
    let mut service = service(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    assert_eq!(probe(&http("/", PATIENCE), service.address).await, Ok(()));
    let request = service.request().await.to_lowercase();
    assert!(request.contains(&format!("\r\nhost: {}\r\n", service.address)), "{request}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_an_answer() {
    let service = service(Some("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nthe beg")).await;
    assert_eq!(probe(&http("/", PATIENCE), service.address).await, Ok(()));
}

#[tokio::test]
async fn every_probe_has_a_connection_of_its_own() {
    let mut service = service(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    for _ in 0..3 {
        assert_eq!(probe(&http("/", PATIENCE), service.address).await, Ok(()));
        service.request().await;
    }
}

#[tokio::test]
async fn every_failure_has_words_for_people() {
    for (answer, words) in [
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "GET /healthz answered 503"),
        ("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\n\r\n", "GET /healthz answered 302"),
        ("", "GET /healthz: the connection was closed before an answer"),
        ("HTTP/1.1 20", "GET /healthz: the connection was closed before an answer"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "GET /healthz: the answer is not HTTP"),
    ] {
        let mut service = service(Some(answer)).await;
        let probed = probe(&http("/healthz", PATIENCE), service.address).await;
        assert_eq!(probed, Err(words.into()), "after {answer:?}");
        service.request().await;
        assert!(service.requests.is_empty(), "a redirect was followed, or a failure tried again");
    }
}

#[tokio::test]
async fn a_silent_service_is_left_when_the_time_is_over() {
    let service = service(None).await;
    let timeout = Duration::from_millis(50);
    assert_eq!(
        probe(&http("/healthz", timeout), service.address).await,
        Err("no answer within 50 ms".into())
    );
}

#[tokio::test]
async fn a_service_that_drips_is_left_when_the_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let dripping = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let head = std::iter::once(&b"HTTP/1.1 200 OK\r\nx: "[..]).chain(std::iter::repeat(&b"x"[..]));
        let mut pace = time::interval(Duration::from_millis(5));
        // Every byte is progress, and none of them ends the head.
        for part in head {
            if stream.write_all(part).await.is_err() {
                break;
            }
            pace.tick().await;
        }
    });
    let failure = probe(&http("/", Duration::from_millis(60)), address).await;
    dripping.abort();
    assert_eq!(failure, Err("no answer within 60 ms".into()));
}

#[tokio::test]
async fn a_connection_is_all_that_tcp_wants() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    assert_eq!(probe(&ProbeSpec::Tcp { timeout: PATIENCE }, address).await, Ok(()));
}

#[tokio::test]
async fn where_nobody_listens_the_connection_is_refused() {
    let refused = Err("connect: connection refused".to_owned());
    assert_eq!(probe(&ProbeSpec::Tcp { timeout: PATIENCE }, nobody().await).await, refused);
    assert_eq!(probe(&http("/", PATIENCE), nobody().await).await, refused);
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up() {
    // A queue of one that nobody empties: further connections wait for ever.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("a bound address");
    let timeout = Duration::from_millis(100);
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = time::timeout(timeout, TcpStream::connect(address)).await {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue never fills");
    }
    let words = Err("connect: no connection within 100 ms".to_owned());
    assert_eq!(probe(&ProbeSpec::Tcp { timeout }, address).await, words);
    assert_eq!(probe(&http("/", timeout), address).await, words);
}

#[tokio::test]
async fn what_cannot_be_sent_is_a_failure_not_a_panic() {
    let address = nobody().await;
    for path in ["no slash", "noslash", "", "/a b"] {
        let failure = probe(&http(path, PATIENCE), address).await.expect_err("it was sent");
        assert!(failure.starts_with(&format!("GET {path}: ")), "{failure}");
    }
    let headers = BTreeMap::from([("bad name".to_owned(), "x".to_owned())]);
    let spec = ProbeSpec::Http { path: "/".into(), status: 200, headers, timeout: PATIENCE };
    let failure = probe(&spec, address).await.expect_err("it was sent");
    assert!(failure.starts_with("GET /: "), "{failure}");
}
