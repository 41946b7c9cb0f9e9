//! What is asked and what may differ: the two files in `conformance/`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::facts::Found;

/// One step of the list.
#[derive(Debug)]
pub(crate) enum Step {
    Act(String),
    Call(Box<Call>),
}

/// One call, and what of its answer is compared.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) ask: Ask,
    pub(crate) is_signed: bool,
    pub(crate) until: Option<String>,
    pub(crate) tell: Vec<String>,
    pub(crate) count: Vec<String>,
    pub(crate) keep: Option<String>,
    pub(crate) pair: Option<String>,
    pub(crate) whole: bool,
}

#[derive(Debug)]
pub(crate) enum Ask {
    Form(String),
    Request { method: String, path: String },
}

/// How the answers to one call differ.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    pub(crate) call: String,
    /// What fakeaws says, by fact.
    pub(crate) fakeaws: BTreeMap<String, String>,
    /// What moto says to the same.
    pub(crate) moto: BTreeMap<String, String>,
    /// Title of the AWS document that decides, and what it says.
    pub(crate) document: String,
}

impl Difference {
    /// It, fact by fact.
    pub(crate) fn facts(&self) -> impl Iterator<Item = Found> {
        let facts: BTreeSet<&String> = self.fakeaws.keys().chain(self.moto.keys()).collect();
        let said = |by: &BTreeMap<String, String>, fact| by.get(fact).cloned().unwrap_or_default();
        facts.into_iter().map(move |fact| Found {
            call: self.call.clone(),
            fact: fact.clone(),
            fakeaws: said(&self.fakeaws, fact),
            moto: said(&self.moto, fact),
        })
    }
}

#[derive(Deserialize)]
struct Steps {
    step: Vec<Fragment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    act: Option<String>,
    name: Option<String>,
    service: Option<String>,
    form: Option<String>,
    request: Option<String>,
    #[serde(default)]
    unsigned: bool,
    until: Option<String>,
    #[serde(default)]
    tell: Vec<String>,
    #[serde(default)]
    count: Vec<String>,
    keep: Option<String>,
    pair: Option<String>,
    #[serde(default)]
    whole: bool,
}

#[derive(Deserialize)]
struct Differences {
    #[serde(default)]
    difference: Vec<Difference>,
}

/// The list of steps.
pub(crate) fn steps() -> Result<Vec<Step>> {
    let read: Steps =
        toml::from_str(include_str!("../../../conformance/calls.toml")).context("read calls.toml")?;
    read.step.into_iter().map(step).collect()
}

/// The table of differences.
pub(crate) fn differences() -> Result<Vec<Difference>> {
    let text = include_str!("../../../conformance/differences.toml");
    let Differences { difference } = toml::from_str(text).context("read differences.toml")?;
    let undecided = difference.iter().find(|difference| difference.document.is_empty());
    ensure!(
        undecided.is_none(),
        "no document decides about {:?}",
        undecided.map(|difference| &difference.call)
    );
    Ok(difference)
}

fn step(fragment: Fragment) -> Result<Step> {
    let Fragment { act, name, service, form, request, unsigned, until, tell, count, keep, pair, whole } =
        fragment;
    if let Some(act) = act {
        return Ok(Step::Act(act));
    }
    let name = name.context("a step without a name")?;
    let service = service.with_context(|| format!("{name}: no service"))?;
    let ask = match (form, request.as_deref().and_then(|request| request.split_once(' '))) {
        (Some(form), None) => Ask::Form(form),
        (None, Some((method, path))) => Ask::Request { method: method.to_owned(), path: path.to_owned() },
        _ => bail!("{name}: either a form or a request"),
    };
    let is_signed = !unsigned && service != "imds";
    Ok(Step::Call(Box::new(Call { name, service, ask, is_signed, until, tell, count, keep, pair, whole })))
}
