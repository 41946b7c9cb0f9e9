//! The agent from start to stop.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use config::Settings;
use futures_util::FutureExt as _;
use model::forming::Record;
use supervisor::cgroup::Delegation;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    channels::Channels,
    core::{Cell, Parts},
    durable,
    forming::{Driver, FormingError, Knock},
    grpc::{self, Backend, ListenError, Pictures},
    leader::Reign,
    members::Members,
    outside::{self, Aws, Inventories, OutsideError},
    preflight,
    room::Room,
    state::{StateDir, StateError},
    stores::Stores,
};

/// How long callers may still get their answers once the agent stops.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why an agent ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The address cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The release store cannot be used.
    #[error("open the release store")]
    Store(#[source] ports::Fault),
    /// What the configuration asks for outside of this host cannot be used.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// The cluster could not be formed or joined.
    #[error(transparent)]
    Forming(#[from] FormingError),
    /// What was agreed about forming cannot be read.
    #[error("remember what was agreed about forming the cluster")]
    Record(#[from] crate::durable::FileError),
    /// The gRPC server failed.
    #[error("serve")]
    Serve(#[from] tonic::transport::Error),
    /// Something that the agent cannot go on without failed.
    #[error("{0}")]
    Failed(String),
}

/// How an agent ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// Its host has gone over to another cluster: it is to begin again, from what is on its disk.
    BeginAgain {
        /// The limit of open files that this run was given, where it raised its own.
        open_files: Option<u64>,
    },
}

/// Runs the agent until `asked` says so. The services that it started run on (P8).
///
/// # Errors
/// See [`RunError`].
pub async fn run(settings: Settings, asked: impl Future<Output = ()>) -> Result<Ended, RunError> {
    if settings.transport.insecure {
        warn!("transport.insecure = true: traffic between agents is neither encrypted nor authenticated");
    }
    for warning in preflight::warnings(&settings) {
        warn!("{warning}");
    }
    let open_files = grpc::raise_open_files();
    let settings = Arc::new(settings);
    let state = Arc::new(StateDir::open(&settings.agent.state_dir, &settings.agent.host)?);
    let listener = grpc::bind(settings.agent.listen)?;
    let (failed, mut failure) = watch::channel(None);
    let stop = CancellationToken::new();
    let (knocks, knocked) = mpsc::channel(64);
    let ends = Ends { failed, stop: stop.clone(), knocks: knocks.clone() };
    let aws = outside::open(&settings).await?;
    let parts = parts(settings.clone(), state, open_files, aws, ends)?;
    let cell = Cell::new(parts);
    let (driver, forming) = Driver::open(cell.clone(), knocked)?;
    driver.resume().await?;
    let backend = Backend { cell: cell.clone(), knocks, forming, pictures: Pictures::default() };
    info!(host = %settings.agent.host, listen = %settings.agent.listen, "the agent runs");

    let closing = CancellationToken::new();
    let mut asked = pin!(asked);
    let mut server = tokio::spawn(grpc::serve(listener, backend, closing.clone()));
    let result = tokio::select! {
        () = &mut asked => Ok(Ended::Asked),
        ended = driver.run() => ended.map(|()| Ended::BeginAgain { open_files }).map_err(RunError::from),
        ended = &mut server => Err(match ended {
            Ok(Err(error)) => RunError::from(error),
            ended => RunError::Failed(format!("the gRPC server ended: {ended:?}")),
        }),
        _ = failure.wait_for(Option::is_some) => Err(RunError::Failed("a service's host machine ended".into())),
    };
    let reason = failure.borrow().clone();
    let result = reason.map_or(result, |reason| Err(RunError::Failed(reason)));
    if let Err(error) = &result {
        error!(error = %ports::fault::Chain(error), "the agent ends");
    }
    stop.cancel();
    // Leadership is handed over while this agent still answers its peers.
    cell.shutdown().await;
    closing.cancel();
    // What was asked is answered; streams to watchers end only when they are cut.
    if !server.is_finished() && timeout(LAST_ANSWERS, &mut server).await.is_err() {
        server.abort();
    }
    let result = match result {
        Ok(ended) => Ok(last_word(ended, asked)),
        failed => failed,
    };
    match &result {
        Ok(Ended::BeginAgain { .. }) => info!("begins again; the services run on"),
        _ => info!("stopped; the services run on"),
    }
    result
}

/// Whoever asks an agent to stop while it goes over to another cluster is heard: it does not begin again.
fn last_word(ended: Ended, asked: Pin<&mut impl Future<Output = ()>>) -> Ended {
    match ended {
        Ended::BeginAgain { .. } if asked.now_or_never().is_some() => Ended::Asked,
        ended => ended,
    }
}

/// What ends the agent, or has it begin again.
struct Ends {
    failed: watch::Sender<Option<String>>,
    stop: CancellationToken,
    knocks: mpsc::Sender<Knock>,
}

fn parts(
    settings: Arc<Settings>,
    state: Arc<StateDir>,
    open_files: Option<u64>,
    aws: Option<Aws>,
    ends: Ends,
) -> Result<Parts, RunError> {
    let Ends { failed, stop, knocks } = ends;
    let record: Record = durable::read(&state.forming())?.unwrap_or_default();
    let store = Stores::open(&settings.store, &state).map_err(RunError::Store)?;
    let members = Members::open(state.peers());
    let channels = Channels::of(settings.agent.listen.ip());
    let cgroups = Delegation::find().and_then(|found| found.enable().map(|()| found));
    match &cgroups {
        Ok(found) => info!(below = %found.base().display(), "each service gets a cgroup"),
        Err(error) => info!(%error, "services get no cgroups"),
    }
    Ok(Parts {
        cgroups,
        proposer: format!("{}/{}", settings.agent.host, Uuid::new_v4().simple()),
        state,
        inventory: Arc::new(Inventories::new(&settings.inventory, aws.as_ref())),
        aws,
        settings,
        members,
        channels,
        reign: Reign::default(),
        store: Arc::new(store),
        room: Room::default(),
        open_files,
        predecessors: record.predecessors,
        knocks,
        stop,
        failed,
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_agent_that_is_asked_to_stop_while_it_goes_over_does_not_begin_again() {
        let over = Ended::BeginAgain { open_files: None };
        let (ask, mut asked) = oneshot::channel::<()>();
        let mut stop = pin!(async {
            let _ = (&mut asked).await;
        });
        assert_eq!(last_word(over, stop.as_mut()), over);
        ask.send(()).unwrap();
        assert_eq!(last_word(over, stop.as_mut()), Ended::Asked);
        assert_eq!(last_word(Ended::Asked, stop.as_mut()), Ended::Asked, "it is not asked again");
    }
}
