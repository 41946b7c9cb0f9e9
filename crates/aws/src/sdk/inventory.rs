//! The fleet's instances, by their tags.
//!
//! A question is answered from what was learned last; EC2 is asked behind it, in a [`Rhythm`]. Only the first question, and one after a long time,
//! waits for an answer of EC2's. So whoever asks every second costs nothing, and does not wait for EC2 while it is slow.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_ec2::{
    Client,
    types::{Filter, Instance},
};
use model::HostId;
use ports::{Fault, FaultKind, Inventory, Listed};
use tokio::sync::watch;
use tracing::{info, warn};

use super::Api;
use crate::{
    Fleet,
    listing::{Addresses, Described, Listing},
    pace::{Rhythm, Went},
    permissions::Action,
    trouble::Trouble,
};

/// States that are asked for: the others neither answer nor are evidence.
const STATES: [&str; 3] = ["pending", "running", "terminated"];
/// Instances in one answer, and most answers to one question.
const PAGE: i32 = 1000;
const PAGES_LIMIT: usize = 50;
/// Most hosts that one question names: so many values a filter takes.
const NAMED_LIMIT: usize = 200;

/// The hosts of the fleet, as EC2 knows them. Clones share what was learned.
#[derive(Debug, Clone)]
pub struct Ec2Inventory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    api: Arc<Api>,
    fleet: Fleet,
    state: Mutex<State>,
    /// Counts the answers, and failures to get one.
    rounds: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    listing: Listing,
    rhythm: Rhythm,
    /// When to ask again.
    due: Instant,
    asking: bool,
    /// When EC2 answered last.
    answered: Option<Instant>,
    /// The last failure, if it was not answered since.
    failed: Option<(FaultKind, String)>,
    /// When to ask again what became of those that are not listed.
    fates_due: Instant,
}

impl Ec2Inventory {
    pub(super) fn new(client: Client, api: Arc<Api>, fleet: Fleet) -> Self {
        let state = State {
            listing: Listing::new(fleet.address, fleet.port),
            rhythm: Rhythm::new(fleet.poll),
            due: Instant::now(),
            asking: false,
            answered: None,
            failed: None,
            fates_due: Instant::now(),
        };
        let rounds = watch::Sender::new(0);
        Self { inner: Arc::new(Inner { client, api, fleet, state: Mutex::new(state), rounds }) }
    }
}

