//! The keepers of all instances, as one supervisor.

use std::{sync::Arc, time::Duration};

use futures_util::future::{join_all, select_all};
use model::{Fence, ReleaseId};
use ports::{
    Fault, FaultKind, Supervisor,
    fault::Chain,
    supervisor::{Launch, Observation, Process, SupervisorError},
};

use super::{
    Count, INSTANCE_VARIABLE,
    combine::{self, started},
    newest::{Moment, Newest},
};

/// Runs all instances of a service, and its migrations through the first.
#[derive(Debug)]
pub struct Supervisors<S> {
    keepers: Vec<S>,
    count: Arc<Count>,
    newest: Newest,
    /// The first instance's.
    port: u16,
}

impl<S: Supervisor> Supervisors<S> {
    /// One supervisor for each instance that there may be. The first listens on `port`.
    pub fn new(make: impl FnMut(usize) -> S, count: Arc<Count>, port: u16) -> Self {
        let newest = Newest::new(count.reach());
        Self { keepers: (0..count.reach()).map(make).collect(), count, newest, port }
    }

    async fn observe_all(&self) -> Result<Vec<Observation>, SupervisorError> {
        let asked = self.newest.asks();
        let seen = join_all(self.keepers.iter().map(Supervisor::observe)).await;
        self.all(asked, seen)
    }

    /// What every one answered that was asked then, or the first that could not.
    fn all(
        &self,
        asked: Moment,
        answers: Vec<Result<Observation, SupervisorError>>,
    ) -> Result<Vec<Observation>, SupervisorError> {
        let named = |(number, answer): (usize, Result<_, SupervisorError>)| match answer {
            Ok(answer) => Ok(self.newest.hear(number, asked, answer)),
            Err(error) => Err(self.named(number, error)),
        };
        answers.into_iter().enumerate().map(named).collect()
    }

    /// A fault of one of several says which.
    fn named(&self, number: usize, error: SupervisorError) -> SupervisorError {
        match error {
            SupervisorError::Fault(mut fault) if 1 < self.keepers.len() => {
                fault.attempted = format!("instance {number}: {}", fault.attempted);
                SupervisorError::Fault(fault)
            }
            error => error,
        }
    }

    fn combined(&self, all: &[Observation]) -> Observation {
        combine::observation(all, self.count.present())
    }

    /// The launch of one instance.
    fn launch(&self, launch: &Launch, fence: Fence, number: usize) -> Launch {
        let mut launch = Launch { fence, ..launch.clone() };
        let past = u16::try_from(number).unwrap_or(u16::MAX);
        launch.environment.insert("PORT".into(), self.port.saturating_add(past).to_string());
        launch.environment.insert(INSTANCE_VARIABLE.into(), number.to_string());
        launch
    }

    fn first(&self) -> &S {
        // Count never says none.
        &self.keepers[0]
    }

    /// The first's answer about migrations, with what all of them run.
    async fn with_others(
        &self,
        answer: Result<Observation, SupervisorError>,
    ) -> Result<Observation, SupervisorError> {
        let first = answer.map_err(|error| self.named(0, error))?;
        if self.keepers.len() == 1 {
            return Ok(first);
        }
        self.observe().await
    }
}

/// The fence to start all under that are `present`. Refused while something else runs.
fn plan(all: &[Observation], present: usize, launch: &Launch) -> Result<Fence, SupervisorError> {
    let newest = all.iter().filter_map(|one| one.fence).max();
    if let Some(newest) = newest.filter(|newest| launch.fence < *newest) {
        return Err(SupervisorError::Stale { offered: launch.fence, newest });
    }
    let runs: Vec<_> = all.iter().filter_map(|one| started(&one.process)).collect();
    let Some((fence, _)) = runs.first().copied() else { return Ok(launch.fence) };
    let occupied = |(fence, release): (Fence, &ReleaseId)| {
        Err(SupervisorError::Occupied { release: release.clone(), fence })
    };
    let other = runs.iter().find(|run| **run != (fence, &launch.release));
    if let Some(other) = other {
        return occupied(*other);
    }
    // A start that is not over, under the newest fence that anybody has seen, is completed under that.
    let starts = runs.len() < present && newest == Some(fence);
    if starts || fence == launch.fence { Ok(fence) } else { occupied((fence, &launch.release)) }
}

