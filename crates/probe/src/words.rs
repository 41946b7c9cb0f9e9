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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_people_write_them() {
        assert_eq!(shown(Duration::from_secs(2)), "2 s");
        assert_eq!(shown(Duration::from_millis(1500)), "1500 ms");
    }
}
