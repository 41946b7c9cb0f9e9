//! Whole fleets under one seed, in virtual time: the shipped fleet machine, planner and host machines, and around them a log, a balancer, a
//! store, keepers, clocks and people that go wrong in every way that we know of.
//!
//! Promise: one seed is one history, to the last event; each promise is a file in `invariants`, checked whenever anything happens that it
//! speaks of; when the faults end, everything settles. Absent on purpose: copies of what is decided. What decides is `model`, as it ships;
//! what carries it out in an agent (`agent`) is async and not in here, the cluster tests are about that.
//!
//! `scenario` draws what happens, `world` lets it happen, `shrink` makes the list of faults of a failure small. `forming` draws nothing: it looks
//! at every order of what can happen to a few hosts that form a cluster.

mod chance;
mod clock;
mod coverage;
mod forming;
mod invariants;
mod scenario;
mod shrink;
mod world;

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;

use self::world::{Broken, Ended};
pub(crate) use self::{chance::Chance, coverage::Coverage, scenario::Scenario};

/// True time, in milliseconds since the beginning. No machine sees it: each reads its own clock.
pub(crate) type At = u64;
/// A host's place in the list of all hosts that ever were.
pub(crate) type HostNo = usize;
/// A service's place in the list of services.
pub(crate) type ServiceNo = usize;

/// How often a run says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Plays drawn scenarios, one for each seed, on all cores, and stops at the first that breaks a promise.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim")]
struct Arguments {
    /// How many seeds.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    /// Plays one seed, step by step in words.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    replay: Option<u64>,
    /// With --replay: only the items with these numbers happen.
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', requires = "replay")]
    items: Option<Vec<usize>>,
    /// How many cores; all of them when absent.
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// When a promise is broken, says which one and by which seed, and looks no further.
    #[arg(long)]
    brief: bool,
    /// Says at the end how often everything was met. From 2000 seeds on, what was never met is a failure.
    #[arg(long)]
    coverage: bool,
    /// Measures how many calm rollouts over so many hosts one core plays in a second.
    #[arg(long, value_name = "HOSTS", conflicts_with = "replay")]
    rate: Option<usize>,
    #[command(flatten)]
    forming: forming::Options,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.forming.is_wanted {
        return forming::check(&arguments.forming);
    }
    if let Some(seed) = arguments.replay {
        return replay(seed, arguments.items.as_deref());
    }
    if let Some(hosts) = arguments.rate {
        return rate(hosts);
    }
    search(&arguments)
}

fn replay(seed: u64, items: Option<&[usize]>) -> ExitCode {
    let scenario = Scenario::draw(seed);
    let scenario = items.map_or_else(|| scenario.clone(), |items| scenario.only(items));
    for service in &scenario.services {
        println!("{service:#?}");
    }
    println!("{} hosts, {:?}", scenario.hosts, scenario.noise);
    let ended = world::run(&scenario, true);
    for line in &ended.story {
        println!("{line}");
    }
    match ended.broken {
        Some(broken) => {
            println!("{} is broken: {}", broken.promise, broken.text);
            ExitCode::FAILURE
        }
        None => {
            println!("all promises were kept; {} rollouts in {} s", ended.rollouts, ended.lasted / 1000);
            ExitCode::SUCCESS
        }
    }
}

fn rate(hosts: usize) -> ExitCode {
    let (began, busy) = (Instant::now(), time_on_a_core());
    let (mut rollouts, mut entries, mut events, mut seed) = (0, 0, 0, 0);
    while began.elapsed() < Duration::from_secs(5) {
        seed += 1;
        let ended = world::run(&Scenario::calm(seed, hosts, 9), false);
        if let Some(broken) = ended.broken {
            println!("{} is broken: {}", broken.promise, broken.text);
            return ExitCode::FAILURE;
        }
        rollouts += ended.rollouts;
        entries += ended.entries;
        events += ended.events;
    }
    let wall = began.elapsed();
    let spent = busy.zip(time_on_a_core()).map(|(before, after)| after.saturating_sub(before));
    let a_second =
        |time: Duration| f64::from(u32::try_from(rollouts).unwrap_or(u32::MAX)) / time.as_secs_f64();
    let each = |count: u64| {
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(u32::try_from(rollouts).unwrap_or(1))
    };
    println!(
        "{:.0} rollouts over {hosts} hosts for each second of one core ({:.0} by the clock on the wall); {:.0} log entries and {:.0} events each",
        a_second(spent.unwrap_or(wall)),
        a_second(wall),
        each(entries),
        each(events),
    );
    ExitCode::SUCCESS
}

