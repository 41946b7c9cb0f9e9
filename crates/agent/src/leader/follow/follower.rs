//! Reads one channel.

use std::{sync::Arc, time::Duration};

use channel::Pointer;
use model::{
    ServiceName,
    fleet::{Act, Found, Heard, Operator, Refusal, Reply, Request, Word},
};
use ports::{
    Channel as _, Fault, ReleaseStore as _,
    channel::{Address, Look},
    fault::Chain,
    store::NotARelease,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::{super::PROPOSAL, Means, Reign};
use crate::{link::Link, outside::AnyChannel};

/// Longest wait for one look.
const LOOK: Duration = Duration::from_secs(10);
/// Longest time between two looks that fail, and two tries to find what is named.
const PATIENT: Duration = Duration::from_secs(60);

/// Most letters of a reason that are kept.
const REASON_LETTERS: usize = 500;

/// Reads one channel, for as long as this node leads.
pub(super) struct Follower {
    link: Link,
    reign: Reign,
    means: Means,
    service: ServiceName,
    url: String,
    poll: Duration,
    channel: Option<AnyChannel>,
    /// What tells what was read last from what is said later.
    tag: Option<String>,
    /// What was read and is not answered yet.
    open: Option<Arc<[u8]>>,
    /// When what is named is looked for again, and how often it was.
    again: (Option<Instant>, u32),
    in_trouble: bool,
}

impl Follower {
    pub(super) fn new(
        link: Link,
        reign: Reign,
        means: Means,
        service: ServiceName,
        url: &str,
        poll: Duration,
    ) -> Self {
        let url = url.to_owned();
        let (channel, tag, open) = (None, None, None);
        Self {
            link,
            reign,
            means,
            service,
            url,
            poll,
            channel,
            tag,
            open,
            again: (None, 0),
            in_trouble: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let looked = self.look().await;
            failures = if looked.is_err() { failures + 1 } else { 0 };
            self.tell(looked.err());
            sleep(pause(self.poll, failures)).await;
        }
    }

    /// Says once that it cannot be read, and once that it can be read again.
    fn tell(&mut self, trouble: Option<String>) {
        let (service, channel) = (&self.service, &self.url);
        match (&trouble, self.in_trouble) {
            (Some(why), false) => warn!(%service, channel, why, "the channel cannot be read"),
            (None, true) => info!(%service, channel, "the channel can be read again"),
            (Some(why), true) => debug!(%service, channel, why, "the channel cannot be read"),
            (None, false) => (),
        }
        self.in_trouble = trouble.is_some();
        self.reign.read(&self.service, trouble);
    }

    /// Reads it, and pushes what is new.
    async fn look(&mut self) -> Result<(), String> {
        let before = self.heard().map(|heard| heard.mark);
        let channel = self.channel().await?;
        let looked = timeout(LOOK, channel.look(self.tag.as_deref())).await;
        match looked
            .map_err(|_| format!("no answer within {} s", LOOK.as_secs()))?
            .map_err(|fault| words(&fault))?
        {
            Look::Same => (),
            Look::Nothing => (self.tag, self.open) = (None, None),
            Look::Says(said) => {
                let new = said.bytes.into();
                if self.open.as_ref() != Some(&new) {
                    self.again = (None, 0);
                }
                (self.tag, self.open) = (said.tag, Some(new));
            }
        }
        let Some(bytes) = self.open.clone() else { return Ok(()) };
        let mark = channel::mark(&bytes);
        let known = self.heard().filter(|heard| heard.mark == mark);
        if known.as_ref().is_some_and(|heard| !heard.open) {
            self.open = None;
            return Ok(());
        }
        if self.again.0.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let found = match Pointer::read(&bytes) {
            Ok(pointer) => self.find(pointer).await,
            Err(unfit) => Found::Unfit { reason: tidy(&unfit.to_string()) },
        };
        if known.is_none() || matches!(found, Found::Release { .. }) {
            self.propose(Word { channel: self.url.clone(), before, mark, found }).await;
        }
        Ok(())
    }

    async fn channel(&mut self) -> Result<AnyChannel, String> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let address: Address = self.url.parse().map_err(|error| format!("its address {error}"))?;
        let opened = AnyChannel::open(&address, self.means.aws.as_ref()).await;
        let opened = opened.map_err(|error| Chain(&error).to_string())?;
        Ok(self.channel.insert(opened).clone())
    }

    /// What the fleet remembers of it.
    fn heard(&self) -> Option<Heard> {
        let state = self.link.node().state();
        let fleet = state.borrow();
        fleet.services.get(&self.service)?.channels.get(&self.url).cloned()
    }

    /// Finds out what release is named. What is none, or cannot be looked up, may be one later. Either way the fleet has to hear of it now, so
    /// that what is asked for in between counts as the newer word.
    async fn find(&mut self, pointer: Pointer) -> Found {
        let Pointer { source, provenance } = pointer;
        let reason = match self.means.store.resolve(&source).await {
            Ok(release) => return Found::Release { release, provenance },
            Err(NotARelease::Invalid { source_name, problem, .. }) => format!("{source_name}: {problem}"),
            Err(NotARelease::Fault(fault)) => format!("{source} cannot be looked up now: {}", words(&fault)),
        };
        let tries = self.again.1 + 1;
        self.again = (Some(Instant::now() + pause(self.poll, tries)), tries);
        Found::Unfit { reason: tidy(&reason) }
    }

    async fn propose(&mut self, word: Word) {
        let (service, channel) = (self.service.clone(), self.url.clone());
        let unfit = match &word.found {
            Found::Unfit { reason } => Some(reason.clone()),
            Found::Release { .. } => None,
        };
        let by = Operator { name: format!("channel {channel}"), reason: String::new() };
        let act = Act::Ask { service: service.clone(), by, request: Request::Follow(word) };
        let answer = self.link.offer_here(&self.link.command(act), PROPOSAL).await;
        match answer {
            Ok((_, Reply::Accepted(rollout))) => {
                info!(%service, channel, %rollout, "pushed what the channel says");
            }
            Ok((_, Reply::Joined(rollout))) => {
                info!(%service, channel, %rollout, "the channel says what is the target already");
            }
            Ok((_, Reply::Done)) => {
                let why = self.heard().and_then(|heard| heard.refused).or(unfit);
                if let Some(why) = why {
                    warn!(%service, channel, why, "what the channel says is not pushed");
                }
            }
            // Another leader has read it since: it is read anew.
            Ok((_, Reply::Refused(Refusal::Outdated { .. }))) => (self.tag, self.open) = (None, None),
            // Looked at again, as it is still open.
            Ok((_, Reply::Refused(refusal))) => debug!(%service, channel, %refusal, "not pushed"),
            Ok((_, reply)) => debug!(%service, channel, ?reply, "an answer to something else"),
            Err(elsewhere) => debug!(%service, channel, why = elsewhere.why, "not committed"),
        }
    }
}

