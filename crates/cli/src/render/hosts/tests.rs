use super::*;

fn host(name: &str) -> HostStatus {
    let wire = api::v1::HostStatus {
        host: name.into(),
        address: "127.0.0.1:7100".into(),
        availability: api::v1::Availability::In.into(),
        counted: true,
        ..Default::default()
    };
    HostStatus::try_from(wire).unwrap()
}

fn service(hosts: Vec<HostStatus>) -> ServiceStatus {
    let wire = api::v1::ServiceStatus {
        service: "web".into(),
        policy: Some(api::v1::Policy::default()),
        slots: Some(api::v1::Slots { limit: 1, holders: Vec::new() }),
        ..Default::default()
    };
    ServiceStatus { hosts, ..ServiceStatus::try_from(wire).unwrap() }
}

const HOW: How = How { paint: Paint { colored: false }, width: None, all: false, whole: true };

fn told(service: &ServiceStatus, how: How) -> String {
    let mut text = String::new();
    lines(service, how, &mut text);
    text
}

fn many(count: usize) -> Vec<HostStatus> {
    (1..=count).map(|number| host(&format!("h{number}"))).collect()
}

#[test]
fn a_large_fleet_is_told_in_groups_and_whoever_differs_by_name() {
    let mut hosts = many(30);
    hosts[4].availability = Availability::Out;
    hosts[4].trouble = "the probe does not pass".into();
    let text = told(&service(hosts), HOW);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("29 hosts  in ") && text.contains("h1, h2, h3, h4 and 25 more"), "{text}");
    assert!(text.contains("h5        out ") && text.contains("the probe does not pass"), "{text}");
}

#[test]
fn all_hosts_are_told_where_that_is_asked_for_or_they_are_few() {
    assert_eq!(told(&service(many(30)), How { all: true, ..HOW }).lines().count(), 30);
    assert_eq!(told(&service(many(12)), HOW).lines().count(), 12);
}

#[test]
fn long_names_are_aligned_and_no_line_is_wider_than_the_terminal() {
    let mut hosts = vec![host("i-0123456789abcdef0"), host("h2")];
    hosts[0].trouble =
        "the balancer does not answer, and says neither yes nor no for as long as it is asked".into();
    let text = told(&service(hosts), How { width: Some(60), ..HOW });
    let at = |line: &str| line.find("in ").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(at(lines[0]), at(lines[lines.len() - 1]), "{text}");
    assert!(text.lines().all(|line| columns(line) <= 60), "{text}");
    assert!(
        text.split_whitespace().collect::<Vec<_>>().join(" ").contains("says neither yes nor no for as long"),
        "{text}"
    );
}

#[test]
fn a_drained_and_an_excluded_host_say_who_why_and_how_that_ends() {
    let by = || Operator { name: "ann".into(), reason: "new disk".into() };
    let mut hosts = vec![host("h1"), host("h2")];
    hosts[0].excluded = Some(by());
    hosts[1].parked = Some(by());
    let text = told(&service(hosts), HOW);
    assert!(text.contains("excluded by ann: new disk; `deployinator hosts include h1` ends that"), "{text}");
    assert!(text.contains("to be drained by ann: new disk"), "{text}");
}

#[test]
fn how_far_staging_is_is_told_of_each_host_and_of_a_group_together() {
    let at = |done| {
        let progress =
            StageProgress { paths_done: done, paths: 40, bytes_done: done * 2_000_000, bytes: 80_000_000 };
        Some(api::view::Staging { release: "r2".parse().unwrap(), progress })
    };
    let mut hosts = many(2);
    hosts[0].staging = at(12);
    hosts[1].staging =
        at(0).map(|staging| api::view::Staging { progress: StageProgress::default(), ..staging });
    let text = told(&service(hosts), HOW);
    assert!(text.contains("staging 12 of 40 paths, 24.0 of 80.0 MB\n"), "{text}");
    assert!(text.contains("staging\n"), "{text}");
    let mut hosts = many(30);
    hosts.iter_mut().zip(0..20).for_each(|(host, done)| host.staging = at(done));
    let text = told(&service(hosts), HOW);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("staging 190 of 800 paths, 380.0 of 1600.0 MB  h1, h2"), "{text}");
}
