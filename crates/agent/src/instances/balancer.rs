//! A balancer's targets of one host, as one.

use std::sync::Arc;

use futures_util::future::join_all;
use ports::{Balancer, Fault, Standing, Target};

use super::{Count, address_of, combine};

/// Admits and drains all instances together. The target that it is asked about is the first's.
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

    fn targets(first: &Target, count: usize) -> Vec<Target> {
        let target = |number| Target { host: first.host.clone(), address: address_of(first.address, number) };
        (0..count).map(target).collect()
    }
}

impl<B: Balancer> Balancer for Balancers<B> {
    async fn join(&self, target: &Target) -> Result<(), Fault> {
        let targets = Self::targets(target, self.count.present());
        let joined = join_all(targets.iter().map(|target| self.balancer.join(target))).await;
        joined.into_iter().collect()
    }

    /// All that may be registered leave, also those that a start with another number has left.
    async fn leave(&self, target: &Target) -> Result<(), Fault> {
        let targets = Self::targets(target, self.count.reach());
        let left = join_all(targets.iter().map(|target| self.balancer.leave(target))).await;
        left.into_iter().collect()
    }

    async fn standing(&self, target: &Target) -> Result<Standing, Fault> {
        let targets = Self::targets(target, self.count.present());
        let read = join_all(targets.iter().map(|target| self.balancer.standing(target))).await;
        let read: Vec<Standing> = read.into_iter().collect::<Result<_, _>>()?;
        Ok(combine::standing(&read))
    }
}
