use std::{fs::OpenOptions, io::Write as _};

use model::{Fence, Incarnation, ReleaseId, Revision};
use tempfile::TempDir;

use super::*;
use crate::logs::{Logs, last_lines};

fn fence(revision: u64) -> Fence {
    Fence { incarnation: Incarnation(1), revision: Revision(revision) }
}

/// A keeper's directory, and what programs write there.
struct Desk {
    dir: TempDir,
    logs: Logs,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path()).unwrap();
        Self { dir, logs }
    }

    fn begin(&self, writer: Writer, revision: u64, number: u64, release: &str) -> File {
        let release: ReleaseId = release.parse().unwrap();
        self.logs.create(writer, fence(revision), number, &release).unwrap()
    }

    fn serve(&self, number: u64, text: &str) -> File {
        let mut file = self.begin(Writer::Service, 1, number, "a");
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn reader(&self, place: Place, follows: bool) -> Reader {
        Reader::new(self.dir.path(), Writer::Service, Wanted::default(), place, follows).unwrap()
    }

    fn follow(&self) -> Reader {
        self.reader(Place::START, true)
    }

    fn places(&self, lines: u64) -> Vec<(Writer, Place)> {
        last_lines(self.dir.path(), &Writer::ALL, &Wanted::default(), lines).unwrap()
    }
}

/// Everything until the end, as text: lines with their attempt, and gaps.
fn all(reader: &mut Reader) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        match reader.read().unwrap() {
            Read::Lines { of, lines } => found.extend(lines.iter().map(|line| {
                let marks = [(line.cut, " cut"), (line.continued, " continued")];
                let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
                format!("{}: {}{marks}", of.number, line.text)
            })),
            Read::Gap(gap) => found.push(format!("gap {:?}", gap.lost_bytes)),
            Read::AtEnd => return found,
        }
    }
}

#[test]
fn attempts_are_read_in_order_and_followed_from_one_to_the_next() {
    let desk = Desk::new();
    let mut reader = desk.follow();
    assert_eq!(all(&mut reader), [""; 0]);
    let mut first = desk.serve(1, "one\n");
    assert_eq!(all(&mut reader), ["1: one"]);
    first.write_all(b"two\nthr").unwrap();
    assert_eq!(all(&mut reader), ["1: two"]);
    first.write_all(b"ee\nlast words").unwrap();
    drop(desk.begin(Writer::Migration, 2, 2, "b"));
    assert_eq!(all(&mut reader), ["1: three"]);
    desk.serve(3, "four\n");
    assert_eq!(all(&mut reader), ["1: last words", "3: four"]);
    assert_eq!(
        all(&mut desk.reader(Place::START, false)),
        ["1: one", "1: two", "1: three", "1: last words", "3: four"]
    );
}

#[test]
fn a_reader_goes_on_from_every_place_that_another_one_was_at() {
    let desk = Desk::new();
    let long = "x".repeat(LINE_LIMIT_BYTES + 100);
    desk.serve(1, &format!("one\n{long}\ntwo\n"));
    desk.serve(4, "");
    desk.serve(5, "three\nfour\n");
    let mut reader = desk.follow();
    let mut next = vec![Place::START];
    loop {
        match reader.read().unwrap() {
            Read::Lines { of, lines } => {
                next.extend(lines.iter().map(|line| Place { attempt: of.number, offset: line.next }));
            }
            Read::Gap(gap) => panic!("{gap:?}"),
            Read::AtEnd => break,
        }
    }
    let whole = all(&mut desk.follow());
    assert_eq!(whole.len(), 5);
    for (read, place) in next.into_iter().enumerate() {
        assert_eq!(all(&mut desk.reader(place, true)), whole[read..], "from {place:?}");
    }
}

#[test]
fn labels_tell_the_release_and_whether_it_was_brought_back() {
    let desk = Desk::new();
    let old = desk.dir.path().join("logs/serve-1.1-0000000001.log");
    std::fs::write(old, "before labels\n").unwrap();
    for (number, revision, release) in
        [(2, 7, "old"), (3, 9, "new"), (4, 9, "new"), (5, 9, "old"), (6, 9, "old"), (7, 11, "old")]
    {
        desk.begin(Writer::Service, revision, number, release).write_all(b"x\n").unwrap();
    }
    let mut reader = desk.follow();
    let mut seen = Vec::new();
    while let Read::Lines { of, .. } = reader.read().unwrap() {
        assert_eq!(of.writer, Writer::Service);
        seen.push((of.number, of.fence, of.release.map(String::from), of.restored));
    }
    let row = |number, revision, release: &str, restored| {
        (number, fence(revision), Some(release.to_owned()).filter(|release| !release.is_empty()), restored)
    };
    assert_eq!(
        seen,
        [
            row(1, 1, "", false),
            row(2, 7, "old", false),
            row(3, 9, "new", false),
            row(4, 9, "new", false),
            row(5, 9, "old", true),
            row(6, 9, "old", true),
            row(7, 11, "old", false),
        ]
    );
    // The label stays when the attempt that failed is no longer kept.
    for number in 8..30 {
        drop(desk.begin(Writer::Service, 11, number, "old"));
    }
    for number in 30..50 {
        drop(desk.begin(Writer::Service, 12, number, if number == 30 { "newer" } else { "old" }));
    }
    let files = files(&desk.dir.path().join("logs")).unwrap();
    assert!(files.iter().all(|file| file.attempt().restored), "{files:?}");
    let left = std::fs::read_dir(desk.dir.path().join("logs")).unwrap().count();
    assert_eq!(left, 2 * files.len(), "labels go with their files");
}

