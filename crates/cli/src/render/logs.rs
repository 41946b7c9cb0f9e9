//! What programs wrote: a label before each line tells whose it is.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write as _};

use api::{
    Attempt, Waits,
    view::{LogGap, LogHost, LogLine, LogPlace, LogSource, LogSpot, LogStream},
};
use model::{HostId, ServiceName};
use serde_json::{Value, json};

use super::{
    Printer,
    paint::{Paint, pad},
    text::short,
};

/// Columns of a release's name.
const RELEASE: usize = 12;
/// Columns of an attempt's number.
const ATTEMPT: usize = 4;
/// Columns of what kind of output it is.
const KIND: usize = 8;

/// How wide hosts' names have been so far, so that lines stand below each other; and which hosts have several instances.
#[derive(Debug, Default)]
pub(super) struct Columns {
    host: usize,
    several: BTreeSet<HostId>,
}

impl Printer {
    pub(crate) fn log_lines(&mut self, service: &ServiceName, source: &LogSource, lines: &[LogLine]) {
        let mut text = String::new();
        if self.json {
            for line in lines {
                let _ = writeln!(text, "{}", line_json(service, source, line));
            }
        } else {
            let label = self.columns.label(service, source, self.paint);
            for line in lines {
                let _ = writeln!(text, "{label} {}", line_text(line, source.restored, self.paint));
            }
        }
        self.write(text.trim_end_matches('\n'));
    }

    pub(crate) fn log_gap(&mut self, service: &ServiceName, gap: &LogGap) {
        let text = if self.json {
            gap_json(service, gap).to_string()
        } else {
            let spot = &gap.from.spot;
            format!("{service} {} {}", self.columns.host(spot), self.paint.bad(&gap_text(gap)))
        };
        self.write(&text);
    }

    /// Where output stands on a host.
    pub(crate) fn log_places(&mut self, host: &HostId, places: &[LogPlace]) {
        if places.iter().any(|place| 0 < place.spot.instance) {
            self.columns.several.insert(host.clone());
        }
    }

    /// A host is not reached, or is again. Beside the lines, as it is none of them.
    pub(crate) fn log_host(&mut self, service: &ServiceName, host: &LogHost, follow: bool) {
        if self.json {
            let reason = host.reached.as_ref().err();
            let text = json!({
                "item": "host", "service": service, "host": host.host, "reached": reason.is_none(), "reason": reason,
            });
            return self.write(&text.to_string());
        }
        let next = if follow {
            format!("it is asked again as long as it declares {service}")
        } else {
            "its lines are missing here".to_owned()
        };
        match &host.reached {
            Ok(_) => eprintln!("{}: reached again", host.host),
            Err(reason) => eprintln!("{}: not reached, {reason}; {next}", host.host),
        }
    }

    pub(crate) fn log_lost(&mut self, attempt: &Attempt) {
        if self.json {
            let text =
                json!({ "item": "lost", "agent": attempt.address.to_string(), "reason": attempt.reason });
            return self.write(&text.to_string());
        }
        eprintln!("(lost {}: {}; another agent is asked)", attempt.address, attempt.reason);
    }

    /// No agent answers at present. Beside the lines, too.
    pub(crate) fn log_waits(&mut self, waits: &Waits) {
        if self.json {
            return self.nobody_says(waits);
        }
        eprintln!("({})", waits.reason);
    }

    pub(crate) fn log_nothing(&mut self, service: &ServiceName) {
        if !self.json {
            eprintln!("no line of {service} is kept that is asked for");
        }
    }
}

impl Columns {
    /// "web h1       dir-86f0b2eb #3   serve    │", with an instance as "h1/2".
    fn label(&mut self, service: &ServiceName, source: &LogSource, paint: Paint) -> String {
        let release = source.release.as_ref().map_or_else(|| "?".to_owned(), short);
        let kind = if source.restored { "restored" } else { source.spot.stream.word() };
        let painted = match (source.restored, source.spot.stream) {
            (true, _) => paint.busy(&pad(kind, KIND)),
            (false, LogStream::Migrate) => paint.strong(&pad(kind, KIND)),
            (false, LogStream::Serve) => paint.faint(&pad(kind, KIND)),
        };
        format!(
            "{} {} {} {painted} {}",
            paint.faint(service.as_str()),
            self.host(&source.spot),
            paint.faint(&format!(
                "{} {}",
                pad(&release, RELEASE),
                pad(&format!("#{}", source.attempt), ATTEMPT)
            )),
            paint.faint("│")
        )
    }

    fn host(&mut self, spot: &LogSpot) -> String {
        let several = self.several.contains(&spot.host);
        let name = if several { format!("{}/{}", spot.host, spot.instance) } else { spot.host.to_string() };
        self.host = self.host.max(name.len());
        pad(&name, self.host)
    }
}

fn line_text(line: &LogLine, restored: bool, paint: Paint) -> String {
    let text = neutral(&line.text);
    let mut shown = if restored { paint.busy(&text) } else { text.into_owned() };
    if line.continued {
        shown.insert_str(0, &paint.faint("… "));
    }
    if line.cut {
        shown.push_str(&paint.faint(" … (cut: longer than 16 KiB)"));
    }
    shown
}

