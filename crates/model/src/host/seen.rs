//! What the machine has observed since its agent started. Never written down.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Host,
    call::Backoff,
    event::{ExitSeen, FaultSeen, Miss, Observed, ProcessSeen, StandingSeen, Ticket},
    frozen::Frozen,
};
use crate::{Fence, ReleaseId, Timestamp, fleet::command::Cause};

/// Observations.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What the supervisor said last.
    pub(super) observed: Option<Observed>,
    /// It said so when asked; unasked news may have been overtaken.
    pub(super) asked: bool,
    /// An answer was older than the news; a second one is taken for what it says.
    doubted: bool,
    /// When the last probe of the present process ended, and how.
    pub(super) probe: Option<(Timestamp, Result<(), String>)>,
    /// What the balancer said last.
    pub(super) standing: Option<StandingSeen>,
    /// What the store said last.
    pub(super) staged: Option<BTreeSet<ReleaseId>>,
}

/// The wait that the machine is in: one for each step, and one for each time between changes.
#[derive(Debug, Default)]
pub(super) struct Wait {
    pub(super) began: Timestamp,
    /// How long it had lasted before the agent started.
    pub(super) before: Duration,
    /// When its length was written down last.
    pub(super) checkpoint: Timestamp,
    /// The step's call on the outside has worked.
    pub(super) acted: Option<Timestamp>,
    /// How long the wait will have lasted when the drain is over at the latest, by the balancer's account.
    pub(super) drained_by: Option<Duration>,
    /// The last reading of the standing in this wait worked.
    pub(super) standing_ok: bool,
    /// When the last reading that said in service was asked for, in this wait.
    pub(super) good: Option<Timestamp>,
    /// Readings in a row, in this wait, that did not say in service.
    pub(super) not_in_service: u32,
    /// Readings in all, in this wait, that did not say in service.
    pub(super) ever_not_in_service: u32,
    /// Readings in this wait.
    pub(super) readings: u32,
    /// Probes in a row that passed.
    pub(super) passes: u32,
    /// Probes in a row that did not.
    pub(super) misses: u32,
    /// Why the last one did not.
    pub(super) miss: Option<String>,
    /// When the last reading that worked was asked for.
    pub(super) read: Option<Timestamp>,
    /// When the last probe that was answered was sent.
    pub(super) probed: Option<Timestamp>,
    /// When the reading under way was asked for.
    pub(super) reading: Timestamp,
    /// When the probe under way was sent.
    pub(super) probing: Timestamp,
    /// A refusal of the supervisor that ends the step.
    pub(super) denied: Option<Denial>,
    /// Whether the host was frozen meanwhile.
    pub(super) frozen: Frozen,
}

/// A refusal that ends a step.
#[derive(Debug, Clone)]
pub(super) struct Denial {
    /// The release is to blame.
    pub(super) release: bool,
    pub(super) reason: String,
}

/// What became of the process that should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Runs,
    Ended(ExitSeen),
    /// Something else runs, or nothing.
    Gone,
    /// The supervisor is being asked.
    Unsure,
}

/// Shortest pause between two looks at what is awaited: the standing, or a probe.
pub(super) const POLL_LEAST: Duration = Duration::from_millis(3);
/// Longest pause between two looks while something is awaited.
const POLL_MOST: Duration = Duration::from_secs(2);
/// A pause is so many times as long as a look takes, at the least: a balancer that is far away or busy is asked less often, and a service
/// that is slow to answer is left in peace.
const POLL_LOOKS: u32 = 4;
/// A wait is so many times as long as the pause, where that is not too short or too long: it is found to be over late by no more than that.
const POLL_SHARE: u32 = 25;
/// The same where the end is known, and so is the time from now to that end: in between it is looked at seldom, in case it ends early. Looks
/// that were spent there would be missing at the end, where a balancer allows only so many in a while.
const POLL_SHARE_KNOWN: u32 = 4;

impl ExitSeen {
    /// Whose doing an end is that nobody asked for. One that nobody saw, of a host that lost power say, is no word against the release.
    pub(super) fn blames(self) -> Cause {
        match self {
            Self::Code(_) | Self::Signal(_) => Cause::Release,
            Self::Unknown => Cause::Surroundings,
        }
    }
}

