//! A rollout under load to which something happens, and what it owes all the same.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use api::v1::{self, HostPhase};
use demo::{
    fleet::{Agent, SERVICE},
    load::Load,
    releases::{Bad, Recipe},
};

use crate::{
    asks::{by, client},
    follower::Follower,
    processes::service_pid,
    stage::Stage,
    views,
};

/// A rollout of release 2 over release 1, with requests on the service all the while.
pub struct Disturbed {
    /// What was pushed.
    pub push: v1::PushResponse,
    /// Follows it from its start.
    pub watch: Follower,
    /// Whether nobody may have seen the end of a migration: its keeper was killed, or could not write it down.
    pub migration_unseen: bool,
    recipe: Recipe,
    load: Load,
    /// What every host served before.
    before: String,
    pids: BTreeMap<String, u32>,
}

impl Disturbed {
    /// Pushes a release to a fleet that serves another one.
    ///
    /// # Errors
    /// It was refused.
    pub async fn push(stage: &mut Stage, recipe: Recipe, policy: v1::Policy) -> Result<Self> {
        let before = stage.answers().await?.pop().context("a host")?;
        let pids = stage.pids().await?;
        let load = stage.load()?;
        let source = stage.release(&recipe)?;
        let push = stage.push(&source, policy).await?;
        let watch = stage.watch(&push);
        Ok(Self { push, watch, migration_unseen: false, recipe, load, before, pids })
    }

    /// The release that was pushed.
    ///
    /// # Errors
    /// The answer lacked it.
    pub fn release(&self) -> Result<String> {
        Ok(self.push.release.as_ref().context("a release")?.id.clone())
    }

    /// Waits for the end, and checks that it is the promised one: everything on the new release, or on the old one and the new one kept
    /// from use; one migration; no step twice; no failed request; no service touched that was not to be.
    ///
    /// # Errors
    /// It is not.
    pub async fn ends_as_promised(mut self, stage: &mut Stage) -> Result<Vec<v1::Event>> {
        let mut ended = self.watch.ended().await?;
        if self.migration_unseen && ended.exit_code == 3 {
            self.say_how_the_migration_ended(stage).await?;
            self.watch = stage.watch(&self.push);
            ended = self.watch.ended().await?;
        }
        let seen = self.watch.seen();
        let expected = match self.recipe.bad {
            None => (v1::Outcome::Completed, 0),
            Some(Bad::Migrate) => (v1::Outcome::FailedInMigration, 1),
            Some(Bad::Health | Bad::Exit) => (v1::Outcome::RolledBack, 1),
        };
        ensure!((ended.outcome(), ended.exit_code) == expected, "not {expected:?} but {ended:#?}{seen}");
        let pushed = self.release()?;
        let last = if self.recipe.bad.is_some() { self.before.clone() } else { pushed.clone() };
        let status = stage.all_on(&last).await?;
        let answers: BTreeSet<String> = stage.answers().await?.into_iter().collect();
        ensure!(answers == BTreeSet::from([last.clone()]), "not all serve {last}: {answers:?}");
        let web = views::web(&status).context("the service")?;
        let kept_from_use = web.quarantine.iter().any(|kept| kept.release == pushed);
        ensure!(kept_from_use == self.recipe.bad.is_some(), "kept from use: {kept_from_use}; {status:#?}");
        let runs = stage.migrations_of(&self.recipe.name);
        ensure!(runs == 1, "the migration was run {runs} times{seen}");
        self.check_processes(stage)?;
        self.check_steps()?;
        let totals = self.load.stop().await;
        ensure!(totals.failed == 0, "requests failed: {totals:#?}{seen}");
        ensure!(0 < totals.requests, "there was no load");
        Ok(self.watch.events)
    }

    /// What an operator does about a migration whose end nobody saw.
    async fn say_how_the_migration_ended(&self, stage: &mut Stage) -> Result<()> {
        let status = stage.fleet.status().await?;
        let release = self.release()?;
        let web = views::web(&status).context("the service")?;
        let unknown = |known: &&v1::Migration| {
            known.release == release
                && known.state.as_ref().is_some_and(|state| state.word() == v1::MigrationWord::Unknown)
        };
        ensure!(
            web.migrations.iter().any(|known| unknown(&known)),
            "halted over something else: {status:#?}"
        );
        let failed = self.recipe.bad == Some(Bad::Migrate);
        let verdict = if failed { v1::Verdict::Failed } else { v1::Verdict::Succeeded };
        let request = v1::ResolveMigrationRequest {
            service: SERVICE.into(),
            release,
            verdict: verdict.into(),
            by: by("looked at the database"),
        };
        let number = stage.fleet.agents.iter().position(Agent::runs).context("an agent that runs")?;
        client(stage.fleet.agents[number].address).await?.resolve_migration(request).await?;
        Ok(())
    }

    /// A service was started anew exactly where a change was granted.
    fn check_processes(&self, stage: &Stage) -> Result<()> {
        for agent in &stage.fleet.agents {
            let pid = service_pid(agent)?;
            let granted =
                |event: &&v1::Event| event.kind == "granted" && event.host.as_ref() == Some(&agent.host);
            let changed = self.watch.events.iter().any(|event| granted(&event));
            let before = self.pids.get(&agent.host).copied();
            ensure!(
                changed || before == Some(pid),
                "the service on {} was {before:?} and is {pid}, and nobody was to change it{}",
                agent.host,
                self.watch.seen()
            );
        }
        Ok(())
    }

    /// With a good release each host goes through each step once.
    fn check_steps(&self) -> Result<()> {
        let hosts: BTreeSet<&String> = self.pids.keys().collect();
        for (host, step) in hosts.into_iter().flat_map(|host| STEPS.map(|step| (host, step))) {
            let times = steps(&self.watch.events, host, step);
            let well = if self.recipe.bad.is_none() { times == 1 } else { times <= 1 };
            ensure!(well, "{host} was {} {times} times{}", step.as_str_name(), self.watch.seen());
        }
        Ok(())
    }
}

/// The steps of a change that disturb somebody.
const STEPS: [HostPhase; 4] =
    [HostPhase::Draining, HostPhase::Stopping, HostPhase::Starting, HostPhase::Soaking];

/// How often a host's change got to this phase.
#[must_use]
pub fn steps(events: &[v1::Event], host: &str, phase: HostPhase) -> usize {
    let moved = |event: &&v1::Event| matches!(&event.detail, Some(v1::event::Detail::HostMoved(moved)) if moved.to() == phase);
    events.iter().filter(|event| event.host.as_deref() == Some(host)).filter(moved).count()
}
