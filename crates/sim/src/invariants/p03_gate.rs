//! P3 gate: no host starts a release whose migration is not recorded as succeeded or not needed; and what is recorded is true.

use model::Release;

use super::{Verdict, p02_migrate_once::MigrateOnce};
use crate::{HostNo, ServiceNo, world::World};

pub(crate) fn starts(
    world: &World,
    migrations: &MigrateOnce,
    host: HostNo,
    service: ServiceNo,
    release: &Release,
) -> Verdict {
    if !release.migrates {
        return Ok(());
    }
    let known = world.fleet.services.get(&world.services[service]);
    let state = known.map(|known| known.migration(release, &world.hosts[host].name));
    if !state.as_ref().is_some_and(model::fleet::MigrationState::lets_start) {
        let state = state.map_or_else(|| "not known".to_owned(), |state| state.to_string());
        return Err(("P3", format!("h{host} starts {}, and its migration is {state}", release.id)));
    }
    if !migrations.is_well(world, host, service, &release.id) {
        return Err((
            "P3",
            format!("h{host} starts {}, and its migration never succeeded in truth", release.id),
        ));
    }
    Ok(())
}