#[test]
fn only_what_is_wanted_is_read() {
    let desk = Desk::new();
    for (number, release) in [(1, "dir-aa"), (2, "dir-ab"), (3, "dir-b")] {
        desk.begin(Writer::Service, number, number, release).write_all(b"x\n").unwrap();
    }
    let read = |release: Option<&str>, attempt| {
        let wanted = Wanted { release: release.map(str::to_owned), attempt };
        let mut reader = Reader::new(desk.dir.path(), Writer::Service, wanted, Place::START, false).unwrap();
        all(&mut reader)
    };
    assert_eq!(read(Some("dir-a"), None), ["1: x", "2: x"]);
    assert_eq!(read(None, Some(2)), ["2: x"]);
    assert_eq!(read(Some("dir-b"), Some(2)), [""; 0]);
}

#[test]
fn what_was_cut_is_a_gap_of_known_size() {
    let desk = Desk::new();
    let mut file = desk.serve(1, "");
    let mut reader = desk.follow();
    let lines =
        |range: std::ops::Range<u32>| -> String { range.map(|n| format!("line {n:095}\n")).collect() };
    file.write_all(lines(0..10).as_bytes()).unwrap();
    assert_eq!(all(&mut reader).len(), 10);
    let place = reader.place();
    file.write_all(lines(10..2000).as_bytes()).unwrap();
    let kept = desk.logs.bound(100_000).unwrap();
    assert!((50_000..55_000).contains(&kept), "{kept}");
    let mut resumed = desk.reader(place, true);
    let found = all(&mut reader);
    assert_eq!(found, all(&mut resumed), "another reader sees the same");
    assert_eq!(found[0], format!("gap Some({})", 202_000 - kept - 1010));
    assert_eq!(found.last().unwrap(), &format!("1: line {:095}", 1999));
    let first: u32 = found[1].trim_start_matches("1: line ").parse().unwrap();
    assert_eq!(found.len() - 1, (2000 - first) as usize, "nothing is missing after the gap");
    assert_eq!(u64::from(first), (202_000 - kept) / 101 + 1, "a line that is whole is shown");
    // The last lines are found without the gap, as long as they are there.
    let last = desk.places(3);
    assert_eq!(last[0].1, Place { attempt: 1, offset: 101 * 1997 });
    let mut whole = desk.reader(desk.places(5000)[0].1, false);
    assert_eq!(all(&mut whole)[0], format!("gap Some({})", 202_000 - kept));
}

#[test]
fn a_slow_reader_beside_a_writer_and_a_knife_sees_each_line_once_or_is_told() {
    let desk = Desk::new();
    let mut file = desk.serve(1, "");
    let mut reader = desk.follow();
    let (mut read, mut lost, mut last, mut gaps) = (0, 0, None, 0);
    for round in 0..200_u64 {
        let text: String = (0..100).map(|n| format!("{:07} {:080}\n", round * 100 + n, 0)).collect();
        file.write_all(text.as_bytes()).unwrap();
        desk.logs.bound(100_000).unwrap();
        // Slower than the writer, but for a time now and then, and at the end.
        let looks = match round % 36 {
            _ if round == 199 => usize::MAX,
            0 => 8,
            turn if turn % 9 == 0 => 1,
            _ => 0,
        };
        for _ in 0..looks {
            match reader.read().unwrap() {
                Read::Lines { lines, .. } => {
                    for line in lines {
                        let number: u64 = line.text[..7].parse().unwrap();
                        assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
                        assert_eq!(line.offset, number * 89);
                        (last, read) = (Some(number), read + 1);
                    }
                }
                Read::Gap(gap) => {
                    lost += gap.lost_bytes.unwrap();
                    gaps += 1;
                }
                Read::AtEnd => break,
            }
        }
    }
    assert!(gaps > 3 && read > 1000, "{gaps} gaps, {read} lines");
    assert_eq!(last, Some(19_999));
    // A gap ends within a line, the rest of which is passed over.
    let missing = (20_000 - read) * 89;
    assert!((lost..lost + gaps * 89).contains(&missing), "{missing} bytes of lines, {lost} bytes");
}

