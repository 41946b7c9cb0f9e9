//! What programs wrote, followed from agent to agent: the client knows its place at each spot.

use std::collections::BTreeMap;

use tonic::{Status, Streaming, transport::Channel};

use super::{
    Client, ClientError, Step,
    source::{Quorum, Source},
    stream::Resuming,
};
use crate::{
    v1::{self, deployinator_client::DeployinatorClient as Wire},
    view::{LogItem, LogPlace, LogSpot, LogsQuery},
};

/// What programs wrote, host by host.
pub struct Logs(Resuming<LogsSource>);

impl Client {
    /// What the programs of a service wrote; with `follow`, what they write next as well.
    #[must_use]
    pub fn logs(&self, query: LogsQuery) -> Logs {
        let mut source = LogsSource { query, places: BTreeMap::new() };
        for place in std::mem::take(&mut source.query.after) {
            source.go_to(place);
        }
        Logs(Resuming::new(self.clone(), source))
    }
}

impl Logs {
    /// The next message; none after the last one, unless the stream follows.
    ///
    /// # Errors
    /// Refused, or no agent takes the stream up. Nothing follows an error.
    pub async fn next(&mut self) -> Result<Option<Step<LogItem>>, ClientError> {
        self.0.next().await
    }
}

struct LogsSource {
    query: LogsQuery,
    /// Attempt and offset at each spot. One for each host, instance and program, however long the stream is followed.
    places: BTreeMap<LogSpot, (u64, u64)>,
}

impl LogsSource {
    fn go_to(&mut self, place: LogPlace) {
        self.places.insert(place.spot, (place.attempt, place.offset));
    }
}

impl Source for LogsSource {
    type Message = v1::LogsResponse;
    type Item = LogItem;

    fn attempted(&self) -> String {
        format!("logs of {}", self.query.service)
    }

    async fn open(&self, mut wire: Wire<Channel>) -> Result<Streaming<Self::Message>, Status> {
        let place = |(spot, (attempt, offset)): (&LogSpot, &(u64, u64))| LogPlace {
            spot: spot.clone(),
            attempt: *attempt,
            offset: *offset,
        };
        let after = self.places.iter().map(place).collect();
        let query = LogsQuery { after, ..self.query.clone() };
        Ok(wire.logs(v1::LogsRequest::from(query)).await?.into_inner())
    }

    fn may_end(&self) -> bool {
        !self.query.follow
    }

    fn is_last(_: &LogItem) -> bool {
        false
    }

    fn note(&mut self, item: LogItem) -> Option<LogItem> {
        match item {
            LogItem::Host(host) => {
                // A spot that is not known yet begins here; at the others the client knows better.
                for place in host.reached.iter().flatten() {
                    if !self.places.contains_key(&place.spot) {
                        self.go_to(place.clone());
                    }
                }
                Some(LogItem::Host(host))
            }
            LogItem::Lines(source, mut lines) => {
                if let Some(known) = self.places.get(&source.spot) {
                    lines.retain(|line| *known < (source.attempt, line.next));
                }
                let offset = lines.last()?.next;
                let place = LogPlace { spot: source.spot.clone(), attempt: source.attempt, offset };
                self.go_to(place);
                Some(LogItem::Lines(source, lines))
            }
            LogItem::Gap(gap) => {
                self.go_to(gap.to.clone());
                Some(LogItem::Gap(gap))
            }
        }
    }

    fn quorum(_: &LogItem) -> Quorum {
        Quorum::NotSaid
    }
}

#[cfg(test)]
mod tests;
