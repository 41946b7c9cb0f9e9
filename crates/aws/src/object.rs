//! An object of S3 as an address, and what S3 says in place of it.

use crate::{permissions::Action, trouble::Trouble};

/// An object of S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

impl Place {
    /// Where it is in `region`, or below an endpoint that stands in for all of S3.
    #[must_use]
    pub fn url(&self, region: &str, endpoint: Option<&str>) -> String {
        let Self { bucket, key } = self;
        let key = encoded(key);
        if let Some(endpoint) = endpoint {
            return format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/'));
        }
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        if bucket.contains('.') {
            // A certificate of S3 stands for one label before its own name.
            return format!("https://s3.{region}.{domain}/{bucket}/{key}");
        }
        format!("https://{bucket}.s3.{region}.{domain}/{key}")
    }
}

/// A key as a path.
fn encoded(key: &str) -> String {
    let mut path = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(byte.into());
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// What S3 says in place of an object.
#[must_use]
pub fn trouble(status: u16, body: &str) -> Trouble {
    let of = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    match of("Code") {
        Some(code) => Trouble::Refused { code, message: of("Message").unwrap_or_default(), status },
        None => Trouble::Unreadable { status },
    }
}

/// Whether S3 says that there is no such object. Whoever may not list the bucket is told that he may not read it.
#[must_use]
pub fn is_nothing(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Refused { code, .. } if code == "NoSuchKey")
}

/// Why it cannot be read and what to do, for people. `region` is the bucket's, where S3 has said it.
#[must_use]
pub fn words(trouble: &Trouble, region: Option<&str>) -> String {
    match (trouble, region) {
        (Trouble::Refused { code, .. }, Some(region))
            if [
                "PermanentRedirect",
                "AuthorizationHeaderMalformed",
                "IllegalLocationConstraintException",
            ]
            .contains(&code.as_str()) =>
        {
            format!("the bucket is in {region}: add ?region={region} to the channel's url")
        }
        (Trouble::Refused { code, .. }, _) if code == "AccessDenied" => format!(
            "{}; or there is no such object, which S3 says only to a role that may s3:ListBucket",
            trouble.words(Action::GetObject)
        ),
        (Trouble::Refused { code, .. }, _) if code == "NoSuchBucket" => {
            "there is no such bucket: look at the channel's url".to_owned()
        }
        _ => trouble.words(Action::GetObject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_in_every_partition_and_below_an_endpoint() {
        let place = |bucket: &str| Place { bucket: bucket.into(), key: "web/a b+c".into() };
        let url = |bucket: &str, region: &str| place(bucket).url(region, None);
        assert_eq!(url("releases", "eu-west-1"), "https://releases.s3.eu-west-1.amazonaws.com/web/a%20b%2Bc");
        assert_eq!(url("a.b", "eu-west-1"), "https://s3.eu-west-1.amazonaws.com/a.b/web/a%20b%2Bc");
        assert_eq!(
            url("releases", "cn-north-1"),
            "https://releases.s3.cn-north-1.amazonaws.com.cn/web/a%20b%2Bc"
        );
        let below = place("releases").url("eu-west-1", Some("http://127.0.0.1:1/"));
        assert_eq!(below, "http://127.0.0.1:1/releases/web/a%20b%2Bc");
    }

    #[test]
    fn what_s3_says_is_told_with_what_to_do() {
        let says = |code: &str| {
            trouble(403, &format!("<Error><Code>{code}</Code><Message>It is so.</Message></Error>"))
        };
        assert!(is_nothing(&says("NoSuchKey")) && !is_nothing(&says("NoSuchBucket")));
        assert_eq!(trouble(502, "<html>"), Trouble::Unreadable { status: 502 });
        for (code, region, expected) in [
            ("AccessDenied", None, "this host's role may not s3:GetObject: allow it"),
            ("AccessDenied", None, "or there is no such object"),
            ("ExpiredToken", None, "the credentials have expired"),
            ("InvalidAccessKeyId", None, "the credentials are not good"),
            ("NoSuchBucket", None, "there is no such bucket"),
            ("PermanentRedirect", Some("eu-west-1"), "add ?region=eu-west-1 to the channel's url"),
            ("InternalError", None, "InternalError: It is so"),
        ] {
            let words = words(&says(code), region);
            assert!(words.contains(expected), "{code}: {words}");
        }
    }
}