fn gap_text(gap: &LogGap) -> String {
    let (from, to) = (&gap.from, &gap.to);
    let stream = from.spot.stream;
    match gap.lost_bytes {
        Some(lost) => format!("(gap: {lost} bytes of {stream} #{} are no longer kept)", to.attempt),
        None if from.attempt == to.attempt => {
            format!("(gap: {stream} #{} was cut, nobody knows by how much)", to.attempt)
        }
        None => format!("(gap: {stream} before #{} is no longer kept)", to.attempt),
    }
}

/// Without what a terminal would obey: escape sequences cannot paint, move or hide anything.
fn neutral(text: &str) -> Cow<'_, str> {
    let text = text.strip_suffix('\r').unwrap_or(text);
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\x7f' => shown.push_str("^?"),
            '\0'..'\x20' if c != '\t' => {
                shown.push('^');
                shown.push(char::from(c as u8 + b'@'));
            }
            c if is_obeyed(c) => {
                let _ = write!(shown, "<U+{:04X}>", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that turn the direction of a text or end its line.
fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c != '\t' && (c.is_control() || turns)
}

fn line_json(service: &ServiceName, source: &LogSource, line: &LogLine) -> Value {
    json!({
        "item": "line",
        "service": service,
        "host": source.spot.host,
        "instance": source.spot.instance,
        "stream": source.spot.stream.word(),
        "release": source.release,
        "attempt": source.attempt,
        "fence": source.fence.to_string(),
        "restored": source.restored,
        "offset": line.offset,
        "next": line.next,
        "text": line.text,
        "cut": line.cut,
        "continued": line.continued,
    })
}

fn gap_json(service: &ServiceName, gap: &LogGap) -> Value {
    let spot = &gap.from.spot;
    // The largest offset lies behind all of an attempt, and is no number that every program can read.
    let place = |attempt: u64, offset: u64| json!({ "attempt": attempt, "offset": (offset != u64::MAX).then_some(offset) });
    json!({
        "item": "gap",
        "service": service,
        "host": spot.host,
        "instance": spot.instance,
        "stream": spot.stream.word(),
        "from": place(gap.from.attempt, gap.from.offset),
        "to": place(gap.to.attempt, gap.to.offset),
        "lost_bytes": gap.lost_bytes,
    })
}

#[cfg(test)]
mod tests {
    use model::{Fence, Incarnation, Revision};

    use super::*;

    fn source(restored: bool) -> LogSource {
        LogSource {
            spot: LogSpot { host: "h1".parse().unwrap(), instance: 0, stream: LogStream::Serve },
            attempt: 3,
            fence: Fence { incarnation: Incarnation(1), revision: Revision(9) },
            release: Some("dir-0123456789abcdef".parse().unwrap()),
            restored,
        }
    }

    fn line(text: &str) -> LogLine {
        LogLine { offset: 7, next: 12, text: text.into(), cut: false, continued: false }
    }

    #[test]
    fn a_label_tells_whose_a_line_is() {
        let (web, plain) = ("web".parse().unwrap(), Paint { colored: false });
        let mut columns = Columns::default();
        assert_eq!(columns.label(&web, &source(false), plain), "web h1 dir-01234567 #3   serve    │");
        let mut other = source(true);
        (other.spot.host, other.spot.instance) = ("host-2".parse().unwrap(), 4);
        columns.several.insert(other.spot.host.clone());
        assert_eq!(columns.label(&web, &other, plain), "web host-2/4 dir-01234567 #3   restored │");
        (other.restored, other.spot.stream, other.release) = (false, LogStream::Migrate, None);
        assert_eq!(columns.label(&web, &other, plain), "web host-2/4 ?            #3   migrate  │");
        assert_eq!(columns.label(&web, &source(false), plain), "web h1       dir-01234567 #3   serve    │");
    }

    #[test]
    fn the_restored_release_has_its_own_colour() {
        let paint = Paint { colored: true };
        assert_eq!(line_text(&line("x"), true, paint), paint.busy("x"));
        assert_eq!(line_text(&line("x"), false, paint), "x");
        let marked = LogLine { cut: true, continued: true, ..line("x") };
        let plain = Paint { colored: false };
        assert_eq!(line_text(&marked, false, plain), "… x … (cut: longer than 16 KiB)");
    }

    #[test]
    fn a_terminal_obeys_nothing_that_a_program_wrote() {
        assert_eq!(neutral("plain\ttext ü"), "plain\ttext ü");
        assert_eq!(neutral("\x1b[31mred\x07\x7f\r\0"), "^[[31mred^G^?^M^@");
        assert_eq!(neutral("windows\r"), "windows");
        assert_eq!(neutral("\u{9b}2J a\u{202e}b\u{2028}"), "<U+009B>2J a<U+202E>b<U+2028>");
        let web = "web".parse().unwrap();
        assert_eq!(line_json(&web, &source(false), &line("\x1b[31m"))["text"], "\x1b[31m");
    }

    #[test]
    fn a_gap_says_what_is_missing() {
        let place = |attempt, offset| LogPlace { spot: source(false).spot, attempt, offset };
        let gap = |from, to, lost_bytes| LogGap { from, to, lost_bytes };
        let known = gap(place(3, 10), place(3, 90), Some(80));
        assert_eq!(gap_text(&known), "(gap: 80 bytes of serve #3 are no longer kept)");
        let pruned = gap(place(3, u64::MAX), place(9, 0), None);
        assert_eq!(gap_text(&pruned), "(gap: serve before #9 is no longer kept)");
        assert_eq!(
            gap_json(&"web".parse().unwrap(), &pruned)["from"],
            json!({ "attempt": 3, "offset": null })
        );
    }
}
