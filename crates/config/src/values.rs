//! How single values are read. Each says what would be right when one is wrong.

use std::{net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use model::ids::InvalidId;
use toml::Value;

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Text as it stands, not empty.
pub(crate) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.trim().is_empty() => Err("must not be empty".into()),
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("must be text in quotes, not {}", kind(other))),
    }
}

/// A list of texts, none of them empty.
pub(crate) fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => Err(format!("must be a list of texts, such as [\"a\", \"b\"], not {}", kind(other))),
    }
}

/// `true` or `false`.
pub(crate) fn switch(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(on) => Ok(*on),
        other => Err(format!("must be true or false, not {}", kind(other))),
    }
}

/// A whole number within `range`.
pub(crate) fn number<T>(range: RangeInclusive<T>) -> impl FnOnce(&Value) -> Result<T, String>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |value| match value {
        Value::Integer(number) => T::try_from(*number)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("must be {} to {}", range.start(), range.end())),
        other => {
            Err(format!("must be a whole number, {} to {}, not {}", range.start(), range.end(), kind(other)))
        }
    }
}

/// A duration as people write it, within `range`.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(&Value) -> Result<Duration, String> {
    move |value| {
        let Value::String(text) = value else {
            return Err(format!("must be text with a unit, such as \"5s\", not {}", kind(value)));
        };
        let duration = humantime::parse_duration(text).map_err(|_| {
            format!("{text:?} is no duration; write it such as \"500ms\", \"5s\" or \"1m 30s\"")
        })?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        Err(format!("must be {} to {}", shown(*range.start()), shown(*range.end())))
    }
}

/// A duration as people write it, without spaces.
pub(crate) fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A name with the rules of its own type.
pub(crate) fn name<T: FromStr<Err = InvalidId>>(value: &Value) -> Result<T, String> {
    match value {
        Value::String(text) => text.parse().map_err(|invalid: InvalidId| invalid.problem.to_owned()),
        other => Err(format!("must be text in quotes, not {}", kind(other))),
    }
}

/// A name that has no type of its own, with the rules that all names have.
pub(crate) fn label(value: &Value) -> Result<String, String> {
    name::<model::ServiceName>(value).map(String::from)
}

/// IP address and port. Port 0 is refused: nobody else could know the port.
pub(crate) fn address(value: &Value) -> Result<SocketAddr, String> {
    let address: SocketAddr = text(value)?
        .parse()
        .map_err(|_| "must be an IP address and a port, such as \"127.0.0.1:7400\"".to_owned())?;
    if address.port() == 0 { Err("must name a port, not 0".into()) } else { Ok(address) }
}

/// One word of several.
pub(crate) fn one_of<T: Copy, const N: usize>(
    words: [(&'static str, T); N],
) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| {
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        let list = || words.map(|(word, _)| format!("{word:?}")).join(" or ");
        found.map(|(_, meaning)| *meaning).ok_or_else(|| format!("must be {}", list()))
    }
}
