//! Locks that an operator breaks. Whoever is shown a grant breaks that one and no other.

use super::{
    command::{Lock, Operator, Refusal, Reply},
    event::EventKind,
    host::HostService,
    migration::MigrationState,
    rollout::PartState,
    scene::Scene,
};
use crate::{Fence, HostId};

impl Scene<'_> {
    /// P5: the asker's word is about the grant that he saw. Another one, made meanwhile, has a holder that nobody has judged.
    pub(super) fn break_grant(&mut self, lock: &Lock, fence: Fence, by: &Operator) -> Result<Reply, Refusal> {
        let held = match lock {
            Lock::SlotOf(host) => self.host(host)?.change.as_ref().map(|change| change.fence),
            Lock::Migration => self.service.migration_lock.as_ref().map(|lock| lock.fence),
        };
        if held != Some(fence) {
            let assumed = match lock {
                Lock::SlotOf(host) => format!("the slot of {host} with fence {fence}"),
                Lock::Migration => format!("the migration lock with fence {fence}"),
            };
            return Err(Refusal::Outdated { assumed, actual: self.holders_of(lock) });
        }
        match lock {
            Lock::SlotOf(host) => self.break_slot(host, by),
            Lock::Migration => self.break_migration_lock(by),
        }
    }

    /// Who holds such a lock now, in words.
    fn holders_of(&self, lock: &Lock) -> String {
        let held = |host: &HostId, fence: Fence| format!("{host} with fence {fence}");
        let holders: Vec<String> = match lock {
            Lock::SlotOf(_) => {
                let held =
                    |(host, here): (&HostId, &HostService)| Some(held(host, here.change.as_ref()?.fence));
                self.members().filter_map(held).collect()
            }
            Lock::Migration => {
                self.service.migration_lock.iter().map(|lock| held(&lock.host, lock.fence)).collect()
            }
        };
        if holders.is_empty() {
            "held by nobody now".into()
        } else {
            format!("held by {} now", holders.join(", "))
        }
    }

    pub(super) fn break_slot(&mut self, host: &HostId, by: &Operator) -> Result<Reply, Refusal> {
        let change = self.host_mut(host)?.change.take();
        let change = change.ok_or_else(|| Refusal::NotNow(format!("{host} holds no slot")))?;
        let rollout = change.purpose.rollout();
        // The host still has its part to do: it is out, so that it takes none of the budget when it gets another slot.
        // What failed on it is not tried again, except that a roll back still wants it back.
        for id in [rollout, self.service.active].into_iter().flatten() {
            let back = self.rollout(id).is_ok_and(|rollout| rollout.is_rollback());
            if back && self.part(id, host) == Some(PartState::Failed) {
                self.set_part(id, host, PartState::Changing);
            }
            self.turn_again(id, host);
        }
        let lock = format!("slot of {host} (fence {})", change.fence);
        self.note(rollout, Some(host), EventKind::LockBroken { lock, by: by.clone() });
        Ok(Reply::Done)
    }

    pub(super) fn break_migration_lock(&mut self, by: &Operator) -> Result<Reply, Refusal> {
        let lock = self.service.migration_lock.take();
        let lock = lock.ok_or_else(|| Refusal::NotNow("nobody has the migration lock".into()))?;
        let name = format!("migration lock of {} (fence {})", lock.host, lock.fence);
        self.note(None, Some(&lock.host), EventKind::LockBroken { lock: name, by: by.clone() });
        let reason = "the lock of its host was broken".to_owned();
        let state = MigrationState::Unknown { host: lock.host.clone(), reason, tail: "".into() };
        self.migration_became(&lock.release, &lock.host, state);
        Ok(Reply::Done)
    }
}
