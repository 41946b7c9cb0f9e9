//! S3: objects by path, as `/BUCKET/KEY`.

use hyper::{Method, StatusCode};

use super::{Call, Reply, no_such_action};
use crate::{cloud::Cloud, query::decode, refusal::Refusal, time};

/// What a request asks for.
pub(super) fn action(method: &Method, path: &str) -> &'static str {
    let has_key = split(path).is_some_and(|(_, key)| !key.is_empty());
    match (method, has_key) {
        (&Method::GET, true) => "GetObject",
        (&Method::HEAD, true) => "HeadObject",
        _ => "Other",
    }
}

fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

pub(super) fn execute(cloud: &Cloud, call: &Call) -> Result<Reply, Refusal> {
    let (true, Some((bucket, key))) = (call.action != "Other", split(&call.path)) else {
        return Err(no_such_action(call));
    };
    let object = cloud.objects.get(bucket, &decode(key))?;
    let mut headers = vec![
        ("etag", object.etag.clone()),
        ("last-modified", time::http(cloud.began + object.changed)),
        ("accept-ranges", "bytes".to_owned()),
    ];
    let known = call.if_none_match.as_deref().is_some_and(|known| known == object.etag || known == "*");
    if known {
        let mut reply = Reply::xml(String::new());
        (reply.status, reply.headers) = (StatusCode::NOT_MODIFIED, headers);
        return Ok(reply);
    }
    if call.method == Method::HEAD {
        headers.push(("content-length", object.bytes.len().to_string()));
    }
    Ok(Reply {
        status: StatusCode::OK,
        content_type: "binary/octet-stream",
        headers,
        body: if call.method == Method::HEAD { Default::default() } else { object.bytes.clone() },
    })
}
