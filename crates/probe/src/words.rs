//! Words that all kinds of probe share.

use std::{io, time::Duration};

/// Whole seconds where they are, milliseconds otherwise.
pub(crate) fn shown(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

/// The kind of error where there is a word for it: the system's own words add only a number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        kind => {
            let kind = kind.to_string();
            if kind.contains("uncategorized") { error.to_string() } else { kind }
        }
    }
}

/// Whether the host had no means to ask: files, memory or ports of its own.
pub(crate) fn lacks_means(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|error| short.contains(&Errno::from_raw_os_error(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_people_write_them() {
        assert_eq!(shown(Duration::from_secs(2)), "2 s");
        assert_eq!(shown(Duration::from_millis(1500)), "1500 ms");
    }

    #[test]
    fn what_the_host_lacks_is_no_word_on_the_service() {
        use rustix::io::Errno;
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL] {
            assert!(lacks_means(&errno.into()), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::TIMEDOUT, Errno::HOSTUNREACH] {
            assert!(!lacks_means(&errno.into()), "{errno}");
        }
    }
}