fn words(fault: &Fault) -> String {
    Chain(fault).to_string()
}

/// One line of what somebody else wrote, and not too much of it: it is kept in the log, and shown in terminals.
fn tidy(reason: &str) -> String {
    let clean = reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    clean.take(REASON_LETTERS).collect()
}

/// Time until the next look, or try: longer with each that failed, up to a minute.
fn pause(poll: Duration, failures: u32) -> Duration {
    let grown = poll.saturating_mul(1 << failures.min(10)).min(PATIENT.max(poll));
    grown.mul_f64(rand::random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        assert_eq!(tidy("unknown field `a\n\u{1b}[2Jb`"), "unknown field `a  [2Jb`");
        assert_eq!(tidy(&"ä".repeat(10_000)).chars().count(), REASON_LETTERS);
    }

    #[test]
    fn what_fails_is_looked_at_less_and_less_but_once_a_minute() {
        let around = |poll: u64, failures: u32, expected: u64| {
            let paused = pause(Duration::from_secs(poll), failures).as_secs_f64();
            let expected = Duration::from_secs(expected).as_secs_f64();
            assert!((0.9 * expected..1.1 * expected).contains(&paused), "{paused} for {failures} of {poll}");
        };
        for (poll, failures, expected) in
            [(10, 0, 10), (10, 1, 20), (10, 2, 40), (10, 3, 60), (10, u32::MAX, 60), (3600, 9, 3600)]
        {
            around(poll, failures, expected);
        }
    }
}
