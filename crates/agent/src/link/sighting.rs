//! What a host looks like, told to whoever leads.

use std::{net::SocketAddr, sync::PoisonError};

use api::v1::{SightRequest, agent_client::AgentClient};
use tokio::time::timeout;
use tonic::Status;

use super::{ANSWER, Elsewhere, Link, VERSION};

impl Link {
    /// Tells the leader what this host looks like. A lost sighting is no harm: the next one is on its way.
    ///
    /// # Errors
    /// Nobody who was asked leads.
    pub async fn sight(&self, sightings: &[u8]) -> Result<(), Elsewhere> {
        let known = self.leader();
        let others = self.inner.ways.members.all().into_iter().filter(|address| Some(*address) != known);
        let others: Vec<SocketAddr> = if self.is_member() { Vec::new() } else { others.collect() };
        let mut last = Elsewhere::new(None, "no leader is known");
        for address in known.into_iter().chain(others) {
            let answer = match self.sight_at(address, sightings).await {
                // Whoever does not lead names the one that does.
                Err(Elsewhere { leader: Some(leader), .. }) if leader != address => {
                    self.sight_at(leader, sightings).await
                }
                answer => answer,
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(elsewhere) => last = elsewhere,
            }
        }
        Err(last)
    }

    async fn sight_at(&self, address: SocketAddr, sightings: &[u8]) -> Result<(), Elsewhere> {
        let cluster = self.inner.cluster.to_string();
        let sightings = sightings.to_vec();
        let request =
            SightRequest { version: VERSION, cluster, host: self.inner.host.to_string(), sightings };
        let mut client = AgentClient::new(self.inner.ways.channels.to(address));
        let answer = timeout(ANSWER, client.sight(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        answer.map_err(|status| self.elsewhere(address, &status))?;
        *self.inner.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        Ok(())
    }
}
