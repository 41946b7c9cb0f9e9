//! How well a service is.

use std::time::Duration;

use model::host::health::{Health, Instance, Probe};

use super::millis;
use crate::v1;

impl From<Health> for v1::Health {
    fn from(health: Health) -> Self {
        Self {
            instances: health.instances.into_iter().map(Into::into).collect(),
            instances_wanted: health.instances_wanted,
            ready: health.ready,
            status: health.status,
            probe: health.probe.map(Into::into),
            standing: health.standing,
        }
    }
}

impl From<v1::Health> for Health {
    fn from(wire: v1::Health) -> Self {
        Self {
            instances: wire.instances.into_iter().map(Into::into).collect(),
            instances_wanted: wire.instances_wanted,
            ready: wire.ready,
            status: wire.status,
            probe: wire.probe.map(Into::into),
            standing: wire.standing,
        }
    }
}

impl From<Instance> for v1::Instance {
    fn from(instance: Instance) -> Self {
        Self { pid: instance.pid, restarts: instance.restarts, ended: instance.ended }
    }
}

impl From<v1::Instance> for Instance {
    fn from(wire: v1::Instance) -> Self {
        Self { pid: wire.pid, restarts: wire.restarts, ended: wire.ended }
    }
}

impl From<Probe> for v1::Probe {
    fn from(probe: Probe) -> Self {
        Self { passed: probe.passed, ago_ms: millis(probe.ago), reason: probe.reason }
    }
}

impl From<v1::Probe> for Probe {
    fn from(wire: v1::Probe) -> Self {
        Self { passed: wire.passed, ago: Duration::from_millis(wire.ago_ms), reason: wire.reason }
    }
}