#[test]
fn a_file_system_without_holes_begins_anew_and_says_so() {
    let desk = Desk::new();
    let mut file = desk.serve(1, "");
    let mut reader = desk.follow();
    let text: String = (0..1000).map(|n| format!("{n:099}\n")).collect();
    file.write_all(text.as_bytes()).unwrap();
    assert_eq!(all(&mut reader).len(), 1000);
    let path = desk.dir.path().join("logs/serve-1.1-0000000001.log");
    let open = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    cut::copy_tail(&path, &open, 950).unwrap();
    file.write_all(b"on\n").unwrap();
    let found = all(&mut reader);
    assert_eq!((found[0].as_str(), found.len()), ("gap None", 11));
    assert_eq!(found[1], format!("1: {:099}", 991));
    assert_eq!(found[10], "1: on");
}

#[test]
fn attempts_that_are_no_longer_kept_are_a_gap() {
    let desk = Desk::new();
    desk.serve(1, "one\ntwo\n");
    let place = Place { attempt: 1, offset: 4 };
    let mut live = desk.follow();
    assert_eq!(all(&mut live).len(), 2);
    for number in 2..20 {
        desk.serve(number, &format!("attempt {number}\n"));
    }
    let rest: Vec<String> = std::iter::once("gap None".to_owned())
        .chain((12..20).map(|number| format!("{number}: attempt {number}")))
        .collect();
    assert_eq!(all(&mut live), rest, "one that was there all the time");
    assert_eq!(all(&mut desk.reader(place, true)), rest, "one that comes back");
    assert_eq!(all(&mut desk.follow()), rest[1..], "one that begins misses nothing that it could have seen");
}

#[test]
fn a_line_without_an_end_is_shown_after_some_looks_and_goes_on_after_that() {
    let desk = Desk::new();
    let mut file = desk.serve(1, "prompt> ");
    let mut reader = desk.follow();
    for _ in 1..LOOKS {
        assert_eq!(all(&mut reader), [""; 0]);
    }
    assert_eq!(all(&mut reader), ["1: prompt> "]);
    let place = reader.place();
    file.write_all(b"yes\nnext\n").unwrap();
    assert_eq!(all(&mut reader), ["1: yes continued", "1: next"]);
    assert_eq!(all(&mut desk.reader(place, true)), ["1: yes continued", "1: next"]);
    // While it grows it is waited for.
    file.write_all(b"a").unwrap();
    for _ in 0..3 * LOOKS {
        assert_eq!(all(&mut reader), [""; 0]);
        file.write_all(b"a").unwrap();
    }
    // Whoever does not follow has no time.
    let found = all(&mut desk.reader(Place::START, false));
    assert_eq!(found.last().unwrap(), &format!("1: {}", "a".repeat(1 + 3 * LOOKS as usize)));
}

#[test]
fn long_lines_and_bytes_that_are_no_text_are_shown_as_far_as_they_go() {
    let desk = Desk::new();
    let mut file = desk.serve(1, "");
    let mut reader = desk.follow();
    file.write_all(&[b'x'; 100_000]).unwrap();
    let cut = format!("1: {} cut", "x".repeat(LINE_LIMIT_BYTES));
    assert_eq!(all(&mut reader), std::slice::from_ref(&cut), "at once, though it has not ended");
    file.write_all(b"xx\nfine \xff\n").unwrap();
    assert_eq!(all(&mut reader), ["1: fine \u{fffd}"]);
    assert_eq!(all(&mut desk.reader(Place::START, false)), [cut, "1: fine \u{fffd}".to_owned()]);
}

#[test]
fn whoever_does_not_follow_stops_where_the_output_ended_then() {
    let desk = Desk::new();
    let mut file = desk.serve(1, "one\n");
    let mut reader = desk.reader(Place::START, false);
    file.write_all(b"two\n").unwrap();
    desk.serve(2, "three\n");
    assert_eq!(all(&mut reader), ["1: one"]);
    let nothing = Desk::new();
    let mut reader = nothing.reader(Place::START, false);
    nothing.serve(1, "one\n");
    assert_eq!(all(&mut reader), [""; 0]);
}

#[test]
fn the_last_lines_are_those_of_the_newest_attempts() {
    let desk = Desk::new();
    assert_eq!(desk.places(10), [(Writer::Service, Place::START), (Writer::Migration, Place::START)]);
    desk.serve(1, "1\n2\n3\n");
    desk.begin(Writer::Migration, 2, 2, "b").write_all(b"m1\nm2\n").unwrap();
    desk.serve(3, "4\n\n6");
    let at = |attempt, offset| Place { attempt, offset };
    for (lines, serve, migrate) in [
        (0, at(3, 4), at(2, 6)),
        (1, at(3, 3), at(2, 6)),
        (2, at(3, 2), at(2, 6)),
        (3, at(3, 0), at(2, 6)),
        (4, at(3, 0), at(2, 3)),
        (5, at(3, 0), at(2, 0)),
        (6, at(1, 4), at(2, 0)),
        (9, at(1, 0), at(2, 0)),
    ] {
        let wanted = [(Writer::Service, serve), (Writer::Migration, migrate)];
        assert_eq!(desk.places(lines), wanted, "{lines} lines");
    }
    let one =
        last_lines(desk.dir.path(), &[Writer::Service], &Wanted { attempt: Some(1), ..Wanted::default() }, 2);
    assert_eq!(one.unwrap(), [(Writer::Service, at(1, 2))]);
}
