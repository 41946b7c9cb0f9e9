//! What the keeper makes of a service's word: whose it is, what is remembered, and who is told.

use std::{
    io,
    time::{Duration, Instant},
};

use ports::supervisor::Readiness;

use super::{
    notify::{Ears, Word},
    state::Keeper,
};
use crate::{
    logs::Writer,
    record::{Said, Stage},
};

/// Between two tries to take a name that is taken.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// Shortest time between two statuses that are told, while the service is not ready.
const STATUS_PAUSE: Duration = Duration::from_secs(1);
/// The same once it is: each one is written to the disk.
const READY_STATUS_PAUSE: Duration = Duration::from_secs(10);

impl Keeper {
    /// What a service that is about to start has said: nothing, and it has a socket where its word is asked for.
    pub(super) fn before_a_word(&mut self, readiness: Readiness) -> io::Result<Said> {
        self.listen_again = None;
        self.tell_at = None;
        if readiness == Readiness::Up {
            self.ears = None;
            return Ok(Said::default());
        }
        // A new one each time: what was said on the last one was said by another process.
        let ears = Ears::open(&self.dir, &self.events)?;
        let socket = Some(ears.name.clone());
        self.ears = Some(ears);
        Ok(Said { ready: false, status: None, socket, unheard: false })
    }

    /// Listens to a service that an earlier keeper has listened to. What it said in between nobody has heard.
    pub(super) fn listen_again_to(&mut self) {
        if let Some(service) = &mut self.record.service {
            service.said.unheard = !service.said.ready && service.said.socket.is_some();
        }
        self.listen_on();
    }

    /// Acts on all that was said until now, before those who said it are reaped: then nobody could tell whose they were.
    pub(super) fn hear_out(&mut self) {
        let said = self.ears.as_ref().map(Ears::waiting).unwrap_or_default();
        for (pid, word) in said {
            self.heard(pid, word);
        }
    }

    /// Listens where an adopted service speaks to. Somebody else may have the name for now.
    pub(super) fn listen_on(&mut self) {
        self.listen_again = None;
        let Some(service) = &self.record.service else { return };
        let Some(name) =
            service.said.socket.clone().filter(|_| matches!(service.run.stage, Stage::Running(_)))
        else {
            return;
        };
        match Ears::named(name, &self.events) {
            Ok(ears) => self.ears = Some(ears),
            Err(error) => {
                tracing::warn!(%error, "listen to the service");
                self.listen_again = Some(Instant::now() + LISTEN_AGAIN);
            }
        }
    }

    /// Takes note of what a process said, if it is one of the service's.
    pub(super) fn heard(&mut self, pid: u32, word: Word) {
        if !self.service.alive || !self.is_of_service(pid) {
            tracing::debug!(pid, ?word, "somebody else said");
            return;
        }
        let Some(service) = &mut self.record.service else { return };
        let was = service.said.clone();
        if let Some(ready) = word.ready {
            (service.said.ready, service.said.unheard) = (ready, false);
        }
        if let Some(status) = word.status {
            service.said.status = Some(status).filter(|status| !status.is_empty());
        }
        let ready = service.said.ready;
        if ready != was.ready {
            tracing::info!(pid, ready, "the service said whether it is ready");
            self.tell_at = None;
            self.told = Instant::now();
            self.publish();
        } else if service.said.status != was.status && self.tell_at.is_none() {
            let pause = if ready { READY_STATUS_PAUSE } else { STATUS_PAUSE };
            self.tell_at = Some(Instant::now().max(self.told + pause));
        }
    }

    /// Tells the last of the statuses that came meanwhile.
    pub(super) fn tell_status(&mut self) {
        self.tell_at = None;
        self.told = Instant::now();
        self.publish();
    }

    fn is_of_service(&self, pid: u32) -> bool {
        let Some(head) = self.head(Writer::Service) else { return false };
        let beside = self.lane(Writer::Migration).is_busy().then(|| self.head(Writer::Migration)).flatten();
        crate::processes::belongs(pid, head, beside, std::process::id())
    }
}
