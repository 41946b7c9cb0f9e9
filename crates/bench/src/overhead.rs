//! What a rollout takes beyond what the service itself takes.
//!
//! The service's times are its own words and the balancer's, never an agent's: whatever an agent waits between two of them is ours.

mod account;

use std::{path::Path, time::Duration};

use anyhow::Result;
use demo::{
    fleet::Shape,
    load::{Load, LoadOptions},
};

use self::account::{Account, Gap};
use crate::{
    Run,
    report::{Figure, Section, Table},
    stage::{Service, Stage, policy},
    stats::{Samples, median, ms},
};

/// How long a host stays in service before its slot passes on.
const SOAK: Duration = Duration::from_millis(190);
/// What the service takes by itself.
const SERVICE: Service = Service { start: Duration::from_millis(150), stop: Duration::from_millis(50) };
/// What each long request takes: a host that leaves drains for about as long.
const REQUEST_MS: u64 = 150;
/// Wall time by ideal, at the most.
const TARGET: f64 = 1.05;

/// A rollout over so many hosts, so many at once.
struct Case {
    hosts: usize,
    slots: u32,
    times: usize,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let one = Case { hosts: run.size(3, 10), slots: 1, times: run.size(1, 3) };
    let five = Case { hosts: run.size(4, 30), slots: u32::try_from(run.size(2, 5))?, times: run.size(1, 3) };
    let mut section = run.section();
    for case in [one, five] {
        measure_case(&run.dir, &case, &mut section).await?;
    }
    section.notes.push(
        "Where our time goes: between two hosts, from the end of the soak of the host whose slot passes on to the deregistration of \
         the next one; the others, from the end of one of the service's own steps to the begin of the next."
            .into(),
    );
    Ok(section)
}

async fn measure_case(dir: &Path, case: &Case, section: &mut Section) -> Result<()> {
    let Case { hosts, slots, times } = *case;
    let stage = Stage::formed(dir, Shape { hosts, ..Shape::default() }).await?;
    let policy = policy(slots, SOAK);
    stage.roll(0, &stage.release("r0", SERVICE)?, &policy).await?;
    let load = Load::start(LoadOptions {
        short_workers: 0,
        long_workers: hosts * 2,
        upload_workers: 0,
        long_ms: REQUEST_MS..=REQUEST_MS,
        ..LoadOptions::new(stage.balancer.data_address())
    });
    let mut accounts = Vec::new();
    for number in 1..=times {
        let release = stage.release(&format!("r{number}"), SERVICE)?;
        let rolled = stage.roll(0, &release, &policy).await?;
        let account = Account::of(&rolled, &stage.timeline()?, &stage.standings(), slots as usize, SOAK)?;
        eprintln!("  {hosts} hosts, {slots} at once: {} of {} ideal", ms(account.wall), ms(account.ideal));
        accounts.push(account);
    }
    let totals = load.stop().await;
    anyhow::ensure!(totals.failed == 0, "{} requests failed: {:?}", totals.failed, totals.reasons);
    let what = if slots == 1 { "one at a time".to_owned() } else { format!("{slots} at once") };
    let ratio = median(accounts.iter().map(Account::ratio));
    let own: Samples = accounts.iter().flat_map(|account| account.own.iter().copied()).collect();
    section.figures.push(
        Figure::new(
            format!("rollout over {hosts} hosts, {what}: wall time by ideal"),
            format!("{ratio:.3}"),
            times,
        )
        .number(ratio, "ratio")
        .target(format!("≤ {TARGET}"), ratio <= TARGET),
    );
    let wall = median(accounts.iter().map(|account| account.wall.as_secs_f64()));
    let ideal = median(accounts.iter().map(|account| account.ideal.as_secs_f64()));
    section.figures.push(
        Figure::new(
            format!("{hosts} hosts, {what}: wall time; ideal"),
            format!("{wall:.2} s; {ideal:.2} s"),
            times,
        )
        .number(wall, "s"),
    );
    let mean = own.sum() / u32::try_from(own.len().max(1))?;
    section.figures.push(
        Figure::new(
            format!("{hosts} hosts, {what}: of that the service itself, a host"),
            ms(mean),
            own.len(),
        )
        .number(mean.as_secs_f64() * 1000.0, "ms"),
    );
    section.tables.push(gaps(&format!("What is ours, {hosts} hosts, {what}"), &accounts));
    Ok(())
}

fn gaps(title: &str, accounts: &[Account]) -> Table {
    let mut table = Table::new(title, ["what", "p50", "p99", "times", "in all, of one rollout"]);
    for gap in Gap::ALL {
        let samples: Samples = accounts.iter().flat_map(|account| account.gaps_of(gap)).collect();
        let rollouts = u32::try_from(accounts.len().max(1)).unwrap_or(1);
        let (p50, p99, sum) = (ms(samples.p50()), ms(samples.p99()), ms(samples.sum() / rollouts));
        table.row([gap.words().to_owned(), p50, p99, samples.len().to_string(), sum]);
    }
    table
}
