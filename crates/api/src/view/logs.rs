//! What programs wrote, as it travels.

use std::fmt;

use model::{Fence, HostId, ReleaseId, ServiceName};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsQuery {
    /// The service.
    pub service: ServiceName,
    /// These hosts only; all that declare the service when empty.
    pub hosts: Vec<HostId>,
    /// Releases whose id begins like this; every one when absent.
    pub release: Option<String>,
    /// This attempt only.
    pub attempt: Option<u64>,
    /// This program only; both when absent.
    pub stream: Option<LogStream>,
    /// So many lines of each host at the most, the newest.
    pub tail_lines: u32,
    /// Whether to stay for what is written next.
    pub follow: bool,
    /// Where an earlier stream was.
    pub after: Vec<LogPlace>,
}

/// Which program's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogStream {
    /// `bin/serve`.
    Serve,
    /// `bin/migrate`.
    Migrate,
}

impl LogStream {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Migrate => "migrate",
        }
    }
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Where output stands: one program on one host, or one instance of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogSpot {
    /// The host.
    pub host: HostId,
    /// The instance; 0 where there is one only.
    pub instance: u32,
    /// The program.
    pub stream: LogStream,
}

/// A place in what stands at a spot: what comes before it is behind the reader.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// Where the output stands.
    pub spot: LogSpot,
    /// The attempt.
    pub attempt: u64,
    /// Bytes into its output; `u64::MAX` lies behind all of it.
    pub offset: u64,
}

/// One attempt: a run of a program, which has written lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    /// Where they stand.
    pub spot: LogSpot,
    /// Its number on its host; it only grows.
    pub attempt: u64,
    /// The grant that it was started under.
    pub fence: Fence,
    /// What ran; none where an older agent did not write it down.
    pub release: Option<ReleaseId>,
    /// It is the old release, brought back under the grant that had started a new one.
    pub restored: bool,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it begins, in bytes into its attempt's output.
    pub offset: u64,
    /// The place after it.
    pub next: u64,
    /// Without its end; it may hold control characters.
    pub text: String,
    /// It is longer than what is shown of any line.
    pub cut: bool,
    /// It goes on from the line before, whose end was long in coming.
    pub continued: bool,
}

/// Whether a host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHost {
    /// The host.
    pub host: HostId,
    /// Where its lines go on; or why it is not reached, in words.
    pub reached: Result<Vec<LogPlace>, String>,
    /// All that was written when the host was asked has been sent.
    pub current: bool,
}

/// Output that is no longer there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGap {
    /// Where it begins.
    pub from: LogPlace,
    /// Where the output goes on, at the same spot.
    pub to: LogPlace,
    /// How many bytes are missing, where that is known.
    pub lost_bytes: Option<u64>,
}

/// One message of a stream of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// A host is reached, is not, or has sent all that there was.
    Host(LogHost),
    /// Lines of one attempt, in order.
    Lines(LogSource, Vec<LogLine>),
    /// Something is missing, before what comes next at its spot.
    Gap(LogGap),
}
