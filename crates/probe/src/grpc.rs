//! The standard health service of gRPC, without TLS, over a connection of its own.

use std::{error::Error, io, net::SocketAddr, time::Duration};

use ports::prober::ProbeFailure;
use tokio::time;
use tonic::{Code, Status, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::words::{reason, shown};

/// Most that is taken of the other side's own words, in characters.
const WORDS_LIMIT: usize = 200;

/// Asks for the health of `service`, or of the whole server.
pub(crate) async fn check(
    service: Option<&str>,
    timeout: Duration,
    address: SocketAddr,
) -> Result<(), ProbeFailure> {
    let deadline = time::Instant::now() + timeout;
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| ProbeFailure::Missed(format!("connect: {error}")))?;
    let connected = time::timeout_at(deadline, endpoint.connect()).await;
    let no_connection = || ProbeFailure::Missed(format!("connect: no connection within {}", shown(timeout)));
    let channel = connected
        .map_err(|_| no_connection())?
        .map_err(|error| ProbeFailure::Missed(format!("connect: {}", cause(&error))))?;

    let request = HealthCheckRequest { service: service.unwrap_or_default().to_owned() };
    let mut client = HealthClient::new(channel);
    let answered = time::timeout_at(deadline, client.check(request)).await;
    let no_answer = || ProbeFailure::Missed(format!("no answer within {}", shown(timeout)));
    let about =
        service.map_or_else(|| "gRPC health".to_owned(), |service| format!("gRPC health of {service}"));
    match answered.map_err(|_| no_answer())? {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            ServingStatus::NotServing => Err(ProbeFailure::Missed(format!("{about}: not serving"))),
            ServingStatus::ServiceUnknown => Err(ProbeFailure::Missed(format!("{about}: no such service"))),
            ServingStatus::Unknown => Err(ProbeFailure::Missed(format!("{about}: unknown"))),
        },
        Err(status) => Err(ProbeFailure::Missed(format!("{about}: {}", refused(&status)))),
    }
}

fn refused(status: &Status) -> String {
    match status.code() {
        Code::NotFound => "no such service".to_owned(),
        Code::Unimplemented => "the server does not offer grpc.health.v1.Health".to_owned(),
        code => {
            let said: String = status.message().chars().take(WORDS_LIMIT).collect();
            if said.is_empty() { format!("{code:?}") } else { format!("{code:?}, {said}") }
        }
    }
}

/// The system's reason where there is one among the causes.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return reason(error);
        }
        at = error.source();
    }
    error.to_string()
}
