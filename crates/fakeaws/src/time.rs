//! Moments as the APIs write them.

use std::time::{Duration, SystemTime};

/// As in `2026-11-21T20:41:24.123Z`.
pub(crate) fn iso(at: SystemTime) -> String {
    let Parts { year, month, day, hour, minute, second, millis, .. } = parts(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The same without the part of a second.
pub(crate) fn iso_seconds(at: SystemTime) -> String {
    let text = iso(at);
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

/// As in `Sat, 21 Nov 2026 20:41:24 GMT`.
pub(crate) fn http(at: SystemTime) -> String {
    let Parts { year, month, day, weekday, hour, minute, second, .. } = parts(at);
    let day_name = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][weekday];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[month - 1];
    format!("{day_name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

struct Parts {
    year: u64,
    /// From 1.
    month: usize,
    day: u64,
    /// From Thursday, which the first day was.
    weekday: usize,
    hour: u64,
    minute: u64,
    second: u64,
    millis: u32,
}

/// The Gregorian calendar counts 146,097 days in 400 years; years are taken to begin in March, after the leap day.
fn parts(at: SystemTime) -> Parts {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let days_since_march_of_0 = days + 719_468;
    let (era, day_of_era) = (days_since_march_of_0 / 146_097, days_since_march_of_0 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    Parts {
        year: era * 400 + year_of_era + u64::from(month <= 2),
        month: month as usize,
        day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        weekday: (days % 7) as usize,
        hour: seconds / 3600,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        millis: since.subsec_millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text, line) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_827_696, "2000-02-29T12:34:56Z", "Tue, 29 Feb 2000 12:34:56 GMT"),
            (1_795_293_684, "2026-11-21T20:41:24Z", "Sat, 21 Nov 2026 20:41:24 GMT"),
            (4_107_542_399, "2100-02-28T23:59:59Z", "Sun, 28 Feb 2100 23:59:59 GMT"),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!((iso_seconds(at).as_str(), http(at).as_str()), (text, line));
        }
        assert_eq!(iso(SystemTime::UNIX_EPOCH + Duration::from_millis(1_007)), "1970-01-01T00:00:01.007Z");
    }
}
