//! What programs wrote on this host, from its files.

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use api::view::{LogGap, LogHost, LogItem, LogLine, LogPlace, LogSource, LogSpot, LogStream, LogsQuery};
use model::HostId;
use supervisor::logs::{Gap, Line, Place, Read, Reader, Wanted, Writer, last_lines};
use tonic::Status;

use super::{Gone, Sender, send};

/// Time between two looks for something new.
const LOOK: Duration = Duration::from_millis(200);

/// The logs of a service on this host.
#[derive(Debug, Clone)]
pub struct Own {
    /// This host.
    pub host: HostId,
    /// The directory of each instance's keeper.
    pub keepers: Vec<(u32, PathBuf)>,
}

/// The readers of all programs and instances.
struct Readers {
    host: HostId,
    all: Vec<(u32, Reader)>,
}

impl Own {
    /// Sends what is asked for, until all is sent, or until the reader has gone. Files are read on threads that may block.
    pub async fn send(self, query: LogsQuery, to: Sender) {
        let follow = query.follow;
        let opened = blocking(move || {
            let readers = Readers::open(self, &query)?;
            let places = readers.places();
            Ok((readers, places))
        });
        let result = match opened.await {
            Ok((readers, places)) => readers.run(places, follow, &to).await,
            Err(error) => Ok(Err(error)),
        };
        if let Ok(Err(error)) = result {
            // The reader may be gone by now.
            let _ = to.send(Err(Status::internal(format!("read the logs: {error}")))).await;
        }
    }
}

/// Files may be slow, and the runtime's threads are few.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

impl Readers {
    fn open(own: Own, query: &LogsQuery) -> io::Result<Self> {
        let writers: Vec<Writer> = Writer::ALL
            .into_iter()
            .filter(|writer| query.stream.is_none_or(|stream| stream == stream_of(*writer)))
            .collect();
        let wanted = Wanted { release: query.release.clone(), attempt: query.attempt };
        let after: BTreeMap<(u32, LogStream), Place> = query
            .after
            .iter()
            .filter(|place| place.spot.host == own.host)
            .map(|place| {
                (
                    (place.spot.instance, place.spot.stream),
                    Place { attempt: place.attempt, offset: place.offset },
                )
            })
            .collect();
        let mut all = Vec::new();
        for (instance, keeper) in own.keepers {
            let places = if after.is_empty() {
                last_lines(&keeper, &writers, &wanted, u64::from(query.tail_lines))?
            } else {
                // What began since the reader was here, it has not seen.
                let known = |writer| after.get(&(instance, stream_of(writer))).copied();
                writers.iter().map(|writer| (*writer, known(*writer).unwrap_or(Place::START))).collect()
            };
            for (writer, place) in places {
                all.push((instance, Reader::new(&keeper, writer, wanted.clone(), place, query.follow)?));
            }
        }
        Ok(Self { host: own.host, all })
    }

    async fn run(mut self, places: Vec<LogPlace>, follow: bool, to: &Sender) -> Result<io::Result<()>, Gone> {
        let mut current = false;
        let host = LogHost { host: self.host.clone(), reached: Ok(places), current };
        send(to, LogItem::Host(host)).await?;
        loop {
            let round = blocking(move || {
                let items = self.round()?;
                Ok((self, items))
            });
            let items;
            (self, items) = match round.await {
                Ok(done) => done,
                Err(error) => return Ok(Err(error)),
            };
            let quiet = items.is_empty();
            for item in items {
                send(to, item).await?;
            }
            if quiet && !current {
                current = true;
                let host = LogHost { host: self.host.clone(), reached: Ok(self.places()), current };
                send(to, LogItem::Host(host)).await?;
            }
            if quiet && !follow {
                return Ok(Ok(()));
            }
            if quiet {
                tokio::select! {
                    () = to.closed() => return Err(Gone),
                    () = tokio::time::sleep(LOOK) => (),
                }
            }
        }
    }

    /// One batch of each reader that has one; whoever is at an older attempt comes first.
    fn round(&mut self) -> io::Result<Vec<LogItem>> {
        self.all.sort_by_key(|(_, reader)| reader.place().attempt);
        let mut items = Vec::new();
        for at in 0..self.all.len() {
            let read = self.all[at].1.read()?;
            let spot = self.spot(at);
            items.extend(match read {
                Read::AtEnd => None,
                Read::Gap(gap) => Some(LogItem::Gap(write_gap(&spot, gap))),
                Read::Lines { of, lines } => {
                    let source = LogSource {
                        spot,
                        attempt: of.number,
                        fence: of.fence,
                        release: of.release,
                        restored: of.restored,
                    };
                    Some(LogItem::Lines(source, lines.into_iter().map(write_line).collect()))
                }
            });
        }
        Ok(items)
    }

    fn spot(&self, at: usize) -> LogSpot {
        let (instance, reader) = &self.all[at];
        LogSpot { host: self.host.clone(), instance: *instance, stream: stream_of(reader.writer()) }
    }

    fn places(&self) -> Vec<LogPlace> {
        let place = |at: usize| write_place(&self.spot(at), self.all[at].1.place());
        (0..self.all.len()).map(place).collect()
    }
}

fn stream_of(writer: Writer) -> LogStream {
    match writer {
        Writer::Service => LogStream::Serve,
        Writer::Migration => LogStream::Migrate,
    }
}

fn write_place(spot: &LogSpot, place: Place) -> LogPlace {
    LogPlace { spot: spot.clone(), attempt: place.attempt, offset: place.offset }
}

fn write_gap(spot: &LogSpot, gap: Gap) -> LogGap {
    LogGap { from: write_place(spot, gap.from), to: write_place(spot, gap.to), lost_bytes: gap.lost_bytes }
}

fn write_line(line: Line) -> LogLine {
    let Line { offset, next, text, cut, continued } = line;
    LogLine { offset, next, text, cut, continued }
}
