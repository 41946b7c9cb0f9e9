//! The control door: what nobody can do through the APIs, as JSON over HTTP/1.1. It is never subject to faults.
//!
//! ```text
//! GET    /now                                      milliseconds since the start, as in samples
//! GET    /instances            POST /instances                    NewInstance -> InstanceView
//! POST   /instances/ID/{terminate|stop|start|forget}
//! PUT    /instances/ID/tags                        all of its tags anew
//! PUT    /instances/ID/lifecycle                   what its Auto Scaling group wants of it: "InService", "Terminated", ...; null: it has no group
//! POST   /instances/ID/metadata  {address}         a metadata service of its own -> {address}
//! PUT    /groups/NAME          GroupOptions -> GroupView: makes the group, or changes it
//! GET    /groups/NAME/targets | counters | samples
//! POST   /groups/NAME/reset                        counters from zero, samples from now
//! POST   /groups/NAME/deregister {id, port}        as by DeregisterTargets: it drains
//! POST   /groups/NAME/drop      {id, port}         the registration is gone at once, and requests are cut
//! POST   /balancers             NewBalancer -> BalancerView
//! POST   /balancers/NAME/listeners  NewListener -> ListenerView
//! DELETE /groups/NAME/listeners                    no listener sends to the group any more; theirs answer 503
//! GET    /faults   POST /faults  Fault   DELETE /faults
//! PUT    /rates                  [Rate]: how often calls may be made; none: as often as anybody likes
//! PUT    /allowed                what roles may do, as in an IAM policy: ["ec2:DescribeInstances", "s3:*"]; null: everything
//! PUT    /credentials            "valid" | "expired" | "missing"
//! PUT    /objects/BUCKET/KEY     the bytes         DELETE /objects/BUCKET/KEY
//! GET    /calls   DELETE /calls
//! ```

pub(crate) mod client;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cloud::Cloud,
    plane::millis,
    query::decode,
    refusal::Refusal,
    server::{listen, listen_for_metadata},
    shared::Shared,
    wire::{
        Act, BalancerView, Credentials, Fault, GroupOptions, GroupView, ListenerView, Listening, NewBalancer,
        NewInstance, NewListener, Rate, Refused, TargetName, TargetView,
    },
};

/// Longest request body.
const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;

type Outcome = Result<Bytes, (StatusCode, String)>;

/// Answers one call.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match route(&shared, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, error)) => (status, json(&Refused { error }).unwrap_or_default()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn route(shared: &Arc<Shared>, request: Request<Incoming>) -> Outcome {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT_BYTES)
        .collect()
        .await
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("read the body: {error}")))?
        .to_bytes();
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    match path.as_slice() {
        ["instances", rest @ ..] => instances(shared, &head.method, rest, &body).await,
        ["groups", name, rest @ ..] => groups(shared, &head.method, name, rest, &body),
        ["balancers", rest @ ..] => balancers(shared, &head.method, rest, &body).await,
        ["objects", bucket, key @ ..] => objects(shared, &head.method, bucket, &decode(&key.join("/")), body),
        rest => others(shared, &head.method, rest, &body),
    }
}

async fn instances(shared: &Arc<Shared>, method: &Method, path: &[&str], body: &Bytes) -> Outcome {
    match (method, path) {
        (&Method::GET, []) => {
            let now = shared.now();
            let world = shared.lock();
            json(&world.cloud().listed(now).map(|instance| instance.view(now)).collect::<Vec<_>>())
        }
        (&Method::POST, []) => {
            let new: NewInstance = parse(body)?;
            let made = shared.change(|cloud, now| Ok(cloud.launch(new, now)?.view(now)));
            json(&made.map_err(refused)?)
        }
        (&Method::PUT, [id, "tags"]) => {
            let tags = parse(body)?;
            let set = |cloud: &mut Cloud, now| {
                cloud.instance_mut(id, now)?.made.tags = tags;
                Ok(())
            };
            json(&shared.change(set).map_err(refused)?)
        }
        (&Method::PUT, [id, "lifecycle"]) => {
            let lifecycle = parse(body)?;
            let set = |cloud: &mut Cloud, now| {
                cloud.instance_mut(id, now)?.made.lifecycle = lifecycle;
                Ok(())
            };
            json(&shared.change(set).map_err(refused)?)
        }
        (&Method::POST, [id, "metadata"]) => {
            let Listening { address } = parse(body)?;
            shared.change(|cloud, now| cloud.instance(id, now).map(drop)).map_err(refused)?;
            let own = Some(Arc::from(*id));
            let address = listen_for_metadata(shared, address, own).await.map_err(not_bound(address))?;
            json(&Listening { address })
        }
        (&Method::POST, [id, word]) => match Act::of_word(word) {
            Some(act) => {
                shared.act(id, act).map_err(refused)?;
                json(&())
            }
            None => no_such_call(method, path),
        },
        _ => no_such_call(method, path),
    }
}