impl<S: Supervisor> Supervisor for Supervisors<S> {
    async fn observe(&self) -> Result<Observation, SupervisorError> {
        Ok(self.combined(&self.observe_all().await?))
    }

    async fn changed(&self, seen: u64) -> Result<Observation, SupervisorError> {
        loop {
            let all = self.observe_all().await?;
            let now = self.combined(&all);
            if seen < now.change {
                return Ok(now);
            }
            let waits =
                self.keepers.iter().zip(&all).map(|(keeper, one)| Box::pin(keeper.changed(one.change)));
            let (changed, number, _) = select_all(waits).await;
            changed.map_err(|error| self.named(number, error))?;
        }
    }

    async fn start(&self, launch: &Launch) -> Result<Observation, SupervisorError> {
        let seen = self.observe_all().await?;
        if seen.iter().all(|one| one.process == Process::Stopped) {
            self.count.renew().map_err(|error| {
                let attempted = "remember how many instances are started";
                Fault::new(FaultKind::Transient, attempted, Chain(&error).to_string())
            })?;
        }
        let present = self.count.present();
        let fence = plan(&seen, present, launch)?;
        let starts = self.keepers.iter().enumerate().take(present).map(|(number, keeper)| async move {
            let launch = self.launch(launch, fence, number);
            // One that runs already answers with that, unless it is being stopped.
            keeper.start(&launch).await.map_err(|error| self.named(number, error))
        });
        for started in join_all(starts).await {
            started?;
        }
        self.observe().await
    }

    async fn keep_running(&self, fence: Fence, keep: bool) -> Result<Observation, SupervisorError> {
        let (asked, present) = (self.newest.asks(), self.keepers.iter().take(self.count.present()));
        let kept = join_all(present.map(|keeper| keeper.keep_running(fence, keep))).await;
        self.all(asked, kept)?;
        self.observe().await
    }

    async fn stop(&self, fence: Fence, grace: Duration) -> Result<Observation, SupervisorError> {
        let asked = self.newest.asks();
        let stopped = join_all(self.keepers.iter().map(|keeper| keeper.stop(fence, grace))).await;
        Ok(self.combined(&self.all(asked, stopped)?))
    }

    async fn migrate(&self, launch: &Launch) -> Result<Observation, SupervisorError> {
        let launch = self.launch(launch, launch.fence, 0);
        let answer = self.first().migrate(&launch).await;
        self.with_others(answer).await
    }

    async fn stop_migration(&self, fence: Fence, grace: Duration) -> Result<Observation, SupervisorError> {
        let answer = self.first().stop_migration(fence, grace).await;
        self.with_others(answer).await
    }

    /// Of a service: what those that ended wrote, or all where none has.
    async fn tail(&self, fence: Fence, migration: bool, limit: usize) -> Result<String, SupervisorError> {
        let present = self.count.present();
        if migration || present == 1 {
            return self.first().tail(fence, migration, limit).await;
        }
        let seen = self.observe_all().await?;
        let ended: Vec<usize> =
            (0..present).filter(|number| matches!(seen[*number].process, Process::Exited { .. })).collect();
        let of = if ended.is_empty() { (0..present).collect() } else { ended };
        let head = |number: usize| format!("--- instance {number} ---\n");
        let room = (limit / of.len()).saturating_sub(head(present).len() + 1);
        let tails = join_all(of.iter().map(|number| self.keepers[*number].tail(fence, false, room))).await;
        let mut text = String::new();
        for (number, tail) in of.into_iter().zip(tails) {
            let tail = tail.map_err(|error| self.named(number, error))?;
            if !tail.is_empty() {
                text.push_str(&head(number));
                text.push_str(tail.trim_end_matches('\n'));
                text.push('\n');
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
