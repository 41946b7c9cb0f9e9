//! Where an agent listens.

use std::{fmt, str::FromStr};

use http::uri::Authority;

/// Port of an agent's API where none is given.
pub const DEFAULT_PORT: u16 = 7100;

/// Where an agent listens: a name or an IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(Authority);

impl Address {
    pub(super) fn uri(&self) -> String {
        format!("http://{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str())
    }
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address {0:?}: must be a name or an IP address, with a port where it is not {DEFAULT_PORT}")]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        let bare = text.trim().strip_prefix("http://").unwrap_or(text.trim());
        let authority: Authority = bare.parse().map_err(|_| invalid())?;
        let named = !authority.host().is_empty() && !authority.as_str().contains('@');
        match authority.port() {
            Some(port) if named && port.as_str().parse::<u16>().is_ok() => Ok(Self(authority)),
            None if named && !authority.as_str().ends_with(':') => {
                format!("{authority}:{DEFAULT_PORT}").parse().map(Self).map_err(|_| invalid())
            }
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_none_is_given() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(read("h1").unwrap(), "h1:7100");
        assert_eq!(read(" 10.0.0.1:9 ").unwrap(), "10.0.0.1:9");
        assert_eq!(read("http://h1:9").unwrap(), "h1:9");
        assert_eq!(read("[::1]").unwrap(), "[::1]:7100");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "h1:", "h1:port", "h1:70000", "a b", "https://h1:1", "h1/path", "me@h1:1", ":1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was accepted");
        }
    }
}
