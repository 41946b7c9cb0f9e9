//! Which call goes wrong, and how.

use std::time::Duration;

use crate::{
    cloud::Now,
    wire::{Fault, FaultKind},
};

/// The faults that are set. The first that is about a call is the one that it gets.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Set>);

#[derive(Debug)]
struct Set {
    fault: Fault,
    until: Option<Now>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, now: Now) {
        let until = fault.for_ms.map(|ms| now + Duration::from_millis(ms));
        self.0.push(Set { fault, until });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that are set, with what is left of the counted ones.
    pub(crate) fn list(&mut self, now: Now) -> Vec<Fault> {
        self.expire(now);
        self.0.iter().map(|set| set.fault.clone()).collect()
    }

    /// What happens to this call; one of a counted fault is used up by it.
    pub(crate) fn take(&mut self, action: &str, caller: &str, now: Now) -> Option<FaultKind> {
        self.expire(now);
        let hit = |set: &Set| {
            matches(&set.fault.action, action)
                && set.fault.caller.as_ref().is_none_or(|wanted| wanted == caller)
        };
        // One that waits lets the call pass to those after it.
        let mut hits = self.0.iter_mut().filter(|set| hit(set));
        let fault = loop {
            let fault = &mut hits.next()?.fault;
            if fault.after == 0 {
                break fault;
            }
            fault.after -= 1;
        };
        if let Some(calls) = &mut fault.calls {
            *calls = calls.saturating_sub(1);
        }
        Some(fault.kind)
    }

    fn expire(&mut self, now: Now) {
        self.0.retain(|set| set.fault.calls != Some(0) && set.until.is_none_or(|until| now < until));
    }
}

/// Whether a pattern, which may end with `*`, is about an action.
pub(crate) fn matches(pattern: &str, action: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == action, |prefix| action.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fault_hits_only_its_calls_by_its_callers_as_often_and_as_long_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault::of("ec2:*", FaultKind::Error).calls(2), SECOND);
        faults.add(Fault::of("sts:GetCallerIdentity", FaultKind::Html).by("i-1"), SECOND);
        faults.add(Fault::of("*", FaultKind::Denied).lasting(SECOND), SECOND);
        let mut take = |action, caller, now| faults.take(action, caller, now);
        assert_eq!(take("ec2:DescribeInstances", "x", SECOND), Some(FaultKind::Error));
        assert_eq!(take("sts:GetCallerIdentity", "i-1", SECOND), Some(FaultKind::Html));
        assert_eq!(take("sts:GetCallerIdentity", "i-2", SECOND), Some(FaultKind::Denied));
        assert_eq!(take("ec2:DescribeInstances", "x", SECOND), Some(FaultKind::Error));
        assert_eq!(take("ec2:DescribeInstances", "x", SECOND), Some(FaultKind::Denied));
        assert_eq!(take("ec2:DescribeInstances", "x", 2 * SECOND), None);
        assert_eq!(take("sts:GetCallerIdentity", "i-1", 100 * SECOND), Some(FaultKind::Html));
        assert_eq!(faults.list(100 * SECOND).len(), 1);
    }

    #[test]
    fn a_fault_can_wait_until_some_calls_went_well() {
        let mut faults = Faults::default();
        faults.add(Fault::of("a:b", FaultKind::Error).after(2).calls(1), SECOND);
        let outcomes: Vec<_> = (0..4).map(|_| faults.take("a:b", "x", SECOND)).collect();
        assert_eq!(outcomes, [None, None, Some(FaultKind::Error), None]);
    }
}
