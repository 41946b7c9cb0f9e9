//! Something on a web server, in plaintext: for tests, and for networks that are trusted.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use ports::{
    Channel, Fault, FaultKind,
    channel::{LIMIT_BYTES, Look, Said, Web},
};
use tokio::{net::TcpStream, time::timeout};

/// Longest wait, from the connection to the last byte.
const LIMIT: Duration = Duration::from_secs(5);

/// Something on a web server. Each look is a connection of its own: there is one every ten seconds.
#[derive(Debug, Clone)]
pub struct Http {
    web: Web,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no answer within {} s", LIMIT.as_secs())]
    Late,
    #[error("connect to {0}")]
    Connect(String, #[source] std::io::Error),
    #[error("ask {0}")]
    Ask(String, #[source] Box<dyn Error + Send + Sync>),
    #[error("it answered {0}: name the address that it sends others to")]
    Moved(u16),
    #[error("it answered {0}")]
    Status(u16),
}

impl Failed {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Status(429) => FaultKind::Throttled,
            Self::Moved(_) | Self::Status(400..=499) => FaultKind::Permanent,
            _ => FaultKind::Transient,
        }
    }
}

impl Http {
    /// At this address.
    #[must_use]
    pub fn new(web: &Web) -> Self {
        Self { web: web.clone() }
    }

    async fn get(&self, known: Option<&str>) -> Result<Look, Failed> {
        let Web { authority, path } = &self.web;
        let to = (self.web.host(), self.web.port().unwrap_or(80));
        let stream = TcpStream::connect(to).await;
        let stream = stream.map_err(|error| Failed::Connect(authority.clone(), error))?;
        let broken = |error: hyper::Error| Failed::Ask(authority.clone(), error.into());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::get(path.as_str())
            .header(header::HOST, authority)
            .header(header::USER_AGENT, "deployinator")
            .header(header::CONNECTION, "close");
        let request = match known {
            Some(tag) => request.header(header::IF_NONE_MATCH, tag),
            None => request,
        };
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Failed::Ask(authority.clone(), error.into()))?;
        let asked = async { read(sender.send_request(request).await.map_err(broken)?, authority).await };
        tokio::pin!(asked, connection);
        tokio::select! {
            biased;
            look = &mut asked => look,
            // Its end is the answer's end too, which says more.
            _ = &mut connection => asked.await,
        }
    }
}

/// What an answer comes to.
async fn read(response: Response<Incoming>, authority: &str) -> Result<Look, Failed> {
    match response.status() {
        StatusCode::OK => (),
        StatusCode::NOT_MODIFIED => return Ok(Look::Same),
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Look::Nothing),
        status if status.is_redirection() => return Err(Failed::Moved(status.as_u16())),
        status => return Err(Failed::Status(status.as_u16())),
    }
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failed::Ask(authority.to_owned(), error.into()))?;
        bytes.extend(frame.into_data().unwrap_or_default());
        if LIMIT_BYTES < bytes.len() {
            bytes.truncate(LIMIT_BYTES + 1);
            break;
        }
    }
    Ok(Look::Says(Said { bytes, tag }))
}

impl Channel for Http {
    async fn look(&self, known: Option<&str>) -> Result<Look, Fault> {
        let answered = timeout(LIMIT, self.get(known)).await.unwrap_or(Err(Failed::Late));
        let attempted = || format!("read http://{}{}", self.web.authority, self.web.path);
        answered.map_err(|error| Fault::new(error.kind(), attempted(), error))
    }
}

#[cfg(test)]
mod tests {
    use ports::fault::Chain;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request after the other with these, and says what was asked.
    async fn serve(answers: Vec<String>) -> (Http, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let served = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                asked.push(String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (Http::new(&Web { authority, path: "/web?a=b".into() }), served)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn it_asks_by_the_tag_that_it_was_given() {
        let (channel, served) = serve(vec![
            answer("200 OK", "etag: \"1\"\r\n", "/a\n"),
            "HTTP/1.1 304 Not Modified\r\n\r\n".into(),
            answer("404 Not Found", "", "none"),
            answer("200 OK", "", ""),
        ])
        .await;
        let said = Said { bytes: b"/a\n".to_vec(), tag: Some("\"1\"".into()) };
        assert_eq!(channel.look(None).await.unwrap(), Look::Says(said));
        assert_eq!(channel.look(Some("\"1\"")).await.unwrap(), Look::Same);
        assert_eq!(channel.look(None).await.unwrap(), Look::Nothing);
        assert_eq!(channel.look(None).await.unwrap(), Look::Says(Said { bytes: Vec::new(), tag: None }));
        let asked = served.await.unwrap();
        assert!(asked[0].starts_with("GET /web?a=b HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(!asked[0].contains("if-none-match") && asked[1].contains("if-none-match: \"1\"\r\n"));
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_and_classified() {
        let (channel, _served) = serve(vec![
            answer("301 Moved Permanently", "location: /x\r\n", ""),
            answer("403 Forbidden", "", "no"),
            answer("503 Unavailable", "", ""),
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n/a".into(),
        ])
        .await;
        for (kind, words) in [
            (FaultKind::Permanent, "it answered 301: name the address"),
            (FaultKind::Permanent, "it answered 403"),
            (FaultKind::Transient, "it answered 503"),
            (FaultKind::Transient, "ask 127.0.0.1"),
        ] {
            let fault = channel.look(None).await.unwrap_err();
            assert_eq!(fault.kind, kind, "{}", Chain(&fault));
            assert!(Chain(&fault).to_string().contains(words), "{}", Chain(&fault));
        }
    }

    #[tokio::test]
    async fn what_is_long_is_cut() {
        let long = "a".repeat(LIMIT_BYTES * 3);
        let (channel, _served) = serve(vec![answer("200 OK", "", &long)]).await;
        let Look::Says(said) = channel.look(None).await.unwrap() else { panic!("it says nothing") };
        assert_eq!(said.bytes.len(), LIMIT_BYTES + 1);
    }

    #[tokio::test]
    async fn nobody_there_is_a_fault() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        drop(listener);
        let fault = Http::new(&Web { authority, path: "/".into() }).look(None).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
    }
}
