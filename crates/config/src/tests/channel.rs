//! Where CI leaves word of what it has released.

use std::time::Duration;

use super::*;

fn with(more: &str) -> Result<Settings, Vec<Problem>> {
    read(&[("10.toml", EXAMPLE), ("20.toml", more)])
}

#[test]
fn a_channel_is_read_and_looked_at_every_ten_seconds() {
    let settings = with(r#"service.web.channel.url = "s3://releases/web?region=eu-west-1""#).unwrap();
    let channel = settings.services[&"web".parse().unwrap()].channel.clone().unwrap();
    assert_eq!(channel.url.to_string(), "s3://releases/web?region=eu-west-1");
    assert_eq!(channel.poll, Duration::from_secs(10));
    let settings = with(r#"service.web.channel = { url = "file:/srv/web", poll = "500ms" }"#).unwrap();
    let channel = settings.services[&"web".parse().unwrap()].channel.clone().unwrap();
    assert_eq!(
        (channel.url.to_string().as_str(), channel.poll),
        ("file:/srv/web", Duration::from_millis(500))
    );
}

#[test]
fn what_a_channel_says_is_checked() {
    let long = format!("https://h/{}", "a".repeat(512));
    for (more, expected) in [
        ("service.web.channel = {}".to_owned(), "service.web.channel.url: is required"),
        (
            r#"service.web.channel.url = "releases/web""#.to_owned(),
            "service.web.channel.url: must be s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH or file:/PATH",
        ),
        (
            r#"service.web.channel.url = "s3://releases""#.to_owned(),
            "service.web.channel.url: must be s3://BUCKET/KEY, with",
        ),
        (
            format!("service.web.channel.url = {long:?}"),
            "service.web.channel.url: must be at most 512 bytes long",
        ),
        (
            r#"service.web.channel = { url = "file:/a", poll = "1ms" }"#.to_owned(),
            "service.web.channel.poll: must be 100ms to 1h",
        ),
        (
            r#"service.web.channel = { url = "file:/a", every = "1s" }"#.to_owned(),
            "service.web.channel.every: ",
        ),
        (
            r#"service.web.channel.url = "http://releases.example/web""#.to_owned(),
            "service.web.channel.url: must be https, or a loopback address or localhost",
        ),
        (
            r#"service.web.channel.url = "http://10.0.0.9/web""#.to_owned(),
            "service.web.channel.url: must be a loopback address",
        ),
    ] {
        let problems: Vec<String> = with(&more).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{expected}\nnot in {problems:?}");
    }
    let trusted = "transport.insecure = true\nservice.web.channel.url = \"http://10.0.0.9/web\"";
    assert!(with(trusted).is_ok());
    assert!(with(r#"service.web.channel.url = "http://localhost:80/web""#).is_ok());
}
