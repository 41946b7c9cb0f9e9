//! Asks fakeaws and moto, an independent stand-in for AWS in Python, the same things, and compares what they say.
//!
//! Promise: a difference that is not in the table of differences fails, and so does one in the table that is none any more.
//! Each entry names the AWS document that decides who is right. Run by `cargo xtask conformance`, which sees to moto.
//! Absent on purpose: AWS itself, which nothing here may reach.

mod facts;
mod steps;
mod worlds;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

use self::{
    facts::Found,
    steps::{Difference, Step},
    worlds::World,
};

/// Compares fakeaws with moto.
#[derive(Debug, Parser)]
#[command(name = "deployinator-conformance")]
struct Arguments {
    /// The Python that has moto.
    #[arg(long, value_name = "FILE")]
    python: PathBuf,
    /// Say everything that was compared.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many problems there were.
#[tokio::main]
async fn run(arguments: &Arguments) -> Result<usize> {
    let (steps, listed) = (steps::steps()?, steps::differences()?);
    let mut ours = World::fakeaws().await.context("make an account in fakeaws")?;
    let mut theirs = World::moto(&arguments.python).await.context("make an account in moto")?;
    let mut found = Vec::new();
    let mut calls = 0;
    for step in &steps {
        match step {
            Step::Act(act) => {
                ours.act(act).await.with_context(|| format!("{act} in fakeaws"))?;
                theirs.act(act).await.with_context(|| format!("{act} in moto"))?;
            }
            Step::Call(call) => {
                let our = ours.ask(call).await.with_context(|| format!("ask fakeaws: {}", call.name))?;
                let their = theirs.ask(call).await.with_context(|| format!("ask moto: {}", call.name))?;
                if arguments.verbose {
                    println!("{}\n  fakeaws {our:?}\n  moto    {their:?}", call.name);
                }
                found.extend(facts::compare(&call.name, &our, &their));
                calls += 1;
            }
        }
    }
    let problems = judge(&found, &listed);
    for problem in &problems {
        println!("{problem}");
    }
    let verdict = if problems.is_empty() { "ok" } else { "FAILED" };
    let (differences, count) = (listed.len(), problems.len());
    println!("conformance: {verdict}, {calls} calls, {differences} differences listed, {count} problems");
    Ok(count)
}

/// What is not listed, and what is listed and not so.
fn judge(found: &[Found], listed: &[Difference]) -> Vec<String> {
    let listed: Vec<Found> = listed.iter().flat_map(Difference::facts).collect();
    let new = found.iter().filter(|found| !listed.contains(found)).map(|found| ("not listed", found));
    let gone = listed.iter().filter(|listed| !found.contains(listed));
    let problems = new.chain(gone.map(|listed| ("listed and not so", listed)));
    let text = |(what, about): (&str, &Found)| {
        let Found { call, fact, fakeaws, moto } = about;
        format!("{what}: {call}: {fact}: fakeaws {fakeaws:?}, moto {moto:?}")
    };
    problems.map(text).collect()
}

/// What stands for what, in forms and in facts.
type Names = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_listed_once_with_its_document_and_what_is_listed_is_so() {
        let listed = steps::differences().unwrap();
        assert!(listed.iter().all(|difference| difference.document.len() > 20));
        let found = |moto: &str| Found {
            call: "a".to_owned(),
            fact: "status".to_owned(),
            fakeaws: "200".to_owned(),
            moto: moto.to_owned(),
        };
        let said = |text: &str| [("status".to_owned(), text.to_owned())].into();
        let entry = [Difference {
            call: "a".to_owned(),
            fakeaws: said("200"),
            moto: said("500"),
            document: String::new(),
        }];
        assert!(judge(&[found("500")], &entry).is_empty());
        assert_eq!(judge(&[found("501")], &entry).len(), 2);
        assert_eq!(judge(&[], &entry).len(), 1);
        assert_eq!(judge(&[found("500")], &[]).len(), 1);
    }

    #[test]
    fn the_steps_can_be_read_and_have_names_of_their_own() {
        let steps = steps::steps().unwrap();
        let mut names: Vec<&str> = steps
            .iter()
            .filter_map(|step| if let Step::Call(call) = step { Some(call.name.as_str()) } else { None })
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(all > 40 && names.len() == all, "{all} calls, {} names", names.len());
        let facts = facts::Facts::default();
        assert!(facts::compare("a", &facts, &facts).is_empty());
    }
}
