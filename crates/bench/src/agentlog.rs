//! What an agent logs, with `log_format = "json"`.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use serde::Deserialize;

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: SystemTime,
    pub(crate) fields: Fields,
}

/// What a line says, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Fields {
    #[serde(default)]
    pub(crate) message: String,
    pub(crate) report: Option<String>,
    pub(crate) fence: Option<String>,
    pub(crate) rollout: Option<u64>,
}

#[derive(Deserialize)]
struct Raw {
    timestamp: String,
    fields: Fields,
}

/// The lines of one agent's log; what is no such line, or is not complete yet, is left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.lines().filter_map(parse).collect())
}

pub(crate) fn parse(line: &str) -> Option<Line> {
    let Raw { timestamp, fields } = serde_json::from_str(line).ok()?;
    Some(Line { at: time(&timestamp)?, fields })
}

/// The time in `2026-01-31T23:59:59.123456Z`.
fn time(timestamp: &str) -> Option<SystemTime> {
    let mut parts = timestamp.strip_suffix('Z')?.split(['-', 'T', ':', '.']);
    let mut part = || parts.next()?.parse::<u64>().ok();
    let (year, month, day) = (part()?, part()?, part()?);
    let (hours, minutes, seconds, micros) = (part()?, part()?, part()?, part()?);
    let seconds = ((days(year, month, day)? * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March here, so that the leap day is the last one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let before = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    before.checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |text| time(text).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(at("1970-01-01T00:00:00.000001Z"), Duration::from_micros(1));
        assert_eq!(at("2000-02-29T12:00:00.000000Z"), Duration::from_secs(951_825_600));
        assert_eq!(at("2026-03-01T00:00:00.500000Z"), Duration::from_millis(1_772_323_200_500));
        assert_eq!(time("yesterday"), None);
    }

    #[test]
    fn a_line_that_is_not_complete_is_none() {
        let line = r#"{"timestamp":"2026-01-31T10:00:00.000100Z","level":"INFO","fields":{"message":"this agent leads"}}"#;
        assert_eq!(parse(line).unwrap().fields.message, "this agent leads");
        assert!(parse(&line[..40]).is_none());
    }
}
