//! Who is in the fleet.

use std::{collections::BTreeSet, time::Duration};

use aws::{AddressKind, Ec2Inventory, Fleet};
use fakeaws::{Act, Fault, FaultKind, NewInstance};
use model::HostId;
use ports::{FaultKind as Kind, Inventory as _, Listed, ListedState};

use crate::stage::{Stage, TAG, fresh, wait_for};

fn inventory(stage: &Stage, address: AddressKind) -> Ec2Inventory {
    let tags = [(TAG.0.to_owned(), vec![TAG.1.to_owned()])].into();
    stage.session().inventory(Fleet { tags, address, port: 7100, poll: Duration::from_millis(50) })
}

fn names(listed: &[Listed]) -> BTreeSet<(String, ListedState)> {
    listed.iter().map(|listed| (listed.host.to_string(), listed.state)).collect()
}

async fn wait_for_list(inventory: &Ec2Inventory, what: &str, wanted: &[(&str, ListedState)]) {
    let wanted: BTreeSet<_> = wanted.iter().map(|(host, state)| ((*host).to_owned(), *state)).collect();
    wait_for(what, async || names(&inventory.list().await.expect("list")) == wanted).await;
}

#[tokio::test]
async fn the_fleet_is_who_has_its_tags() {
    let stage = Stage::new().await;
    let (ip, other) = (fresh(), fresh());
    let id = stage.instance(ip).await;
    let tags = [(TAG.0.to_owned(), "staging".to_owned())].into();
    let new = NewInstance { private_ipv4: Some(other), tags, ..NewInstance::default() };
    stage.control.launch(&new).await.unwrap();
    let inventory = inventory(&stage, AddressKind::PrivateIpv4);
    let listed = inventory.list().await.expect("the first question waits for its answer");
    let [host] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((host.host.as_str(), host.address), (id.as_str(), (ip, 7100).into()));
    assert_eq!((host.zone.as_deref(), host.state), (Some("eu-central-1a"), ListedState::Present));
    assert!(0 < host.launched);
    let late = stage.instance(fresh()).await;
    let both = [(id.as_str(), ListedState::Present), (late.as_str(), ListedState::Present)];
    wait_for_list(&inventory, "a host that came later", &both).await;
}

#[tokio::test]
async fn every_page_is_read() {
    let stage = Stage::new().await;
    let mut ids = BTreeSet::new();
    for n in 0..1_203_u32 {
        let private_ipv4 = Some((0x0a00_0001 + n).into());
        let tags = [(TAG.0.to_owned(), TAG.1.to_owned())].into();
        let new = NewInstance { private_ipv4, tags, ..NewInstance::default() };
        ids.insert(stage.control.launch(&new).await.unwrap().id);
    }
    let listed = inventory(&stage, AddressKind::PrivateIpv4).list().await.expect("list");
    assert_eq!(listed.iter().map(|listed| listed.host.to_string()).collect::<BTreeSet<_>>(), ids);
    assert!(2 <= stage.calls("ec2:DescribeInstances").await, "one answer has no room for all");
}

#[tokio::test]
async fn terminated_is_a_fact_that_outlives_ec2s_memory_and_stopped_is_none() {
    let stage = Stage::new().await;
    let (gone, rests) = (stage.instance(fresh()).await, stage.instance(fresh()).await);
    let inventory = inventory(&stage, AddressKind::PrivateIpv4);
    let (present, terminated) = (ListedState::Present, ListedState::Terminated);
    wait_for_list(&inventory, "both", &[(&gone, present), (&rests, present)]).await;
    stage.control.act(&rests, Act::Stop).await.unwrap();
    wait_for_list(&inventory, "the stopped one to be listed no more", &[(&gone, present)]).await;
    stage.control.act(&gone, Act::Terminate).await.unwrap();
    wait_for_list(&inventory, "the terminated one to be told", &[(&gone, terminated)]).await;
    stage.control.act(&gone, Act::Forget).await.unwrap();
    stage.control.act(&rests, Act::Start).await.unwrap();
    wait_for_list(&inventory, "the stopped one to be back", &[(&gone, terminated), (&rests, present)]).await;
}

