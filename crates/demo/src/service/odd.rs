//! What a service may do that a good one does not, one switch each; and the word that a good one gives when it is asked.

use std::{
    env,
    fs::File,
    io,
    io::Write as _,
    os::{
        fd::AsFd as _,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process::{Command, Stdio},
    time::Duration,
};

use clap::{Args, builder::FalseyValueParser};

/// Names the socket that takes a service's word.
const SOCKET: &str = "NOTIFY_SOCKET";
/// What asks for [`Odd::fork`].
const FORK: (&str, &str) = ("--fork", "DEMO_FORK");

/// How a service is odd.
#[derive(Debug, Clone, Default, Args)]
pub struct Odd {
    /// Starts itself anew in the background, and exits with 0.
    #[arg(long, env = "DEMO_FORK", value_parser = FalseyValueParser::new())]
    pub fork: bool,
    /// Takes no notice of SIGTERM.
    #[arg(long, env = "DEMO_IGNORE_TERM", value_parser = FalseyValueParser::new())]
    pub ignore_term: bool,
    /// Starts so many processes that stay, every second one in a session of its own, and all orphans.
    #[arg(long, env = "DEMO_GRANDCHILDREN", default_value_t = 0, value_name = "COUNT")]
    pub grandchildren: u32,
    /// Writes so much to its output, as fast as it can.
    #[arg(long, env = "DEMO_SPEW_BYTES", default_value_t = 0, value_name = "BYTES")]
    pub spew_bytes: u64,
    /// Closes its port so long after it opened it, and runs on.
    #[arg(long, env = "DEMO_CLOSE_MS", value_name = "MS")]
    pub close_ms: Option<u64>,
    /// Says that it is ready so long after it listens, if it is asked to say so.
    #[arg(long, env = "DEMO_READY_MS", default_value_t = 0, value_name = "MS")]
    pub ready_ms: u64,
}

impl Odd {
    /// Starts this very program again without the switch for that; the caller exits.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn fork_away(&self) -> io::Result<()> {
        let arguments = env::args_os().skip(1).filter(|argument| argument != FORK.0);
        Command::new(env::current_exe()?).args(arguments).env_remove(FORK.1).spawn().map(drop)
    }

    /// Starts what is to stay, and begins to write.
    ///
    /// # Errors
    /// Something cannot be started.
    pub fn begin(&self) -> io::Result<()> {
        for number in 0..self.grandchildren {
            let session = if number % 2 == 0 { "" } else { "setsid " };
            let line = format!("({session}sleep 1000000 &)");
            Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).status()?;
        }
        if 0 < self.spew_bytes {
            let bytes = self.spew_bytes;
            std::thread::spawn(move || spew(bytes));
        }
        Ok(())
    }

    /// Waits until the port is to be closed; for ever, if it is to stay open.
    pub async fn closing(&self) {
        match self.close_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    }

    /// Says that it is ready, when that is due.
    pub async fn speak(&self) {
        say("STATUS=warming up");
        tokio::time::sleep(Duration::from_millis(self.ready_ms)).await;
        say("READY=1\nSTATUS=");
    }
}

/// Tells whoever asked for the service's word. Nobody: nothing.
pub fn say(word: &str) {
    let Ok(address) = env::var(SOCKET) else { return };
    let told = || {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&address)?,
        };
        UnixDatagram::unbound()?.send_to_addr(word.as_bytes(), &address)
    };
    if let Err(error) = told() {
        eprintln!("say {word:?}: {error}");
    }
}

/// Writes numbered lines, which tell whether any is missing.
fn spew(bytes: u64) {
    // Of its own, so that nobody else who has something to say waits for it.
    let Ok(output) = io::stdout().as_fd().try_clone_to_owned() else { return };
    let mut output = io::BufWriter::with_capacity(1 << 16, File::from(output));
    let (mut written, mut number) = (0, 0_u64);
    while written < bytes {
        let line = format!("{number:012} {:=<50}\n", "");
        if output.write_all(line.as_bytes()).is_err() {
            return;
        }
        (written, number) = (written + line.len() as u64, number + 1);
    }
    // Nobody reads it if that fails.
    let _ = output.flush();
}
