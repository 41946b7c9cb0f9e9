//! Services in cgroups of their own, where this system lets anybody make one. Limits need controllers, which it may not have.

use std::{fs, path::PathBuf};

use ports::{Supervisor, supervisor::Process};
use rustix::process::Signal;

use crate::world::{GRACE, World, fence, lives, pid, skipped};

/// A cgroup of this test, below the system's root.
struct Below(PathBuf);

impl Below {
    fn new(world: &World) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount =
            mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let name = world.root().file_name().unwrap().to_str().unwrap();
        let Some(mount) = mount else {
            skipped("this system has no cgroups of version 2", false);
            return None;
        };
        let dir = PathBuf::from(mount).join(format!("deployinator-test-{name}"));
        match fs::create_dir(&dir) {
            Ok(()) => Some(Self(dir)),
            Err(error) => {
                let could = rustix::process::geteuid().is_root();
                skipped(&format!("make {}: {error}", dir.display()), could);
                None
            }
        }
    }

    fn groups(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        for group in self.groups() {
            let _ = fs::remove_dir(group);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

fn cgroup(pid: u32) -> String {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    own.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned()
}

#[tokio::test]
async fn a_service_is_born_in_a_cgroup_of_its_own_and_the_keeper_stays_where_it_was() {
    let world = World::new();
    let Some(below) = Below::new(&world) else { return };
    world.client.observe().await.unwrap();
    let home = cgroup(world.keeper());
    let serve = world.script("serve", "cat /proc/self/cgroup > born; exec sleep 1000");
    let mut launch = world.launch(5, "a", &serve);
    launch.manner.cgroup = Some(below.0.clone());
    let now = world.client.start(&launch).await.unwrap();
    let [group] = &below.groups()[..] else { panic!("{:?}", below.groups()) };
    let name = group.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("web-") && name.ends_with("-serve"), "{name}");
    assert!(cgroup(pid(&now)).ends_with(name));
    assert!(world.file("born").await.contains(name), "from its first instruction");
    assert_eq!(cgroup(world.keeper()), home);
    world.client.stop(fence(5), GRACE).await.unwrap();
    assert_eq!(below.groups(), [] as [PathBuf; 0], "it is removed with its service");
}

#[tokio::test]
async fn what_fled_under_an_earlier_keeper_is_stopped_with_the_rest() {
    let world = World::new();
    let Some(below) = Below::new(&world) else { return };
    // An orphan in a session of its own: when its keeper dies, nothing but the cgroup tells whose it is.
    let serve = world.script("serve", "(setsid sleep 1000 &)\nexec sleep 1000");
    let mut launch = world.launch(5, "a", &serve);
    launch.manner.cgroup = Some(below.0.clone());
    world.client.start(&launch).await.unwrap();
    let sleepers = world.sleepers(2).await;
    world.kill_keeper(Signal::KILL).await;
    let stopped = world.client.stop(fence(5), GRACE).await.unwrap();
    assert_eq!(stopped.process, Process::Stopped);
    assert!(!sleepers.iter().any(|&pid| lives(pid)), "{:?}", world.programs());
    assert_eq!(below.groups(), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_limit_that_the_cgroup_cannot_keep_is_said_before_anything_runs() {
    let world = World::new();
    let Some(below) = Below::new(&world) else { return };
    let mut launch = world.launch(5, "a", &world.script("serve", "exec sleep 1000"));
    launch.manner.cgroup = Some(below.0.clone());
    launch.manner.limits.memory_bytes = Some(1 << 30);
    if fs::read_to_string(below.0.join("cgroup.controllers")).unwrap().contains("memory") {
        return skipped("this system has the memory controller, so that the limit can be kept", false);
    }
    let refused = world.client.start(&launch).await.unwrap_err();
    let said = ports::fault::Chain(&refused).to_string();
    assert!(said.contains("memory.max"), "{said}");
    assert_eq!(world.client.observe().await.unwrap().process, Process::Stopped);
    assert_eq!(world.programs(), [] as [u32; 0]);
}
