//! What programs wrote.

use super::{
    Invalid, all, all_named, each, maybe_named, named, needed, read,
    words::{Word, maybe_word},
};
use crate::{
    v1::{self, logs_response},
    view::{LogGap, LogHost, LogItem, LogLine, LogPlace, LogSource, LogSpot, LogsQuery},
};

/// Most hosts that a request names.
const HOSTS_LIMIT: usize = 1024;
/// Most places that a request names: a few for each host of a large fleet.
const PLACES_LIMIT: usize = 32_768;

impl From<LogsQuery> for v1::LogsRequest {
    fn from(query: LogsQuery) -> Self {
        Self {
            service: query.service.into(),
            hosts: query.hosts.into_iter().map(Into::into).collect(),
            release: query.release,
            attempt: query.attempt,
            stream: query.stream.map_or(0, Word::write),
            tail_lines: query.tail_lines,
            follow: query.follow,
            after: each(query.after),
        }
    }
}

impl TryFrom<v1::LogsRequest> for LogsQuery {
    type Error = Invalid;
    fn try_from(wire: v1::LogsRequest) -> Result<Self, Invalid> {
        Ok(Self {
            service: named("service", &wire.service)?,
            hosts: all_named("hosts", few("hosts", &wire.hosts, HOSTS_LIMIT)?)?,
            release: wire.release,
            attempt: wire.attempt,
            stream: maybe_word("stream", wire.stream)?,
            tail_lines: wire.tail_lines,
            follow: wire.follow,
            after: {
                few("after", &wire.after, PLACES_LIMIT)?;
                all("after", wire.after)?
            },
        })
    }
}

/// Refuses a list that is too long, before it is read.
fn few<'a, T>(field: &str, values: &'a [T], limit: usize) -> Result<&'a [T], Invalid> {
    if values.len() <= limit {
        return Ok(values);
    }
    let problem = format!("must be at most {limit}, and are {}", values.len());
    Err(Invalid::new(field, problem))
}

impl From<LogPlace> for v1::LogPlace {
    fn from(place: LogPlace) -> Self {
        let LogSpot { host, instance, stream } = place.spot;
        Self {
            host: host.into(),
            instance,
            stream: stream.write(),
            attempt: place.attempt,
            offset: place.offset,
        }
    }
}

impl TryFrom<v1::LogPlace> for LogPlace {
    type Error = Invalid;
    fn try_from(wire: v1::LogPlace) -> Result<Self, Invalid> {
        let host = named("host", &wire.host)?;
        let spot = LogSpot { host, instance: wire.instance, stream: Word::read("stream", wire.stream)? };
        Ok(Self { spot, attempt: wire.attempt, offset: wire.offset })
    }
}

impl From<LogItem> for v1::LogsResponse {
    fn from(item: LogItem) -> Self {
        use logs_response::Item;
        Self {
            item: Some(match item {
                LogItem::Host(host) => Item::Host(host.into()),
                LogItem::Lines(source, lines) => Item::Lines(write_lines(source, lines)),
                LogItem::Gap(gap) => Item::Gap(v1::LogGap {
                    from: Some(gap.from.into()),
                    to: Some(gap.to.into()),
                    lost_bytes: gap.lost_bytes,
                }),
            }),
        }
    }
}

impl TryFrom<v1::LogsResponse> for LogItem {
    type Error = Invalid;
    fn try_from(wire: v1::LogsResponse) -> Result<Self, Invalid> {
        use logs_response::Item;
        Ok(match needed("item", wire.item)? {
            Item::Host(host) => Self::Host(read("host", Some(host))?),
            Item::Lines(lines) => read_lines(lines).map_err(|error| error.within("lines"))?,
            Item::Gap(gap) => Self::Gap(LogGap {
                from: read("gap.from", gap.from)?,
                to: read("gap.to", gap.to)?,
                lost_bytes: gap.lost_bytes,
            }),
        })
    }
}

impl From<LogHost> for v1::LogHost {
    fn from(host: LogHost) -> Self {
        let reached = host.reached.is_ok();
        let (places, reason) = match host.reached {
            Ok(places) => (places, String::new()),
            Err(reason) => (Vec::new(), reason),
        };
        Self { host: host.host.into(), reached, reason, places: each(places), current: host.current }
    }
}