impl Wait {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { began: now, checkpoint: now, ..Self::default() }
    }

    pub(super) fn elapsed(&self, now: Timestamp) -> Duration {
        let until = self.frozen.stands_at().map_or(now, |stands| stands.min(now));
        self.before + until.since(self.began)
    }

    /// Until when somebody has seen the host in service, in this wait.
    pub(super) fn was_in_service(&self) -> Timestamp {
        self.good.unwrap_or(self.began).max(self.began)
    }

    /// Nobody watched for so long: as if it had not been.
    pub(super) fn skip(&mut self, gap: Duration) {
        self.began = self.began + gap;
        self.good = self.good.map(|good| good + gap);
    }

    /// When it will have lasted so long.
    pub(super) fn reaches(&self, length: Duration) -> Timestamp {
        self.began + length.saturating_sub(self.before)
    }

    /// Whether a look from `at` is one from after so long: a verdict on what was to be by then needs one. An agent that was frozen past a
    /// deadline has only older ones.
    pub(super) fn seen_after(&self, at: Option<Timestamp>, length: Duration) -> bool {
        at.is_some_and(|at| length <= self.elapsed(at))
    }

    /// The pause before the next look, which grows with the wait and is short near an end that is known. The last one was begun at `look`.
    pub(super) fn poll(&self, look: Timestamp, now: Timestamp) -> Duration {
        let (took, elapsed) = (now.since(look), self.elapsed(now));
        let pause = match self.drained_by {
            Some(end) => elapsed.min(elapsed.abs_diff(end)) / POLL_SHARE_KNOWN,
            None => elapsed / POLL_SHARE,
        };
        pause.max(took * POLL_LOOKS).clamp(POLL_LEAST, POLL_MOST)
    }
}

impl Host {
    /// The process as last seen.
    pub(super) fn process(&self) -> Option<&ProcessSeen> {
        self.seen.observed.as_ref().map(|observed| &observed.process)
    }

    /// What became of the process of `release`, started under `fence` where that is given.
    pub(super) fn life(&self, release: &ReleaseId, fence: Option<Fence>) -> Life {
        let fits = |of: &ReleaseId, under: &Fence| of == release && fence.is_none_or(|fence| fence == *under);
        match self.process() {
            Some(ProcessSeen::Running { release: of, fence: under, .. }) if fits(of, under) => Life::Runs,
            Some(ProcessSeen::Exited { release: of, fence: under, exit, .. }) if fits(of, under) => {
                Life::Ended(*exit)
            }
            Some(_) if self.seen.asked => Life::Gone,
            Some(_) | None => Life::Unsure,
        }
    }

    /// How the process ended, for people.
    pub(super) fn end_words(&self, exit: ExitSeen) -> String {
        match self.process() {
            Some(ProcessSeen::Exited { note: Some(note), .. }) => format!("{}; {note}", exit_words(exit)),
            _ => exit_words(exit),
        }
    }

    /// Whether no process of the service runs, as far as is known: no instance of it either.
    pub(super) fn nothing_runs(&self) -> bool {
        let runs = |process: &ProcessSeen| matches!(process, ProcessSeen::Running { .. });
        let seen = self.seen.observed.as_ref();
        seen.is_some_and(|seen| !runs(&seen.process) && !seen.instances.iter().any(runs))
    }

    /// The supervisor's word when it was asked.
    pub(super) fn observed(&mut self, ticket: Ticket, result: Result<Observed, FaultSeen>, now: Timestamp) {
        if !self.calls.observe.answered(ticket) {
            return;
        }
        match result {
            Ok(observed) => {
                self.calls.observe.worked();
                let first = self.seen.observed.is_none();
                self.learn(observed, now);
                if first {
                    self.resume(now);
                }
            }
            Err(fault) => self.calls.observe.failed(fault.text, now, Backoff::KEEPER, self.setup.seed),
        }
    }

    /// The supervisor's word after a call. News may have overtaken it: then it is asked again.
    pub(super) fn learn(&mut self, observed: Observed, now: Timestamp) {
        let older = self.seen.observed.as_ref().is_some_and(|last| observed.change < last.change);
        self.seen.doubted = older && !self.seen.doubted;
        if self.seen.doubted {
            self.seen.asked = false;
            return self.calls.observe.plan(now);
        }
        if process_id(&observed.process) != self.process().and_then(process_id) {
            // Another process: what was known of the one before does not count.
            (self.wait.passes, self.wait.misses, self.wait.miss) = (0, 0, None);
            self.seen.probe = None;
            // An answer that is on its way is about that one, too.
            if self.calls.probe.is_out() {
                self.calls.probe.supersede(now);
                self.calls.probe.plan(now);
            }
        } else if is_ready(&observed.process) != self.process().is_some_and(is_ready) {
            // It has said so just now: the next probe need not wait for its turn.
            self.calls.probe.advance(now);
        }
        self.seen.observed = Some(observed);
        self.seen.asked = true;
    }

