//! Where CI leaves word of what it has released, to be read there.

use std::{fmt, future::Future, path::PathBuf, str::FromStr};

use crate::Fault;

/// Most that is read of what a channel says, in bytes. Whoever reads hands on one byte more, so that it shows.
pub const LIMIT_BYTES: usize = 16 << 10;

/// What was seen in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// What was known already.
    Same,
    /// Nothing: nobody has left anything there yet.
    Nothing,
    /// This.
    Says(Said),
}

/// What a channel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// All of it, or one byte more than [`LIMIT_BYTES`].
    pub bytes: Vec<u8>,
    /// What tells it from what is said later, if the channel has a word for that.
    pub tag: Option<String>,
}

/// Reads what somebody left.
pub trait Channel: Send + Sync + 'static {
    /// Looks at it. `known` is the tag of what was seen last.
    fn look(&self, known: Option<&str>) -> impl Future<Output = Result<Look, Fault>> + Send;
}

/// Where a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An object in S3.
    S3 {
        /// Its bucket.
        bucket: String,
        /// Its key, without a slash before it.
        key: String,
        /// The bucket's region, where it was said.
        region: Option<String>,
    },
    /// Something on a web server, over TLS.
    Https(Web),
    /// The same in plaintext.
    Http(Web),
    /// A file of whichever host looks. Absolute.
    File(PathBuf),
}

/// Something on a web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Host, and the port where it was said.
    pub authority: String,
    /// Path and query, from the slash on.
    pub path: String,
}

impl Web {
    /// The host by itself, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => &self.authority,
        };
        host.trim_matches(['[', ']'])
    }

    /// The port, where it was said.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let (_, port) = self.authority.rsplit_once(':')?;
        port.parse().ok()
    }
}

/// Why something is no address of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// No word before the colon that is known.
    #[error("must be s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH or file:/PATH")]
    Kind,
    /// No bucket, or no key.
    #[error(
        "must be s3://BUCKET/KEY, with ?region=REGION after it where the bucket is in another region than the hosts"
    )]
    S3,
    /// No host, or no path.
    #[error("must name a host and a path, such as https://releases.example.com/web, and no user or password")]
    Web,
    /// Not from the root on.
    #[error("must be file: and an absolute path, such as file:/srv/releases/web")]
    File,
}

impl FromStr for Address {
    type Err = NoAddress;
    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (kind, rest) = text.split_once(':').ok_or(NoAddress::Kind)?;
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match kind {
            "s3" => s3(rest).filter(|_| is_plain).ok_or(NoAddress::S3),
            "https" => web(rest).filter(|_| is_plain).map(Self::Https).ok_or(NoAddress::Web),
            "http" => web(rest).filter(|_| is_plain).map(Self::Http).ok_or(NoAddress::Web),
            "file" => file(rest).ok_or(NoAddress::File),
            _ => Err(NoAddress::Kind),
        }
    }
}

fn s3(rest: &str) -> Option<Address> {
    let (object, region) = match rest.split_once('?') {
        Some((object, query)) => (object, Some(query.strip_prefix("region=")?)),
        None => (rest, None),
    };
    let (bucket, key) = object.strip_prefix("//")?.split_once('/')?;
    let fits = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
    };
    let named = fits(bucket) && !key.is_empty() && region.is_none_or(fits);
    let region = region.map(str::to_owned);
    named.then(|| Address::S3 { bucket: bucket.to_owned(), key: key.to_owned(), region })
}

fn web(rest: &str) -> Option<Web> {
    let rest = rest.strip_prefix("//")?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let web = Web { authority: authority.to_owned(), path: path.to_owned() };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let fits = !web.host().is_empty()
        && !authority.contains(['@', '?'])
        && has_port == web.port().is_some()
        && web.port() != Some(0);
    fits.then_some(web)
}

fn file(rest: &str) -> Option<Address> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let fits = path.starts_with('/') && 1 < path.len() && !path.contains('\0');
    fits.then(|| Address::File(path.into()))
}

/// As it was written, but for needless slashes.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, key, region: None } => write!(f, "s3://{bucket}/{key}"),
            Self::S3 { bucket, key, region: Some(region) } => {
                write!(f, "s3://{bucket}/{key}?region={region}")
            }
            Self::Https(Web { authority, path }) => write!(f, "https://{authority}{path}"),
            Self::Http(Web { authority, path }) => write!(f, "http://{authority}{path}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_as_they_were_written() {
        for text in [
            "s3://releases/web/stable",
            "s3://releases.example/web?region=eu-west-1",
            "https://releases.example.com/web?channel=stable",
            "http://127.0.0.1:8080/web",
            "http://[::1]:8080/web",
            "file:/srv/web",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let file: Address = "file:///srv/web".parse().unwrap();
        assert_eq!(file, Address::File("/srv/web".into()));
        let Ok(Address::Http(web)) = "http://[::1]:8080/web".parse::<Address>() else { panic!("no address") };
        assert_eq!((web.host(), web.port(), web.path.as_str()), ("::1", Some(8080), "/web"));
        let Ok(Address::Https(web)) = "https://a.b/".parse::<Address>() else { panic!("no address") };
        assert_eq!((web.host(), web.port(), web.path.as_str()), ("a.b", None, "/"));
    }

    #[test]
    fn what_is_no_address_says_what_would_be_one() {
        for (text, why) in [
            ("/srv/web", NoAddress::Kind),
            ("ftp://host/web", NoAddress::Kind),
            ("s3://releases", NoAddress::S3),
            ("s3://releases/", NoAddress::S3),
            ("s3:///web", NoAddress::S3),
            ("s3://Releases/web", NoAddress::S3),
            ("s3://releases/web?zone=a", NoAddress::S3),
            ("https://host", NoAddress::Web),
            ("https:///web", NoAddress::Web),
            ("https://ann:secret@host/web", NoAddress::Web),
            ("http://host:port/web", NoAddress::Web),
            ("http://host:0/web", NoAddress::Web),
            ("http://host/a web", NoAddress::Web),
            ("file:web", NoAddress::File),
            ("file:/", NoAddress::File),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err(), why, "{text}");
        }
    }
}
