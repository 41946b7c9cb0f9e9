//! Makes the settings of where CI leaves word of a service's releases.

use std::net::IpAddr;

use ports::channel::Address;

use super::super::check_loopback;
use crate::{
    fragment::service::ChannelFragment,
    problem::Sink,
    settings::{Channel, DEFAULTS},
};

pub(super) fn channel(fragment: ChannelFragment, must_be_loopback: bool, sink: &Sink) -> Option<Channel> {
    if let Some((Address::Http(web), place)) = fragment.url.given()
        && must_be_loopback
        && !web.host().eq_ignore_ascii_case("localhost")
    {
        match web.host().parse::<IpAddr>() {
            Ok(ip) => check_loopback(ip, place, sink),
            Err(_) => sink.at(
                place,
                "must be https, or a loopback address or localhost: whoever can change what is read in plaintext says \
                 what is released; where the network is trusted, set transport.insecure = true",
            ),
        }
    }
    let url = fragment.url.required(sink);
    let poll = fragment.poll.or(DEFAULTS.channel_poll);
    Some(Channel { url: url?, poll: poll? })
}
