//! A balancer's targets of one host, as one.

use std::{ops::Range, sync::Arc, time::Duration};

use futures_util::future::join_all;
use ports::{Balancer, Fault, Standing, Target, balancer::as_one, fault::Chain};
use tracing::{info, warn};

use super::{Count, address_of};

/// Admits and drains all instances together, and lets none stay registered that there is no more. The target that it is asked about is the first's.
#[derive(Debug)]
pub struct Balancers<B> {
    balancer: B,
    count: Arc<Count>,
}

impl<B: Balancer> Balancers<B> {
    /// So many of them, behind this balancer.
    pub fn new(balancer: B, count: Arc<Count>) -> Self {
        Self { balancer, count }
    }

    fn targets(first: &Target, of: Range<usize>) -> Vec<Target> {
        let target = |number| Target { host: first.host.clone(), address: address_of(first.address, number) };
        of.map(target).collect()
    }
}

impl<B: Balancer> Balancers<B> {
    /// Returns how long the longest of their drains takes.
    async fn all_leave(&self, targets: &[Target]) -> Result<Option<Duration>, Fault> {
        let left = join_all(targets.iter().map(|target| self.balancer.leave(target))).await;
        let left: Vec<_> = left.into_iter().collect::<Result<_, _>>()?;
        Ok(left.into_iter().flatten().max())
    }

    /// Deregisters targets of instances that there are no more. What does not work now is tried with the next look.
    async fn clear(&self, first: &Target) {
        let behind = self.count.left_behind();
        if behind.is_empty() {
            return;
        }
        let cleared = self.all_leave(&Self::targets(first, behind.clone())).await;
        match cleared.map(|_| self.count.none_left_behind()) {
            Ok(Ok(())) => info!(?behind, "deregistered instances that there are no more"),
            Ok(Err(error)) => warn!(error = %Chain(&error), "remember that no instance is left behind"),
            Err(error) => {
                warn!(error = %Chain(&error), ?behind, "deregister instances that there are no more");
            }
        }
    }
}

impl<B: Balancer> Balancer for Balancers<B> {
    async fn join(&self, target: &Target) -> Result<(), Fault> {
        self.clear(target).await;
        let targets = Self::targets(target, 0..self.count.present());
        let joined = join_all(targets.iter().map(|target| self.balancer.join(target))).await;
        joined.into_iter().collect()
    }

    /// All that may be registered leave, also those that a start with another number has left.
    async fn leave(&self, target: &Target) -> Result<Option<Duration>, Fault> {
        self.all_leave(&Self::targets(target, 0..self.count.reach())).await
    }

    async fn standing(&self, target: &Target) -> Result<Standing, Fault> {
        self.clear(target).await;
        let targets = Self::targets(target, 0..self.count.present());
        let read = join_all(targets.iter().map(|target| self.balancer.standing(target))).await;
        let named = |(number, read): (usize, Result<_, Fault>)| Ok((format!("instance {number}"), read?));
        let read = read.into_iter().enumerate().map(named).collect::<Result<Vec<_>, Fault>>()?;
        Ok(as_one(&read))
    }

    async fn check(&self, target: &Target) -> Result<(), Fault> {
        // They differ in their ports alone, and each would ask as much as the first.
        self.balancer.check(target).await
    }
}
