//! Connections to other agents: one for each address, made when needed, given up when silent.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a connection may be silent before it is probed, and then before it is given up.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// Connections to other agents. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    open: Arc<Mutex<HashMap<SocketAddr, Channel>>>,
}

impl Channels {
    /// The connection to an agent; it is made with the first call on it, and again after it broke.
    #[must_use]
    pub fn to(&self, address: SocketAddr) -> Channel {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(address).or_insert_with(|| connect(address)).clone()
    }
}

fn connect(address: SocketAddr) -> Channel {
    let endpoint =
        Endpoint::from_shared(format!("http://{address}")).expect("a socket address makes a valid URI");
    endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy()
}
