//! The client and the server together owe what every balancer owes.

use std::{sync::Mutex, time::Duration};

use crate::support::{self, Backend, Seen};
use localbalancer::{Client, Faults, Server};
use ports::{
    FaultKind, Target,
    balancer::contract::{self, Surroundings},
};
use tokio::task::JoinHandle;

struct World {
    server: Server,
    client: Client,
    backends: [Backend; 2],
    held: Mutex<Option<JoinHandle<Result<Seen, hyper::Error>>>>,
}

impl World {
    fn backend(&self, target: &Target) -> &Backend {
        self.backends.iter().find(|backend| backend.target == *target).unwrap()
    }
}

impl Surroundings for World {
    type Balancer = Client;

    fn balancer(&self) -> &Client {
        &self.client
    }

    fn targets(&self) -> [Target; 2] {
        [self.backends[0].target.clone(), self.backends[1].target.clone()]
    }

    async fn set_healthy(&self, target: &Target, healthy: bool) {
        self.backend(target).set_healthy(healthy);
    }

    async fn begin_request(&self, target: &Target) {
        let (backend, address) = (self.backend(target), self.server.data_address());
        let before = backend.requests();
        *self.held.lock().unwrap() = Some(tokio::spawn(support::get(address, "/hold")));
        support::wait_for("the request to arrive", || async { backend.requests() == before + 1 }).await;
    }

    async fn end_request(&self, target: &Target) {
        self.backend(target).let_go();
        let held = self.held.lock().unwrap().take().expect("a request was begun");
        let seen = held.await.unwrap().expect("a request in flight survives a drain");
        assert_eq!((seen.status.as_u16(), seen.text.as_str()), (200, target.host.as_str()));
    }

    async fn fail_next(&self, kind: FaultKind) {
        self.server.set_faults(match kind {
            FaultKind::Throttled => Faults { throttle_calls: 1, ..Faults::default() },
            FaultKind::Transient => Faults { error_calls: 1, ..Faults::default() },
            FaultKind::Permanent => Faults { refuse_calls: 1, ..Faults::default() },
        });
    }

    async fn lose_next_answer(&self) {
        self.server.set_faults(Faults { lose_answers: 1, ..Faults::default() });
    }

    async fn pass_time(&self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_client_obeys_the_contract() {
    let (server, client) = support::start(Duration::from_secs(30)).await;
    let backends = [Backend::start("h1").await, Backend::start("h2").await];
    let world = World { server, client, backends, held: Mutex::new(None) };
    contract::check(&world).await;
    assert_eq!(world.server.counters(support::GROUP).failed(), 0);
    world.server.shutdown().await;
}
