use super::*;

/// A tree of plain files that looks like one of cgroups.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(cgroups: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, controllers) in cgroups {
            let dir = tree.0.path().join(path);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("cgroup.controllers"), format!("{controllers}\n")).unwrap();
            fs::write(dir.join("cgroup.procs"), "").unwrap();
            fs::write(dir.join("cgroup.subtree_control"), "").unwrap();
        }
        tree
    }

    fn find(&self, own: &str) -> Result<Delegation, NoCgroups> {
        Delegation::at(self.0.path(), Path::new(own))
    }
}

#[test]
fn the_mount_is_found_beside_those_of_version_1() {
    let mounts = "25 1 0:22 / /proc rw - proc proc rw\n\
                  30 25 0:26 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n\
                  31 25 0:27 / /sys/fs/cgroup/unified rw shared:6 - cgroup2 cgroup2 rw\n";
    assert_eq!(mount(mounts), Some("/sys/fs/cgroup/unified".into()));
    assert_eq!(mount(&mounts.replace("cgroup2", "cgroup")), None);
}

#[test]
fn the_cgroup_above_the_agents_is_divided() {
    let tree = Tree::new(&[
        ("", "cpuset cpu io memory pids"),
        ("system.slice/deployinatord.service", "cpu memory pids"),
        ("system.slice/deployinatord.service/agent", "memory"),
    ]);
    let found = tree.find("/system.slice/deployinatord.service/agent").unwrap();
    assert_eq!(found.base(), tree.0.path().join("system.slice/deployinatord.service"));
    found.enable().unwrap();
    let handed_on = fs::read_to_string(found.base().join("cgroup.subtree_control")).unwrap();
    assert_eq!(handed_on, "+memory +pids +cpu");
}

#[test]
fn what_was_not_handed_over_is_left_alone() {
    let tree = Tree::new(&[("", "cpu memory pids"), ("system.slice/deployinatord.service", "cpu")]);
    for own in ["/system.slice/deployinatord.service", "/"] {
        let error = tree.find(own).unwrap_err();
        assert_eq!(error, NoCgroups::NotDelegated { path: own.into() });
        assert!(
            error.to_string().ends_with("with Delegate=yes and DelegateSubgroup=agent in its unit"),
            "{error}"
        );
    }
}

#[test]
fn a_tree_without_controllers_is_of_no_use() {
    let tree = Tree::new(&[("", ""), ("agent", "")]);
    let error = tree.find("/agent").unwrap_err();
    assert_eq!(error, NoCgroups::Bare { mount: tree.0.path().to_owned() });
}

#[test]
fn limits_that_cannot_be_kept_are_named_and_the_others_are_kept() {
    let limits = Limits {
        open_files: Some(300),
        memory_bytes: Some(1 << 30),
        cpu_weight: Some(50),
        processes: Some(9),
        core_bytes: None,
    };
    let whole = Delegation { base: "/c".into(), controllers: Controller::ALL.into() };
    assert_eq!(enforceable(&limits, Ok(&whole)), (limits, None));
    let part = Delegation { controllers: [Controller::Memory].into(), ..whole };
    let (kept, lost) = enforceable(&limits, Ok(&part));
    assert_eq!(kept, Limits { cpu_weight: None, ..limits });
    assert_eq!(lost.unwrap(), "limits.cpu_weight is not kept: there is no cpu controller");
    let (kept, lost) = enforceable(&limits, Err(&NoCgroups::Missing));
    assert_eq!(kept, Limits { cpu_weight: None, memory_bytes: None, ..limits });
    let said =
        "limits.memory_bytes and limits.cpu_weight are not kept: this system has no cgroups of version 2";
    assert_eq!(lost.unwrap(), said);
    assert_eq!(enforceable(&Limits::default(), Err(&NoCgroups::Missing)), (Limits::default(), None));
}

#[test]
fn a_limit_of_one_process_leaves_the_keeper_room_to_start_it() {
    let dir = tempfile::tempdir().unwrap();
    let group = Group::new(dir.path(), Path::new("/state/web"), Writer::Service);
    group.make(&Limits::default()).unwrap();
    let file = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path().join("pids.max");
    let empty = || fs::write(&file, "").unwrap();
    empty();
    let limits = Limits { processes: Some(1), ..Limits::default() };
    // A plain directory with a file in it stays, as a cgroup does that somebody is in.
    group.make(&limits).unwrap();
    let room: u64 = fs::read_to_string(&file).unwrap().parse().unwrap();
    assert!(2 <= room, "the keeper enters it, and its child is one more: {room}");
    empty();
    group.limit(&limits).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "1", "of its own the program has what it was given");
}

#[test]
fn a_group_is_removed_with_all_that_was_made_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let group = Group::new(dir.path(), Path::new("/state/web"), Writer::Service);
    group.make(&Limits::default()).unwrap();
    let own = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    fs::create_dir_all(own.join("workers/one/deep")).unwrap();
    fs::create_dir_all(own.join("workers/two")).unwrap();
    group.remove();
    assert!(!own.exists());
}

#[test]
fn a_group_is_given_what_was_asked_and_freed_of_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let group = Group::new(dir.path(), Path::new("/state/web"), Writer::Service);
    let other = Group::new(dir.path(), Path::new("/state/web"), Writer::Migration);
    let limits = Limits { memory_bytes: Some(7), processes: Some(3), ..Limits::default() };
    let missing = group.make(&limits).unwrap_err().to_string();
    assert!(missing.contains("memory.max: No such file"), "no limit is passed over: {missing}");
    other.make(&Limits::default()).unwrap();
    let mut made: Vec<PathBuf> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    made.sort();
    let [migrate, serve] = &made[..] else { panic!("{made:?}") };
    assert!(migrate.to_string_lossy().ends_with("-migrate") && serve.to_string_lossy().ends_with("-serve"));
    for name in ["memory.max", "pids.max", "cpu.weight"] {
        fs::write(serve.join(name), "").unwrap();
    }
    group.limit(&limits).unwrap();
    let read = |name: &str| fs::read_to_string(serve.join(name)).unwrap();
    assert_eq!(
        (read("memory.max"), read("pids.max"), read("cpu.weight")),
        ("7".into(), "3".into(), "100".into())
    );
    assert!(group.counts() && !other.counts());
    fs::write(serve.join("memory.events"), "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\n").unwrap();
    assert_eq!((group.killed_for_memory(), other.killed_for_memory()), (2, 0));
}
