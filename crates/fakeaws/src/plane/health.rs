//! Health checks: asks a target again and again, as long as it is registered.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use localbalancer::http::send;
use tokio::net::TcpStream;

use crate::{
    cloud::{Check, Failure, Plan, Stay},
    shared::Shared,
    wire::CheckBy,
};

/// Checks one target until its stay is over.
pub(crate) async fn check(shared: Arc<Shared>, group: String, stay: Stay) {
    loop {
        let now = shared.now();
        let plan = shared.lock().cloud().plan(&group, stay, now);
        let pause = match plan {
            Plan::End => return,
            Plan::Wait(time) => time,
            Plan::Idle(time) => {
                shared.checked(&group, stay, None);
                time
            }
            Plan::Check(check) => {
                let asked = tokio::time::timeout(check.timeout, ask(&check)).await;
                shared.checked(&group, stay, Some(asked.unwrap_or(Err(Failure::Timeout))));
                check.interval
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn ask(check: &Check) -> Result<(), Failure> {
    match check.by {
        CheckBy::Tcp => TcpStream::connect(check.address).await.map(drop).map_err(|_| Failure::Broken),
        CheckBy::Http => {
            let request = Request::get(&check.path)
                .header("host", check.address.to_string())
                .header("user-agent", "ELB-HealthChecker/2.0")
                .header("connection", "close")
                .body(Empty::<Bytes>::new())
                .map_err(|_| Failure::Broken)?;
            let answer = send(check.address, request).await.map_err(|_| Failure::Broken)?;
            let code = answer.response.status().as_u16();
            let (lowest, highest) = check.healthy;
            if (lowest..=highest).contains(&code) { Ok(()) } else { Err(Failure::Code(code)) }
        }
    }
}
