//! What programs wrote on this host, from its files.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    time::Duration,
};

use api::view::{LogGap, LogHost, LogItem, LogLine, LogPlace, LogSource, LogSpot, LogStream, LogsQuery};
use model::HostId;
use supervisor::logs::{Gap, Line, Place, Read, Reader, Wanted, Writer, last_lines};
use tonic::Status;

use super::{Gone, Sender, send};
use crate::instances;

/// Time between two looks for something new.
const LOOK: Duration = Duration::from_millis(200);

/// The logs of a service on this host.
#[derive(Debug, Clone)]
pub struct Own {
    /// This host.
    pub host: HostId,
    /// The service's directory, with those of its instances below.
    pub service: PathBuf,
}

/// The readers of all programs and instances.
struct Readers {
    own: Own,
    writers: Vec<Writer>,
    wanted: Wanted,
    follow: bool,
    instances: BTreeSet<u32>,
    all: Vec<(u32, Reader)>,
}

/// Where a caller is, by instance and program.
type After = BTreeMap<(u32, LogStream), Place>;

impl Own {
    /// Sends what is asked for, until all is sent, or until the reader has gone. Files are read on threads that may block.
    pub async fn send(self, query: LogsQuery, to: Sender) {
        let opened = blocking(move || Readers::open(self, &query)).await;
        let result = match opened {
            Ok(readers) => readers.run(&to).await,
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
        let is_wanted = |writer: &Writer| query.stream.is_none_or(|stream| stream == stream_of(*writer));
        let here = query.after.iter().filter(|place| place.spot.host == own.host);
        let place = |place: &LogPlace| Place { attempt: place.attempt, offset: place.offset };
        let after: After = here.map(|at| ((at.spot.instance, at.spot.stream), place(at))).collect();
        let mut readers = Self {
            writers: Writer::ALL.into_iter().filter(is_wanted).collect(),
            wanted: Wanted { release: query.release.clone(), attempt: query.attempt },
            follow: query.follow,
            instances: BTreeSet::new(),
            all: Vec::new(),
            own,
        };
        let lines = after.is_empty().then_some(query.tail_lines);
        readers.add(lines, &after)?;
        Ok(readers)
    }

    /// Reads the instances that are there and were not: their last lines, or else all that the caller has not seen. Returns whether there
    /// are any.
    fn add(&mut self, lines: Option<u32>, after: &After) -> io::Result<bool> {
        let mut keepers = instances::dirs_in(&self.own.service);
        keepers.retain(|instance, _| !self.instances.contains(instance));
        for (&instance, keeper) in &keepers {
            let places = match lines {
                Some(lines) => last_lines(keeper, &self.writers, &self.wanted, u64::from(lines))?,
                None => {
                    let known = |writer| after.get(&(instance, stream_of(writer))).copied();
                    let place = |writer: &Writer| (*writer, known(*writer).unwrap_or(Place::START));
                    self.writers.iter().map(place).collect()
                }
            };
            for (writer, place) in places {
                let reader = Reader::new(keeper, writer, self.wanted.clone(), place, self.follow)?;
                self.all.push((instance, reader));
            }
            self.instances.insert(instance);
        }
        Ok(!keepers.is_empty())
    }

    async fn run(mut self, to: &Sender) -> Result<io::Result<()>, Gone> {
        let mut current = false;
        send(to, self.reached(current)).await?;
        loop {
            let round = blocking(move || {
                // An instance that begins while it is followed is followed from its beginning.
                // Where it begins is said before it is read: a caller that is told a later place takes what comes for seen.
                let began = self.add(None, &After::new())?.then(|| self.reached(current));
                let items = self.round()?;
                Ok((self, items, began))
            });
            let (items, began);
            (self, items, began) = match round.await {
                Ok(done) => done,
                Err(error) => return Ok(Err(error)),
            };
            let quiet = items.is_empty();
            if let Some(began) = began {
                send(to, began).await?;
            }
            for item in items {
                send(to, item).await?;
            }
            if quiet && !current {
                current = true;
                send(to, self.reached(current)).await?;
            }
            if quiet && !self.follow {
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

    fn reached(&self, current: bool) -> LogItem {
        LogItem::Host(LogHost { host: self.own.host.clone(), reached: Ok(self.places()), current })
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
        LogSpot { host: self.own.host.clone(), instance: *instance, stream: stream_of(reader.writer()) }
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::{sync::mpsc, time::timeout};

    use super::*;

    /// As a keeper does.
    fn writes(service: &TempDir, instance: usize, text: &str) {
        let logs = instances::dir_of(service.path(), instance).join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        std::fs::write(logs.join("serve-1.1-0000000001.log"), text).unwrap();
    }

    fn query() -> LogsQuery {
        LogsQuery {
            service: "web".parse().unwrap(),
            hosts: Vec::new(),
            release: None,
            attempt: None,
            stream: Some(LogStream::Serve),
            tail_lines: 10,
            follow: true,
            after: Vec::new(),
        }
    }

    #[tokio::test]
    async fn an_instance_that_begins_while_it_is_followed_is_told_from_its_first_line() {
        let service = tempfile::tempdir().unwrap();
        writes(&service, 0, "one\n");
        let own = Own { host: "h1".parse().unwrap(), service: service.path().to_owned() };
        let (to, mut items) = mpsc::channel(1);
        let sending = tokio::spawn(own.send(query(), to));
        let mut places = BTreeMap::new();
        let mut lines = Vec::new();
        let all = async {
            while lines.len() < 3 {
                match items.recv().await.expect("it is followed").unwrap() {
                    // As a caller does: a spot that it does not know begins where it is told.
                    LogItem::Host(host) => {
                        for place in host.reached.unwrap() {
                            places.entry(place.spot).or_insert((place.attempt, place.offset));
                        }
                        if host.current && lines.len() == 1 {
                            writes(&service, 1, "two\nthree\n");
                        }
                    }
                    LogItem::Lines(of, said) => {
                        let known = places[&of.spot];
                        let new = said.into_iter().filter(|line| known < (of.attempt, line.next));
                        lines.extend(new.map(|line| line.text));
                    }
                    LogItem::Gap(gap) => panic!("{gap:?}"),
                }
            }
        };
        timeout(Duration::from_secs(30), all).await.expect("all three lines");
        assert_eq!(lines, ["one", "two", "three"]);
        sending.abort();
    }
}