impl TryFrom<v1::LogHost> for LogHost {
    type Error = Invalid;
    fn try_from(wire: v1::LogHost) -> Result<Self, Invalid> {
        let host = named("host", &wire.host)?;
        let places = all("places", wire.places)?;
        let reached = if wire.reached { Ok(places) } else { Err(wire.reason) };
        Ok(Self { host, reached, current: wire.current })
    }
}

fn write_lines(source: LogSource, lines: Vec<LogLine>) -> v1::LogLines {
    let line = |line: LogLine| v1::LogLine {
        offset: line.offset,
        next: line.next,
        text: line.text,
        cut: line.cut,
        continued: line.continued,
    };
    v1::LogLines {
        host: source.spot.host.into(),
        instance: source.spot.instance,
        stream: source.spot.stream.write(),
        attempt: source.attempt,
        fence: Some(source.fence.into()),
        release: source.release.map(Into::into),
        restored: source.restored,
        lines: lines.into_iter().map(line).collect(),
    }
}

fn read_lines(wire: v1::LogLines) -> Result<LogItem, Invalid> {
    let line = |line: v1::LogLine| LogLine {
        offset: line.offset,
        next: line.next,
        text: line.text,
        cut: line.cut,
        continued: line.continued,
    };
    let host = named("host", &wire.host)?;
    let source = LogSource {
        spot: LogSpot { host, instance: wire.instance, stream: Word::read("stream", wire.stream)? },
        attempt: wire.attempt,
        fence: needed("fence", wire.fence)?.into(),
        release: maybe_named("release", wire.release.as_deref())?,
        restored: wire.restored,
    };
    Ok(LogItem::Lines(source, wire.lines.into_iter().map(line).collect()))
}

#[cfg(test)]
mod tests {
    use model::{Fence, Incarnation, Revision};

    use super::*;
    use crate::view::LogStream;

    #[test]
    fn output_comes_back_as_it_was() {
        let host = || "h1".parse().unwrap();
        let spot = |stream| LogSpot { host: host(), instance: 3, stream };
        let place = |attempt, offset| LogPlace { spot: spot(LogStream::Migrate), attempt, offset };
        let source = LogSource {
            spot: spot(LogStream::Serve),
            attempt: 7,
            fence: Fence { incarnation: Incarnation(2), revision: Revision(17) },
            release: Some("abc-web-2".parse().unwrap()),
            restored: true,
        };
        let line =
            LogLine { offset: 5, next: 9, text: "\u{1b}[31m\u{fffd}".into(), cut: true, continued: true };
        let unlabelled = LogSource { release: None, restored: false, ..source.clone() };
        for item in [
            LogItem::Host(LogHost {
                host: host(),
                reached: Ok(vec![place(1, u64::MAX), place(2, 0)]),
                current: true,
            }),
            LogItem::Host(LogHost {
                host: host(),
                reached: Err("connection refused".into()),
                current: false,
            }),
            LogItem::Lines(source, vec![line.clone(), LogLine { cut: false, continued: false, ..line }]),
            LogItem::Lines(unlabelled, vec![]),
            LogItem::Gap(LogGap { from: place(1, 2), to: place(3, 0), lost_bytes: None }),
            LogItem::Gap(LogGap { from: place(1, 2), to: place(1, 9), lost_bytes: Some(7) }),
        ] {
            assert_eq!(LogItem::try_from(v1::LogsResponse::from(item.clone())).unwrap(), item);
        }
        let query = LogsQuery {
            service: "web".parse().unwrap(),
            hosts: vec![host()],
            release: Some("abc".into()),
            attempt: Some(4),
            stream: Some(LogStream::Migrate),
            tail_lines: 9,
            follow: true,
            after: vec![place(1, 2)],
        };
        assert_eq!(LogsQuery::try_from(v1::LogsRequest::from(query.clone())).unwrap(), query);
        let mut wire = v1::LogsRequest::from(query);
        wire.after[0].stream = 0;
        assert_eq!(LogsQuery::try_from(wire).unwrap_err().to_string(), "after.stream: must be given");
    }
}
