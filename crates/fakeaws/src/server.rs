//! The stand-in as a thing to start and to stop.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use crate::{
    api,
    control::{self, client::Control},
    metadata,
    plane::{carry, forward},
    refusal::Refusal,
    shared::Shared,
    wire::{BalancerKind, ListenerView, Settings},
};

/// Where the doors are, and what is behind them.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where all the APIs listen. Port 0: any free one.
    pub api: SocketAddr,
    /// Where the metadata service for all instances listens, which tells them apart by the address that they call from, or
    /// by a path that begins with their id. Port 0: any free one.
    pub metadata: SocketAddr,
    /// Where the control door listens. Port 0: any free one.
    pub control: SocketAddr,
    /// What holds for the whole account.
    pub settings: Settings,
}

impl Default for Options {
    /// Free ports on loopback.
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { api: loopback, metadata: loopback, control: loopback, settings: Settings::default() }
    }
}

/// A stand-in that runs. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    api: SocketAddr,
    metadata: SocketAddr,
    control: SocketAddr,
}

impl Server {
    /// Starts one on the current runtime.
    ///
    /// # Errors
    /// When one of the addresses cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let shared = Shared::new(options.settings);
        let apis = TcpListener::bind(options.api).await?;
        let door = TcpListener::bind(options.control).await?;
        let (api, control) = (apis.local_addr()?, door.local_addr()?);
        let metadata = listen_for_metadata(&shared, options.metadata, None).await?;
        let state = shared.clone();
        shared.tasks.listen(apis, move |request, from| api::answer(state.clone(), request, from));
        let state = shared.clone();
        shared.tasks.listen(door, move |request, _| control::answer(state.clone(), request));
        shared.tasks.spawn(shared.clone().tick());
        Ok(Self { shared, api, metadata, control })
    }

    /// Where EC2, ELBv2, STS and S3 are: what `AWS_ENDPOINT_URL` is set to.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Where the metadata service of all instances is: what `AWS_EC2_METADATA_SERVICE_ENDPOINT` is set to where instances
    /// have addresses of their own to call from. See [`Control::open_metadata`] for where they have not.
    #[must_use]
    pub fn metadata_url(&self) -> String {
        format!("http://{}", self.metadata)
    }

    /// Where the control door is.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// A client of the control door.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(&self.control_url())
    }

    /// Stops listening and checking, and lets requests in flight go on for up to 2 s.
    pub async fn shutdown(self) {
        self.shared.tasks.end().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.tasks.stop();
    }
}

/// Opens a listener of a load balancer.
pub(crate) async fn listen(
    shared: &Arc<Shared>,
    balancer: &str,
    address: SocketAddr,
    group: &str,
) -> io::Result<Result<ListenerView, Refusal>> {
    let socket = TcpListener::bind(address).await?;
    let address = socket.local_addr()?;
    let made = shared.change(|cloud, _| {
        let listener = cloud.make_listener(balancer, address, group)?;
        Ok((cloud.balancer(&listener.balancer)?.kind, listener.arn))
    });
    Ok(made.map(|(kind, arn)| {
        let (state, own) = (shared.clone(), Arc::<str>::from(arn.as_str()));
        match kind {
            BalancerKind::Application => shared.tasks.listen(socket, move |request, from| {
                forward::forward(state.clone(), own.clone(), request, from)
            }),
            BalancerKind::Network => shared.tasks.spawn(carry::carry(state, own, socket)),
        }
        ListenerView { arn, address }
    }))
}

/// Opens a metadata service: of one instance, or of all.
pub(crate) async fn listen_for_metadata(
    shared: &Arc<Shared>,
    address: SocketAddr,
    own: Option<Arc<str>>,
) -> io::Result<SocketAddr> {
    let socket = TcpListener::bind(address).await?;
    let address = socket.local_addr()?;
    let state = shared.clone();
    shared
        .tasks
        .listen(socket, move |request, from| metadata::answer(state.clone(), own.clone(), request, from));
    Ok(address)
}
