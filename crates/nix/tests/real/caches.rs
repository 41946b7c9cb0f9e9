//! Caches over HTTP that behave badly, on loopback. Their threads end with the test's process; nobody waits for them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How a cache behaves.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// It serves what is in this folder.
    Serves(PathBuf),
    /// It takes connections, and never says a word.
    Dark,
    /// It serves small files, and of large ones so many bytes; then it says nothing more.
    Stalls { folder: PathBuf, after: usize },
    /// It serves small files, and large ones so slowly that there is time to do something: so many bytes every 20 ms.
    Slow { folder: PathBuf, step: usize },
}

/// Starts a cache; returns its address.
pub(crate) fn start(manner: Manner) -> String {
    start_counting(manner).0
}

/// Starts a cache; returns its address, and how many connections it was asked for.
pub(crate) fn start_counting(manner: Manner) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            let manner = manner.clone();
            thread::spawn(move || answer(stream, &manner));
        }
    });
    (format!("http://{address}"), count)
}

/// An address at which nobody listens.
pub(crate) fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

fn answer(mut stream: TcpStream, manner: &Manner) {
    const SMALL: usize = 64 * 1024;
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while let Some((method, path)) = request(&mut reader) {
        let folder = match manner {
            Manner::Dark => hang(),
            Manner::Serves(folder) | Manner::Stalls { folder, .. } | Manner::Slow { folder, .. } => folder,
        };
        let Ok(content) = fs::read(folder.join(path.trim_start_matches('/'))) else {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
            continue;
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", content.len());
        let _ = stream.write_all(head.as_bytes());
        match manner {
            _ if method == "HEAD" => (),
            Manner::Stalls { after, .. } if content.len() > SMALL => {
                let _ = stream.write_all(&content[..(*after).min(content.len())]);
                hang()
            }
            Manner::Slow { step, .. } if content.len() > SMALL => {
                for part in content.chunks(*step) {
                    if stream.write_all(part).is_err() {
                        return;
                    }
                    // The pace of a cache, not a wait for anything.
                    thread::sleep(std::time::Duration::from_millis(20));
                }
            }
            _ => {
                let _ = stream.write_all(&content);
            }
        }
    }
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

/// Method and path of the next request.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let mut words = first.split(' ');
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}