    /// The supervisor's unasked news. Before the first answer they say nothing new, and old news are dropped.
    pub(super) fn news(&mut self, observed: Observed, now: Timestamp) {
        let Some(last) = &self.seen.observed else { return };
        if observed.change < last.change {
            return self.calls.observe.plan(now);
        }
        self.learn(observed, now);
        self.seen.asked = false;
        if self.is_surprised() {
            self.calls.observe.plan(now);
        }
    }

    /// News of a process that is not the one awaited may have been overtaken; the supervisor is asked.
    fn is_surprised(&self) -> bool {
        match self.expected() {
            Some((release, fence)) => self.life(&release, fence) == Life::Unsure,
            None => false,
        }
    }

    pub(super) fn standing_read(
        &mut self,
        ticket: Ticket,
        result: Result<StandingSeen, FaultSeen>,
        now: Timestamp,
    ) {
        if !self.calls.standing.answered(ticket) {
            return;
        }
        match result {
            Ok(standing) => {
                self.calls.standing.worked();
                self.wait.standing_ok = true;
                self.wait.read = Some(self.wait.reading);
                self.wait.readings += 1;
                let good = standing == StandingSeen::InService;
                if good {
                    self.wait.good = self.wait.read;
                }
                self.wait.not_in_service = if good { 0 } else { self.wait.not_in_service + 1 };
                self.wait.ever_not_in_service += u32::from(!good);
                self.seen.standing = Some(standing);
                let pause = self.standing_pause().unwrap_or_else(|| self.wait.poll(self.wait.reading, now));
                self.calls.standing.plan(now + pause);
                self.act_again(now);
            }
            Err(fault) => {
                self.wait.standing_ok = false;
                self.calls.standing.failed(fault.text, now, Backoff::BALANCER, self.setup.seed);
            }
        }
    }

    pub(super) fn probed(&mut self, ticket: Ticket, result: Result<(), Miss>, now: Timestamp) {
        if !self.calls.probe.answered(ticket) {
            return;
        }
        let result = match result {
            Ok(()) => Ok(()),
            Err(Miss::Service(why)) => Err(why),
            // Not a word about the service, good or bad.
            Err(Miss::Unasked(why)) => {
                return self.calls.probe.failed(why, now, Backoff::KEEPER, self.setup.seed);
            }
        };
        self.calls.probe.worked();
        self.wait.probed = Some(self.wait.probing);
        self.seen.probe = Some((now, result.clone()));
        match result {
            Ok(()) => (self.wait.passes, self.wait.misses, self.wait.miss) = (self.wait.passes + 1, 0, None),
            Err(why) => {
                (self.wait.passes, self.wait.misses, self.wait.miss) = (0, self.wait.misses + 1, Some(why));
            }
        }
        let pause = self.probe_pause(now);
        self.calls.probe.plan(now + pause);
    }

    /// Starts a new wait: what was seen and called for the one before does not count. News that nobody minded before may be bad news for it.
    pub(super) fn enter(&mut self, now: Timestamp) {
        self.wait = Wait { frozen: self.wait.frozen.carried(), ..Wait::new(now) };
        self.calls.act.supersede(now);
        self.calls.standing.reset();
        self.calls.probe.reset();
        if self.is_surprised() {
            self.calls.observe.plan(now);
        }
    }
}

/// What tells one process from another.
fn process_id(process: &ProcessSeen) -> Option<(u32, u32)> {
    match process {
        ProcessSeen::Running { pid, restarts, .. } => Some((*pid, *restarts)),
        ProcessSeen::Stopped | ProcessSeen::Exited { .. } => None,
    }
}

fn is_ready(process: &ProcessSeen) -> bool {
    matches!(process, ProcessSeen::Running { ready: true, .. })
}

/// How a process ended, for people.
pub(super) fn exit_words(exit: ExitSeen) -> String {
    match exit {
        ExitSeen::Code(code) => format!("exited with code {code}"),
        ExitSeen::Signal(signal) => format!("was killed by signal {signal}"),
        ExitSeen::Unknown => "ended, and nobody saw how".to_owned(),
    }
}

/// The balancer's word, for people.
pub(super) fn standing_words(standing: &StandingSeen) -> String {
    match standing {
        StandingSeen::Absent => "absent".to_owned(),
        StandingSeen::Initial => "initial".to_owned(),
        StandingSeen::InService => "in service".to_owned(),
        StandingSeen::Unhealthy { reason } => format!("unhealthy ({reason})"),
        StandingSeen::Draining => "draining".to_owned(),
    }
}
