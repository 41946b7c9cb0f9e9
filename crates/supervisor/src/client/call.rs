//! One request over one connection.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use crate::{
    protocol::{Hello, LINE_LIMIT_BYTES, Reply, Request, VERSION, Welcome},
    socket::Reach,
};

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refused {
    /// The keeper went away, or was not there. Another try may find one.
    ForNow(io::Error),
    /// No try will find one that answers.
    Finally(io::Error),
}

/// Connects to the keeper that listens in `dir`.
pub(super) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let reach = Reach::new(dir)?;
    UnixStream::connect(reach.path()).await
}

/// Asks once. Returns which program the keeper runs, and its answer.
pub(super) async fn exchange(
    stream: UnixStream,
    request: &Request,
    log_limit_bytes: u64,
) -> Result<(PathBuf, Reply), Refused> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut lines = line(&Hello { version: VERSION, log_limit_bytes })?;
    lines.extend(line(request)?);
    write.write_all(&lines).await.map_err(Refused::ForNow)?;
    let program = match hear(&mut read).await? {
        Welcome::Ready { program, .. } => program,
        Welcome::Refused { offered, spoken } => {
            let problem = format!("the keeper speaks version {spoken}, this program speaks {offered}");
            return Err(Refused::Finally(io::Error::new(io::ErrorKind::Unsupported, problem)));
        }
    };
    Ok((program, hear(&mut read).await?))
}

fn line(message: &impl serde::Serialize) -> Result<Vec<u8>, Refused> {
    let mut line = serde_json::to_vec(message).map_err(|e| Refused::Finally(e.into()))?;
    line.push(b'\n');
    if line.len() as u64 > LINE_LIMIT_BYTES {
        return Err(Refused::Finally(io::Error::new(io::ErrorKind::InvalidInput, "the request is too long")));
    }
    Ok(line)
}

async fn hear<T: serde::de::DeserializeOwned>(
    read: &mut (impl AsyncBufReadExt + Unpin),
) -> Result<T, Refused> {
    let mut line = Vec::new();
    read.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line).await.map_err(Refused::ForNow)?;
    if !line.ends_with(b"\n") {
        return Err(Refused::ForNow(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the keeper closed the connection",
        )));
    }
    serde_json::from_slice(&line).map_err(|e| Refused::Finally(e.into()))
}
