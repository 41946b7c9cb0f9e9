//! `events`.

use api::{
    v1,
    view::{Cursor, EventItem},
};

use super::{Context, unreadable};
use crate::{args::Events, failure::Failure};

pub(super) async fn events(context: &mut Context, args: Events) -> Result<u8, Failure> {
    let mut after = args.after;
    let service = args.service.map(String::from);
    let mut again = false;
    loop {
        let request = v1::EventsRequest {
            service: service.clone(),
            after: after.map(v1::Cursor::from),
            follow: args.follow,
        };
        let call =
            async |mut client: crate::connect::Client| Ok(client.events(request.clone()).await?.into_inner());
        let attempted = "ask for the events";
        let opened = if again {
            context.agents.ask_again(attempted, call).await
        } else {
            context.agents.ask(attempted, call).await
        };
        let mut stream = opened?;
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    match EventItem::try_from(message).map_err(|error| unreadable(&error))? {
                        EventItem::Event(event) if after.is_none_or(|after: Cursor| after < event.cursor) => {
                            after = Some(event.cursor);
                            context.printer.event(&event);
                        if context.printer.is_unread() {
                            return Ok(0);
                        }
                        }
                        EventItem::Event(_) => (),
                        EventItem::Gap(gap) => context.printer.gap(&gap),
                    }
                }
                Ok(None) if !args.follow => return Ok(0),
                // The agent went away; another one goes on from the same place.
                Ok(None) | Err(_) => break,
            }
        }
        again = true;
    }
}
