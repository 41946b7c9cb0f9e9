//! Parameters of the Query protocols: `Targets.member.1.Id=i-1&Filter.1.Value.2=x`.

use std::collections::{BTreeMap, BTreeSet};

use crate::refusal::Refusal;

/// The parameters of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a form, as bodies and query strings are.
    pub(crate) fn parse(form: &str) -> Self {
        let pairs = form.split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(decode_pair).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that has to be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| {
            Refusal::validation(format!("1 validation error detected: Value at '{name}' must not be null"))
        })
    }

    /// A number, where there is one.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                Refusal::new(
                    "MalformedInput",
                    format!("Value ( {text} ) for parameter {name} is not a number"),
                )
            })
        };
        self.get(name).map(read).transpose()
    }

    /// The values of a list, in the order of their numbers: `Names.member` for `Names.member.1` and so on.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        self.numbers(name).into_iter().filter_map(|number| self.get(&format!("{name}.{number}"))).collect()
    }

    /// The parameters of each structure in a list.
    pub(crate) fn structures(&self, name: &str) -> Vec<Self> {
        let of = |number: u32| {
            let prefix = format!("{name}.{number}.");
            let own = self
                .0
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())));
            Self(own.collect())
        };
        self.numbers(name).into_iter().map(of).collect()
    }

    fn numbers(&self, name: &str) -> BTreeSet<u32> {
        let rest = |key: &str| Some(key.strip_prefix(name)?.strip_prefix('.')?.to_owned());
        let number = |rest: String| rest.split('.').next().and_then(|number| number.parse().ok());
        self.0.keys().filter_map(|key| rest(key).and_then(number)).collect()
    }
}

fn decode_pair((name, value): (&str, &str)) -> (String, String) {
    (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
}

/// Undoes percent-encoding. What is no code stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_are_read_in_the_order_of_their_numbers() {
        let form = "Action=A&Names.member.2=b&Names.member.10=c&Names.member.1=a&T.member.2.Id=x%2Fy&T.member.1.Id=z+z\
                    &T.member.1.Port=80&Filter.1.Value.1=one&Filter.1.Name=tag%3Ak";
        let params = Params::parse(form);
        assert_eq!(params.get("Action"), Some("A"));
        assert_eq!(params.list("Names.member"), ["a", "b", "c"]);
        let targets = params.structures("T.member");
        assert_eq!(targets[0].get("Id"), Some("z z"));
        assert_eq!(targets[0].number::<u16>("Port"), Ok(Some(80)));
        assert_eq!(targets[1].get("Id"), Some("x/y"));
        let filter = &params.structures("Filter")[0];
        assert_eq!((filter.get("Name"), filter.list("Value")), (Some("tag:k"), vec!["one"]));
        assert!(params.need("Marker").is_err() && targets[0].number::<u16>("Id").is_err());
    }
}
