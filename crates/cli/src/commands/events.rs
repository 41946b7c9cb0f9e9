//! `events`.

use api::{Step, view::EventItem};

use super::Context;
use crate::{args::Events, failure::Failure};

pub(super) async fn events(context: &mut Context, args: Events) -> Result<u8, Failure> {
    let mut events = context.client.events(args.service.as_ref(), args.after, args.follow);
    while let Some(step) = events.next().await? {
        match step {
            Step::Item(EventItem::Event(event)) => context.printer.event(&event),
            Step::Item(EventItem::Gap(gap)) => context.printer.gap(&gap),
            Step::Lost(attempt) => context.printer.lost(&attempt),
            Step::Waits(waits) => context.printer.nobody_says(&waits),
        }
        if context.printer.is_unread() {
            break;
        }
    }
    Ok(0)
}
