//! A cluster that formed on empty disks while the real one was lost gives way to it, as long as nothing was rolled out here.
//!
//! Promise: an acknowledged push is not lost by that (P11). The log says which came first: after a push, the cluster does not give way; once it
//! gives way, nobody asks anything of it any more.

use super::{
    Fleet,
    command::{Operator, Refusal, Reply},
};
use crate::ClusterId;

impl Fleet {
    pub(super) fn give_way(&mut self, to: &ClusterId, by: &Operator) -> Result<Reply, Refusal> {
        if by.reason.trim().is_empty() {
            return Err(Refusal::ReasonMissing);
        }
        if let Some((service, _)) = self.services.iter().find(|(_, known)| !known.rollouts.is_empty()) {
            return Err(Refusal::NotNow(format!(
                "{service} was rolled out in this cluster, which does not give way to {to}"
            )));
        }
        self.gives_way = Some(to.clone());
        Ok(Reply::Done)
    }

    /// Nothing is promised any more by a cluster that is about to be no more.
    pub(super) fn check_goes_on(&self) -> Result<(), Refusal> {
        self.gives_way.as_ref().map_or(Ok(()), |to| Err(Refusal::GivesWay { to: to.clone() }))
    }
}