fn groups(shared: &Arc<Shared>, method: &Method, name: &str, path: &[&str], body: &Bytes) -> Outcome {
    if (method, path) == (&Method::PUT, &[]) {
        let options: GroupOptions = parse(body)?;
        let made = shared.change(|cloud, _| put_group(cloud, name, options));
        return json(&made.map_err(refused)?);
    }
    let arn = shared.lock().cloud().group_named(name).map(|group| group.arn.clone()).map_err(refused)?;
    match (method, path) {
        (&Method::GET, ["targets"]) => json(&targets(shared, &arn)),
        (&Method::GET, ["counters"]) => json(&shared.lock().plane.counters(&arn)),
        (&Method::GET, ["samples"]) => json(&shared.lock().plane.samples(&arn)),
        (&Method::POST, ["reset"]) => {
            shared.lock().plane.reset(&arn);
            json(&())
        }
        (&Method::POST, ["deregister"]) => {
            let TargetName { id, port } = parse(body)?;
            let leave = |cloud: &mut Cloud, now| cloud.deregister(&arn, &[(id, Some(port))], now);
            json(&shared.change(leave).map_err(refused)?)
        }
        (&Method::POST, ["drop"]) => {
            let TargetName { id, port } = parse(body)?;
            json(&shared.drop_target(&arn, &id, port).map_err(refused)?)
        }
        (&Method::DELETE, ["listeners"]) => {
            let detach = |cloud: &mut Cloud, _| {
                cloud.listeners.retain(|listener| listener.group != arn);
                Ok(())
            };
            json(&shared.change(detach).map_err(refused)?)
        }
        _ => no_such_call(method, path),
    }
}

fn put_group(cloud: &mut Cloud, name: &str, options: GroupOptions) -> Result<GroupView, Refusal> {
    let known = cloud.group_named(name).map(|group| group.arn.clone());
    let group = match known {
        Ok(arn) => {
            let group = cloud.group_mut(&arn)?;
            group.options = GroupOptions { target_type: group.options.target_type, ..options };
            group
        }
        Err(_) => cloud.make_group(name, options)?,
    };
    Ok(GroupView { name: group.name.clone(), arn: group.arn.clone() })
}

fn targets(shared: &Shared, arn: &str) -> Vec<TargetView> {
    let now = shared.now();
    let world = shared.lock();
    let Ok(group) = world.cloud().group(arn) else { return Vec::new() };
    let known = group.targets.iter().filter(|target| !target.is_gone(now));
    let view = known.map(|target| {
        let state = world.cloud().state(group, target, now);
        let (state, reason, _) = state.told();
        TargetView {
            id: target.id.clone(),
            port: target.port,
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            in_flight: world.plane.in_flight(target.member),
        }
    });
    view.collect()
}

async fn balancers(shared: &Arc<Shared>, method: &Method, path: &[&str], body: &Bytes) -> Outcome {
    match (method, path) {
        (&Method::POST, []) => {
            let new: NewBalancer = parse(body)?;
            let made = shared.change(|cloud, _| {
                let made = cloud.make_balancer(new)?;
                Ok(BalancerView { name: made.name.clone(), arn: made.arn.clone() })
            });
            json(&made.map_err(refused)?)
        }
        (&Method::POST, [balancer, "listeners"]) => {
            let NewListener { address, group } = parse(body)?;
            let view = listen(shared, balancer, address, &group).await;
            let ListenerView { arn, address } = view.map_err(not_bound(address))?.map_err(refused)?;
            json(&ListenerView { arn, address })
        }
        _ => no_such_call(method, path),
    }
}

fn objects(shared: &Shared, method: &Method, bucket: &str, key: &str, body: Bytes) -> Outcome {
    let done = match *method {
        Method::PUT => shared.change(|cloud, now| Ok(cloud.objects.put(bucket, key, body, now).etag.clone())),
        Method::DELETE => shared.change(|cloud, _| {
            cloud.objects.remove(bucket, key);
            Ok(String::new())
        }),
        _ => return no_such_call(method, &["objects", bucket, key]),
    };
    json(&done.map_err(refused)?)
}

fn others(shared: &Shared, method: &Method, path: &[&str], body: &Bytes) -> Outcome {
    let now = shared.now();
    match (method, path) {
        (&Method::GET, ["now"]) => return json(&millis(now)),
        (&Method::GET, ["faults"]) => return json(&shared.lock().faults.list(now)),
        (&Method::POST, ["faults"]) => {
            let fault: Fault = parse(body)?;
            shared.lock().faults.add(fault, now);
        }
        (&Method::DELETE, ["faults"]) => shared.lock().faults.clear(),
        (&Method::PUT, ["rates"]) => {
            let rates: Vec<Rate> = parse(body)?;
            shared.lock().rates.set(rates, now);
        }
        (&Method::PUT, ["allowed"]) => {
            let allowed: Option<Vec<String>> = parse(body)?;
            shared.lock().allowed = allowed;
        }
        (&Method::PUT, ["credentials"]) => {
            let mode: Credentials = parse(body)?;
            shared.lock().keys.set(mode, now);
        }
        (&Method::GET, ["calls"]) => return json(&shared.calls()),
        (&Method::DELETE, ["calls"]) => shared.reset_calls(),
        _ => return no_such_call(method, path),
    }
    json(&())
}

fn no_such_call(method: &Method, path: &[&str]) -> Outcome {
    Err((StatusCode::NOT_FOUND, format!("no such call: {method} .../{}", path.join("/"))))
}

fn refused(Refusal { code, message, .. }: Refusal) -> (StatusCode, String) {
    (StatusCode::CONFLICT, format!("{code}: {message}"))
}

fn not_bound(address: SocketAddr) -> impl Fn(std::io::Error) -> (StatusCode, String) {
    move |error| (StatusCode::CONFLICT, format!("listen on {address}: {error}"))
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("read the body: {error}")))
}

fn json<T: Serialize>(value: &T) -> Outcome {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("write the answer: {error}")))
}
