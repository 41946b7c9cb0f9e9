//! STS: who the caller is.

use super::{Call, Caller, Reply, no_such_action};
use crate::{cloud::Cloud, refusal::Refusal};

pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

pub(super) fn execute(cloud: &Cloud, call: &Call, caller: &Caller) -> Result<Reply, Refusal> {
    match call.action.as_str() {
        "GetCallerIdentity" => Ok(Reply::query(NAMESPACE, "GetCallerIdentity", |xml| {
            xml.leaf("Arn", &caller.arn);
            xml.leaf("UserId", format!("AIDA:{}", caller.name));
            xml.leaf("Account", &cloud.settings.account);
        })),
        _ => Err(no_such_action(call)),
    }
}
