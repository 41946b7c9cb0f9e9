//! Parts of a status that tests ask for, and what the service itself answers.

use std::net::IpAddr;

use anyhow::{Context, Result};
use api::v1;
use demo::fleet::{SERVICE, SERVICE_PORT};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The service.
#[must_use]
pub fn web(status: &v1::StatusResponse) -> Option<&v1::ServiceStatus> {
    status.services.iter().find(|service| service.service == SERVICE)
}

/// One host of the service.
#[must_use]
pub fn host<'a>(status: &'a v1::StatusResponse, name: &str) -> Option<&'a v1::HostStatus> {
    web(status)?.hosts.iter().find(|host| host.host == name)
}

/// How far a host's change is; steady without one.
#[must_use]
pub fn phase_of(status: &v1::StatusResponse, name: &str) -> v1::HostPhase {
    let change = host(status, name).and_then(|host| host.change.as_ref());
    change.map_or(v1::HostPhase::Steady, v1::Change::phase)
}

/// A hold of this name.
#[must_use]
pub fn hold<'a>(status: &'a v1::StatusResponse, name: &str) -> Option<&'a v1::Hold> {
    web(status)?.holds.iter().find(|hold| hold.name == name)
}

/// How far the rollout under way is.
#[must_use]
pub fn rollout_word(status: &v1::StatusResponse) -> Option<v1::RolloutWord> {
    Some(web(status)?.active.as_ref()?.phase.as_ref()?.word())
}

/// The release that the service on a host says it is, over its own HTTP.
///
/// # Errors
/// It does not answer.
pub async fn answer(ip: IpAddr) -> Result<String> {
    answer_at(ip, SERVICE_PORT).await
}

/// The same, of the instance on one port.
///
/// # Errors
/// It does not answer.
pub async fn answer_at(ip: IpAddr, port: u16) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect((ip, port)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let text = asked.await.with_context(|| format!("ask the service on {ip}, port {port}"))?;
    let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(body.split(" on ").next().unwrap_or_default().to_owned())
}