impl Inventory for Ec2Inventory {
    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        let inner = &self.inner;
        let mut rounds = inner.rounds.subscribe();
        inner.ask_if_due();
        {
            let state = inner.lock();
            let fresh = state.answered.is_some_and(|answered| answered.elapsed() < inner.fleet.poll * 3);
            if fresh || !state.asking {
                return inner.known(&state);
            }
        }
        // The sender lives as long as this does.
        let _ = rounds.changed().await;
        inner.known(&inner.lock())
    }

    async fn terminated(&self, hosts: &BTreeSet<HostId>) -> Result<BTreeSet<HostId>, Fault> {
        let known = self.inner.lock().listing.terminated_of(hosts);
        let open: Vec<String> = hosts
            .difference(&known)
            .filter(|host| crate::is_instance_id(host.as_str()))
            .map(ToString::to_string)
            .collect();
        self.inner.ask_fates_if_due(open);
        Ok(known)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempted(&self) -> String {
        let tags: Vec<String> =
            self.fleet.tags.iter().map(|(tag, values)| format!("{tag}={}", values.join("|"))).collect();
        format!("list the instances with tag {}", tags.join(" and "))
    }

    /// What was learned; why nothing was, where EC2 has never answered.
    fn known(&self, state: &State) -> Result<Vec<Listed>, Fault> {
        if state.answered.is_some() {
            return Ok(state.listing.all());
        }
        let failed = state.failed.clone();
        let (kind, words) = failed.unwrap_or((FaultKind::Transient, "no answer yet".to_owned()));
        Err(Fault::new(kind, self.attempted(), words))
    }

    fn ask_if_due(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            if state.asking || Instant::now() < state.due {
                return;
            }
            state.asking = true;
        }
        let inner = self.clone();
        tokio::spawn(async move {
            let answer = inner.ask().await;
            inner.learn(answer);
            inner.rounds.send_modify(|round| *round += 1);
        });
    }

    fn learn(&self, answer: Result<Vec<Described>, Trouble>) {
        let mut state = self.lock();
        state.asking = false;
        let went = match answer {
            Ok(answer) => {
                let news = state.listing.take(answer);
                for words in news.words {
                    warn!("{words}");
                }
                if state.failed.take().is_some() {
                    info!("EC2 answers again");
                }
                let first = state.answered.replace(Instant::now()).is_none();
                if news.changed || first {
                    info!(hosts = state.listing.all().len(), "EC2 lists the fleet");
                    Went::Changed
                } else {
                    Went::Same
                }
            }
            Err(trouble) => {
                let words = trouble.words(Action::DescribeInstances);
                // What was known stands: an error removes nobody.
                warn!(error = words, "{}", self.attempted());
                state.failed = Some((trouble.kind(), words));
                Went::Failed
            }
        };
        state.due = Instant::now() + state.rhythm.next(went, rand::random());
    }

    /// All who have the fleet's tags: every page, or nothing.
    async fn ask(&self) -> Result<Vec<Described>, Trouble> {
        let tags = self.fleet.tags.iter().map(|(tag, values)| filter(&format!("tag:{tag}"), values));
        let states = filter("instance-state-name", &STATES.map(str::to_owned));
        self.describe(tags.chain([states]).collect()).await
    }

    fn ask_fates_if_due(self: &Arc<Self>, mut open: Vec<String>) {
        if open.is_empty() {
            return;
        }
        {
            let mut state = self.lock();
            if Instant::now() < state.fates_due {
                return;
            }
            let pause = self.fleet.poll.max(Duration::from_secs(5));
            state.fates_due = Instant::now() + pause.mul_f64(0.8 + 0.4 * rand::random::<f64>());
        }
        open.truncate(NAMED_LIMIT);
        let inner = self.clone();
        tokio::spawn(async move {
            // By a filter: a list of ids with one that EC2 has forgotten is refused as a whole.
            let of =
                [filter("instance-id", &open), filter("instance-state-name", &["terminated".to_owned()])];
            match inner.describe(of.into()).await {
                Ok(answer) => {
                    inner.lock().listing.take_fates(&answer);
                }
                Err(trouble) => {
                    let error = trouble.words(Action::DescribeInstances);
                    warn!(error, "ask what became of {}", open.join(", "));
                }
            }
        });
    }

    async fn describe(&self, filters: Vec<Filter>) -> Result<Vec<Described>, Trouble> {
        let mut described = Vec::new();
        let mut token = None;
        for _ in 0..PAGES_LIMIT {
            let question = self.client.describe_instances().set_filters(Some(filters.clone()));
            let question = question.max_results(PAGE).set_next_token(token);
            let answer = self.api.call(Action::DescribeInstances, question.send()).await?;
            let instances = answer.reservations().iter().flat_map(|reservation| reservation.instances());
            described.extend(instances.filter_map(self::described));
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(described);
            }
        }
        Err(Trouble::Cut { words: format!("the answer does not end after {PAGES_LIMIT} pages") })
    }
}

fn filter(name: &str, values: &[String]) -> Filter {
    Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

fn described(instance: &Instance) -> Option<Described> {
    let ip = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let interfaces = instance.network_interfaces().iter();
    let further = interfaces.flat_map(|interface| interface.ipv6_addresses()).next();
    let ipv6 = instance.ipv6_address().or(further.and_then(|address| address.ipv6_address()));
    Some(Described {
        id: instance.instance_id()?.to_owned(),
        state: instance.state().and_then(|state| state.name()).map_or("", |name| name.as_str()).to_owned(),
        addresses: Addresses {
            private_ipv4: ip(instance.private_ip_address()),
            public_ipv4: ip(instance.public_ip_address()),
            ipv6: ip(ipv6),
        },
        zone: instance.placement().and_then(|placement| placement.availability_zone()).map(str::to_owned),
        launched_secs: instance.launch_time().map_or(0, |time| u64::try_from(time.secs()).unwrap_or(0)),
    })
}
