//! Connections to other agents: one for each address, made when needed, given up when silent or when nobody uses it.
//!
//! They leave from the address that the agent listens on, where that is a specific one: on a host with several addresses the others
//! and their firewalls then see the one that is known of this host.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a connection may be silent before it is probed, and then before it is given up.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// A connection that nobody asked for in this time is given up. In a large fleet each agent talks to each other one while it forms, and to
/// very few of them afterwards.
const UNUSED: Duration = Duration::from_secs(20);

/// How much of a stream that has a connection of its own may be on its way to a reader that does not read, in bytes.
const WINDOW_BYTES: u32 = 64 << 10;

/// Connections to other agents. Clones share them.
#[derive(Debug, Clone)]
pub struct Channels {
    listen: IpAddr,
    open: Arc<Mutex<HashMap<SocketAddr, (Channel, Instant)>>>,
}

impl Default for Channels {
    fn default() -> Self {
        Self::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

impl Channels {
    /// Those of an agent that listens on `listen`.
    #[must_use]
    pub fn of(listen: IpAddr) -> Self {
        Self { listen, open: Arc::default() }
    }

    /// The connection to an agent; it is made with the first call on it, and again after it broke.
    #[must_use]
    pub fn to(&self, address: SocketAddr) -> Channel {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever still has a clone of one that is given up here goes on with it.
        open.retain(|other, (_, used)| *other == address || now.duration_since(*used) < UNUSED);
        let (channel, used) = open.entry(address).or_insert_with(|| (connect(self.endpoint(address)), now));
        *used = now;
        channel.clone()
    }

    /// A connection to an agent for one stream alone. One whose reader is slow would keep the others on its connection waiting.
    #[must_use]
    pub fn alone(&self, address: SocketAddr) -> Channel {
        let windows = self
            .endpoint(address)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        connect(windows)
    }

    /// How to reach an agent, before anything is said of time.
    #[must_use]
    pub fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).expect("a socket address makes a valid URI");
        endpoint.local_address(source(self.listen, address.ip()))
    }
}

/// The address to call from: the one that is listened on, unless it is any, or one from which `to` cannot be reached.
fn source(listen: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let reaches = listen.is_ipv4() == to.is_ipv4() && listen.is_loopback() == to.is_loopback();
    (reaches && !listen.is_unspecified()).then_some(listen)
}

fn connect(endpoint: Endpoint) -> Channel {
    endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_from_the_address_that_is_listened_on_where_it_can_reach_the_other() {
        for (listen, to, expected) in [
            ("10.0.0.1", "10.0.0.2", Some("10.0.0.1")),
            ("127.0.0.5", "127.0.0.6", Some("127.0.0.5")),
            ("0.0.0.0", "10.0.0.2", None),
            ("::", "10.0.0.2", None),
            ("127.0.0.1", "10.0.0.2", None),
            ("10.0.0.1", "127.0.0.1", None),
            ("fd00::1", "10.0.0.2", None),
            ("fd00::1", "fd00::2", Some("fd00::1")),
        ] {
            let found = source(listen.parse().unwrap(), to.parse().unwrap());
            assert_eq!(found, expected.map(|ip| ip.parse().unwrap()), "{listen} to {to}");
        }
    }
}