/// How long this thread has had a core, where the system says so.
fn time_on_a_core() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// What all workers have found together.
#[derive(Default)]
struct Found {
    coverage: Coverage,
    rollouts: u64,
    broken: Option<(u64, Broken)>,
}

fn search(arguments: &Arguments) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = arguments.jobs.unwrap_or(cores).max(1);
    let (next, found) = (AtomicU64::new(arguments.from), Mutex::new(Found::default()));
    let end = arguments.from.saturating_add(arguments.seeds);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&next, end, &found));
        }
        progress(&next, arguments.from, end, began, &found);
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if arguments.coverage {
        found.coverage.lines().iter().for_each(|line| println!("{line}"));
    }
    match found.broken {
        None => {
            let played = arguments.seeds;
            println!(
                "sim: {played} seeds, {} rollouts, no promise broken, {} s",
                found.rollouts,
                began.elapsed().as_secs()
            );
            if arguments.coverage { covered(&found.coverage, played) } else { ExitCode::SUCCESS }
        }
        Some((seed, broken)) => {
            report(seed, &broken, arguments.brief);
            ExitCode::FAILURE
        }
    }
}

/// With fewer seeds than enough it is only said what was not met.
fn covered(coverage: &Coverage, seeds: u64) -> ExitCode {
    let gaps = coverage.gaps();
    gaps.iter().for_each(|gap| println!("{gap}"));
    if gaps.is_empty() || seeds < coverage::ENOUGH { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(next: &AtomicU64, end: u64, found: &Mutex<Found>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if end <= seed {
            return;
        }
        let ended = guarded(seed);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.coverage.add(&ended.coverage);
        found.rollouts += ended.rollouts;
        if let Some(broken) = ended.broken
            && found.broken.as_ref().is_none_or(|(first, _)| seed < *first)
        {
            found.broken = Some((seed, broken));
            next.store(end, Ordering::Relaxed);
        }
    }
}

/// A machine that panics breaks a promise of its own.
fn guarded(seed: u64) -> Ended {
    let scenario = Scenario::draw(seed);
    std::panic::catch_unwind(|| world::run(&scenario, false)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Ended {
            broken: Some(Broken { promise: "panic", text: text.unwrap_or_default(), at: 0 }),
            coverage: Coverage::default(),
            rollouts: 0,
            entries: 0,
            events: 0,
            lasted: 0,
            story: Vec::new(),
        }
    })
}

fn progress(next: &AtomicU64, from: u64, end: u64, began: Instant, found: &Mutex<Found>) {
    let mut told = Instant::now();
    while next.load(Ordering::Relaxed) < end {
        std::thread::sleep(Duration::from_millis(50));
        if PROGRESS <= told.elapsed() {
            told = Instant::now();
            let rollouts = found.lock().unwrap_or_else(PoisonError::into_inner).rollouts;
            let at = next.load(Ordering::Relaxed).min(end) - from;
            eprintln!(
                "sim: {at} of {} seeds, {rollouts} rollouts, {} s",
                end - from,
                began.elapsed().as_secs()
            );
        }
    }
}

fn report(seed: u64, broken: &Broken, brief: bool) {
    println!("sim: seed {seed} breaks {} after {} s: {}", broken.promise, broken.at / 1000, broken.text);
    if brief {
        return;
    }
    if broken.promise == "panic" {
        println!("again, step by step: cargo xtask sim --replay {seed}");
        return;
    }
    eprintln!("sim: looks for the items that it takes");
    let scenario = Scenario::draw(seed);
    let (items, _) = shrink::shrink(&scenario, broken.promise);
    for item in &items {
        let (at, what) = &scenario.items[*item];
        println!("  {:>6}.{:03} s  ({item}) {what:?}", at / 1000, at % 1000);
    }
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    let only = if items.is_empty() { String::new() } else { format!(" --items {}", items.join(",")) };
    println!("again, step by step: cargo xtask sim --replay {seed}{only}");
}