#[tokio::test]
async fn tags_that_go_first_hide_no_termination() {
    let stage = Stage::new().await;
    let (gone, untagged) = (stage.instance(fresh()).await, stage.instance(fresh()).await);
    for id in [&gone, &untagged] {
        stage.control.set_tags(id, &[].into()).await.unwrap();
    }
    stage.control.act(&gone, Act::Terminate).await.unwrap();
    let inventory = inventory(&stage, AddressKind::PrivateIpv4);
    assert_eq!(inventory.list().await.expect("list"), []);
    let hosts: BTreeSet<HostId> =
        [&gone, &untagged, &"i-0ffffffffffffffff".to_owned()].map(|id| id.parse().unwrap()).into();
    wait_for("the end of an instance without tags", async || {
        let found = inventory.terminated(&hosts).await.expect("ask");
        assert!(found.iter().all(|host| host.as_str() == gone), "{found:?}");
        !found.is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_changes_nothing() {
    let stage = Stage::new().await;
    let id = stage.instance(fresh()).await;
    let inventory = inventory(&stage, AddressKind::PrivateIpv4);
    wait_for_list(&inventory, "the host", &[(&id, ListedState::Present)]).await;
    for kind in [FaultKind::Throttle, FaultKind::Html, FaultKind::CutAnswer, FaultKind::LoseAnswer] {
        stage.control.reset_calls().await.unwrap();
        stage.control.add_fault(&Fault::of("ec2:*", kind).calls(1)).await.unwrap();
        wait_for(&format!("{kind:?} to be met"), async || {
            assert_eq!(names(&inventory.list().await.expect("what was known")).len(), 1, "{kind:?}");
            stage.control.faults().await.unwrap().is_empty()
        })
        .await;
    }
    assert_eq!(names(&inventory.list().await.expect("list")).len(), 1);
}

#[tokio::test]
async fn who_has_never_been_answered_says_why() {
    let stage = Stage::new().await;
    stage.control.add_fault(&Fault::of("ec2:*", FaultKind::Denied)).await.unwrap();
    let inventory = inventory(&stage, AddressKind::PrivateIpv4);
    let fault = inventory.list().await.expect_err("it may not");
    assert_eq!(fault.kind, Kind::Permanent);
    let words = ports::fault::Chain(&fault).to_string();
    assert!(words.starts_with("list the instances with tag deployinator:cluster=prod: "), "{words}");
    assert!(words.contains("may not ec2:DescribeInstances"), "{words}");
    let again = inventory.list().await.expect_err("nothing is known yet");
    assert_eq!(ports::fault::Chain(&again).to_string(), words, "without asking again at once");
}

#[tokio::test]
async fn whoever_asks_all_the_time_makes_few_calls() {
    let stage = Stage::new().await;
    stage.instance(fresh()).await;
    let tags = [(TAG.0.to_owned(), vec![TAG.1.to_owned()])].into();
    let fleet = Fleet { tags, address: AddressKind::PrivateIpv4, port: 1, poll: Duration::from_secs(600) };
    let inventory = stage.session().inventory(fleet);
    for _ in 0..500 {
        inventory.list().await.expect("list");
    }
    assert_eq!(stage.calls("ec2:DescribeInstances").await, 1);
}

#[tokio::test]
async fn the_address_is_of_the_kind_that_was_asked_for() {
    let stage = Stage::new().await;
    let tags = || [(TAG.0.to_owned(), TAG.1.to_owned())].into();
    let (public, ipv6) = ("203.0.113.7".parse().unwrap(), "fd00::7".parse().unwrap());
    let private_ipv4 = Some(fresh());
    let new = NewInstance { private_ipv4, public_ipv4: Some(public), tags: tags(), ..NewInstance::default() };
    stage.control.launch(&new).await.unwrap();
    let new =
        NewInstance { private_ipv4: Some(fresh()), ipv6: Some(ipv6), tags: tags(), ..NewInstance::default() };
    stage.control.launch(&new).await.unwrap();
    let by = async |kind| {
        let listed = inventory(&stage, kind).list().await.expect("list");
        listed.into_iter().map(|listed| listed.address.ip()).collect::<Vec<_>>()
    };
    assert_eq!(by(AddressKind::PublicIpv4).await, [std::net::IpAddr::V4(public)]);
    assert_eq!(by(AddressKind::Ipv6).await, [std::net::IpAddr::V6(ipv6)]);
    assert_eq!(by(AddressKind::PrivateIpv4).await.len(), 2);
}
