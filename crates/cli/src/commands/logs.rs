//! `logs`.

use std::collections::BTreeSet;

use api::{
    Exit, Step,
    view::{LogHost, LogItem, LogStream, LogsQuery},
};
use model::HostId;

use super::Context;
use crate::{args::Logs, failure::Failure};

pub(super) async fn logs(context: &mut Context, args: Logs) -> Result<u8, Failure> {
    let follow = args.follow;
    let query = LogsQuery {
        service: args.service.clone(),
        hosts: args.hosts,
        release: args.release,
        attempt: args.attempt,
        stream: args.migration.then_some(LogStream::Migrate),
        tail_lines: args.tail,
        follow,
        after: Vec::new(),
    };
    let mut logs = context.client.logs(query);
    let (mut away, mut found) = (BTreeSet::new(), false);
    while let Some(step) = logs.next().await? {
        match step {
            Step::Item(LogItem::Lines(source, lines)) => {
                found = true;
                context.printer.log_lines(&args.service, &source, &lines);
            }
            Step::Item(LogItem::Gap(gap)) => context.printer.log_gap(&args.service, &gap),
            Step::Item(LogItem::Host(host)) => {
                context.printer.log_places(&host.host, host.reached.as_deref().unwrap_or_default());
                if is_news(&mut away, &host) {
                    context.printer.log_host(&args.service, &host, follow);
                }
            }
            Step::Lost(attempt) => context.printer.log_lost(&attempt),
            Step::Waits(waits) => context.printer.log_waits(&waits),
        }
        if context.printer.is_unread() {
            return Ok(0);
        }
    }
    if !away.is_empty() {
        // What there is, is shown; a script must not take it for all.
        return Ok(Exit::Unavailable.code());
    }
    if !found {
        context.printer.log_nothing(&args.service);
    }
    Ok(0)
}

/// A host that is reached, and was, is no news; nor is one that still is not.
fn is_news(away: &mut BTreeSet<HostId>, host: &LogHost) -> bool {
    match host.reached {
        Ok(_) => away.remove(&host.host),
        Err(_) => away.insert(host.host.clone()),
    }
}
