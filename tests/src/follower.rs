//! A watch that goes on at another agent when one is gone.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use api::v1::{self, watch_response::Item};
use demo::fleet::SERVICE;
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use crate::{asks::client, stage::PATIENCE};

/// Follows one rollout, at any of some agents; goes on at the next one where it was.
pub struct Follower {
    addresses: Vec<SocketAddr>,
    at: usize,
    rollout: u64,
    after: Option<v1::Cursor>,
    stream: Option<Streaming<v1::WatchResponse>>,
    /// Every event, in the order of arrival.
    pub events: Vec<v1::Event>,
    /// Every gap that was told.
    pub gaps: usize,
    /// How often it went on at another agent.
    pub resumed: usize,
    /// Every name of a hold that was seen in a picture.
    pub holds: std::collections::BTreeSet<String>,
}

impl Follower {
    /// Follows `rollout`; connects when something is waited for.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, rollout: u64, after: Option<v1::Cursor>) -> Self {
        let (events, holds) = Default::default();
        Self { addresses, at: 0, rollout, after, stream: None, events, gaps: 0, resumed: 0, holds }
    }

    /// The agent that it follows at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[self.at % self.addresses.len()]
    }

    /// Waits for an event that `picks` takes.
    ///
    /// # Errors
    /// The deadline passed, or the rollout ended before.
    pub async fn until(&mut self, what: &str, picks: impl Fn(&v1::Event) -> bool) -> Result<v1::Event> {
        let look = async {
            loop {
                match self.next().await? {
                    Item::Event(event) if picks(&event) => return Ok(event),
                    Item::Ended(ended) => bail!("the rollout ended, and never {what}: {ended:#?}"),
                    _ => (),
                }
            }
        };
        let found = timeout(PATIENCE, look).await;
        found.unwrap_or_else(|_| bail!("waited {PATIENCE:?} until {what}; seen: {}", self.seen()))
    }

    /// Waits until a host's change gets to `phase`; any host's.
    ///
    /// # Errors
    /// As for [`Follower::until`].
    pub async fn until_phase(&mut self, phase: v1::HostPhase) -> Result<String> {
        let moved = |event: &v1::Event| matches!(&event.detail, Some(v1::event::Detail::HostMoved(moved)) if moved.to() == phase);
        let event = self.until(&format!("a host was {}", phase.as_str_name()), moved).await?;
        event.host.context("a host moved, but which?")
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The deadline passed.
    pub async fn ended(&mut self) -> Result<v1::Ended> {
        let look = async {
            loop {
                if let Item::Ended(ended) = self.next().await? {
                    return Ok(ended);
                }
            }
        };
        let found = timeout(PATIENCE * 2, look).await;
        let rollout = self.rollout;
        found.unwrap_or_else(|_| {
            bail!("waited {:?} until rollout {rollout} ended; seen: {}", PATIENCE * 2, self.seen())
        })
    }

    async fn next(&mut self) -> Result<Item> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.connect().await;
                continue;
            };
            match stream.message().await {
                Ok(Some(v1::WatchResponse { item: Some(item) })) => {
                    self.note(&item);
                    return Ok(item);
                }
                Ok(Some(_)) => bail!("a message of a watch without content"),
                Ok(None) | Err(_) => {
                    self.stream = None;
                    self.at += 1;
                    self.resumed += 1;
                }
            }
        }
    }

    fn note(&mut self, item: &Item) {
        match item {
            Item::Event(event) => {
                self.after = event.cursor;
                self.events.push(event.clone());
            }
            Item::Gap(_) => self.gaps += 1,
            Item::Picture(picture) => {
                let holds = picture.services.iter().flat_map(|service| &service.holds);
                self.holds.extend(holds.map(|hold| hold.name.clone()));
            }
            Item::Ended(_) => (),
        }
    }

    async fn connect(&mut self) {
        let request =
            v1::WatchRequest { service: SERVICE.into(), rollout: Some(self.rollout), after: self.after };
        let asked = async { anyhow::Ok(client(self.address()).await?.watch(request).await?.into_inner()) };
        match asked.await {
            Ok(stream) => self.stream = Some(stream),
            Err(_) => {
                self.at += 1;
                sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }

    /// What was seen, for a failure's text.
    #[must_use]
    pub fn seen(&self) -> String {
        let line = |event: &v1::Event| {
            format!("\n  {} {}: {}", event.host.as_deref().unwrap_or("-"), event.kind, event.text)
        };
        self.events.iter().map(line).collect()
    }
}
