//! The two accounts: made alike, asked alike.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use fakeaws::{
    Act, GroupOptions, NewBalancer, NewInstance, NewListener, Options, Server, Settings, TargetType,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use localbalancer::{Tasks, http::send};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use crate::{
    Names,
    facts::{Facts, Raw},
    steps::{Ask, Call},
};

/// Longest wait for a state, for moto to start, and for an answer.
const DEADLINE: Duration = Duration::from_secs(60);
const REGION: &str = "eu-central-1";

/// One of the two.
pub(crate) struct World {
    kind: Kind,
    api: String,
    metadata: String,
    names: Names,
}

enum Kind {
    Fakeaws {
        server: Server,
        _services: [Tasks; 2],
    },
    /// Killed when it is dropped.
    Moto {
        _process: Child,
    },
}

impl World {
    /// An account in our own stand-in, which is started here.
    pub(crate) async fn fakeaws() -> Result<Self> {
        let settings = Settings {
            pending: Duration::ZERO,
            stopping: Duration::ZERO,
            registration: Duration::from_secs(1),
            ..Settings::default()
        };
        let server = Server::start(Options { settings, ..Options::default() }).await?;
        let control = server.control();
        let (one_ip, two_ip) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
        let (first, port) = service(SocketAddr::from((one_ip, 0))).await?;
        let (second, _) = service(SocketAddr::from((two_ip, port))).await?;
        let mut names = Names::from([("port".to_owned(), port.to_string())]);
        for (name, ip) in [("one", one_ip), ("two", two_ip)] {
            let new = NewInstance { private_ipv4: Some(ip), ..tagged("prod") };
            names.insert(name.to_owned(), control.launch(&new).await?.id);
        }
        for _ in 0..10 {
            control.launch(&tagged("pages")).await?;
        }
        let made = control
            .make_balancer(&NewBalancer { name: "front".to_owned(), ..NewBalancer::default() })
            .await?;
        names.insert("balancer".to_owned(), made.arn);
        let options = GroupOptions {
            deregistration_delay: Duration::from_secs(1),
            unhealthy_threshold: 2,
            ..GroupOptions::default()
        };
        let ips = GroupOptions { target_type: TargetType::Ip, health_port: Some(1), ..options.clone() };
        for (name, options) in [("group", options.clone()), ("ips", ips), ("loose", options)] {
            let name_of = if name == "group" { "web" } else { name };
            names.insert(name.to_owned(), control.put_group(name_of, &options).await?.arn);
        }
        for group in ["web", "ips"] {
            let address = ([127, 0, 0, 1], 0).into();
            let listener = control.listen("front", &NewListener { address, group: group.to_owned() }).await?;
            names.entry("listener".to_owned()).or_insert(listener.arn);
        }
        control.put_object("bucket", "key", b"/nix/store/one".to_vec()).await?;
        let metadata = control.open_metadata(&names["one"], ([127, 0, 0, 1], 0).into()).await?.to_string();
        let api = server.api_url().trim_start_matches("http://").to_owned();
        Ok(Self { kind: Kind::Fakeaws { server, _services: [first, second] }, api, metadata, names })
    }

    /// An account in moto, which is started here.
    pub(crate) async fn moto(python: &Path) -> Result<Self> {
        let (process, api) = start_moto(python).await?;
        let names = Names::from([("port".to_owned(), "8080".to_owned())]);
        let mut world = Self { kind: Kind::Moto { _process: process }, metadata: api.clone(), api, names };
        for name in ["one", "two"] {
            let id = world.run_instance("prod").await?;
            world.names.insert(name.to_owned(), id);
        }
        for _ in 0..10 {
            world.run_instance("pages").await?;
        }
        let subnets = world.made("ec2", "Action=DescribeSubnets", "subnetId").await?;
        let vpc = world.made("ec2", "Action=DescribeVpcs", "vpcId").await?.remove(0);
        let subnets: String =
            (1..).zip(subnets).map(|(n, subnet)| format!("&Subnets.member.{n}={subnet}")).collect();
        world
            .make("balancer", &format!("Action=CreateLoadBalancer&Name=front{subnets}"), "LoadBalancerArn")
            .await?;
        for (name, kind) in [("group", "instance"), ("ips", "ip"), ("loose", "instance")] {
            let name_of = if name == "group" { "web" } else { name };
            let form = format!(
                "Action=CreateTargetGroup&Name={name_of}&Protocol=HTTP&Port=80&VpcId={vpc}&TargetType={kind}\
                 &HealthCheckPath=/healthz&Matcher.HttpCode=200"
            );
            world.make(name, &form, "TargetGroupArn").await?;
        }
        let group = &world.names["group"];
        let delay = format!(
            "Action=ModifyTargetGroupAttributes&TargetGroupArn={group}&Attributes.member.1.Value=1\
             &Attributes.member.1.Key=deregistration_delay.timeout_seconds"
        );
        world.made("elb", &delay, "Key").await?;
        for (group, port) in [("ips", 81), ("group", 80)] {
            let (balancer, group) = (&world.names["balancer"], &world.names[group]);
            let form = format!(
                "Action=CreateListener&LoadBalancerArn={balancer}&Protocol=HTTP&Port={port}\
                 &DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={group}"
            );
            world.make("listener", &form, "ListenerArn").await?;
        }
        for path in ["/bucket", "/bucket/key"] {
            let body = if path == "/bucket" {
                format!(
                    "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
                )
            } else {
                "/nix/store/one".to_owned()
            };
            let raw = request(&world.api, "PUT", path, Some("s3"), body).await?;
            ensure!(raw.status == 200, "PUT {path}: {}", raw.body);
        }
        Ok(world)
    }

    /// One at a time: moto's pages are of reservations.
    async fn run_instance(&self, cluster: &str) -> Result<String> {
        let form = format!(
            "Action=RunInstances&ImageId=ami-12c6146b&MinCount=1&MaxCount=1\
             &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=cluster\
             &TagSpecification.1.Tag.1.Value={cluster}"
        );
        self.made("ec2", &form, "instanceId").await?.pop().context("no instance was launched")
    }

    async fn make(&mut self, name: &str, form: &str, element: &str) -> Result<()> {
        let arn = self.made("elb", form, element).await?.into_iter().next();
        self.names.insert(name.to_owned(), arn.with_context(|| format!("no {element} of {name}"))?);
        Ok(())
    }

    async fn made(&self, service: &str, form: &str, element: &str) -> Result<Vec<String>> {
        let raw = self.query(service, form, true).await?;
        ensure!(raw.status == 200, "{form}: {}", raw.body);
        Ok(raw.texts(element).into_iter().map(str::to_owned).collect())
    }

    /// Does something to the account, in its own way.
    pub(crate) async fn act(&self, act: &str) -> Result<()> {
        let (verb, name) = act.split_once(' ').context("an act is a verb and a name")?;
        let id = self.names.get(name).with_context(|| format!("nothing is called {name}"))?;
        if verb == "register" {
            return self.register(id).await;
        }
        let (of_control, of_api) = match verb {
            "stop" => (Act::Stop, "StopInstances"),
            "start" => (Act::Start, "StartInstances"),
            "terminate" => (Act::Terminate, "TerminateInstances"),
            _ => bail!("nobody can {act}"),
        };
        match &self.kind {
            Kind::Fakeaws { server, .. } => server.control().act(id, of_control).await?,
            Kind::Moto { .. } => {
                self.made("ec2", &format!("Action={of_api}&InstanceId.1={id}"), "instanceId").await?;
            }
        }
        Ok(())
    }

    /// Registers a target, and waits until it is healthy.
    async fn register(&self, id: &str) -> Result<()> {
        let (group, port) = (&self.names["group"], &self.names["port"]);
        let target = format!("&TargetGroupArn={group}&Targets.member.1.Id={id}&Targets.member.1.Port={port}");
        self.made("elb", &format!("Action=RegisterTargets{target}"), "State").await?;
        let began = Instant::now();
        loop {
            let states = self.made("elb", &format!("Action=DescribeTargetHealth{target}"), "State").await?;
            if states == ["healthy"] {
                return Ok(());
            }
            ensure!(began.elapsed() < DEADLINE, "{id} is not healthy after {DEADLINE:?}: {states:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes a call, and reads the facts from its answer.
    pub(crate) async fn ask(&mut self, call: &Call) -> Result<Facts> {
        let began = Instant::now();
        loop {
            let raw = self.ask_once(call).await?;
            let states = raw.texts("State");
            let is_so = call.until.as_deref().is_none_or(|until| states == [until]);
            if !is_so && matches!(self.kind, Kind::Fakeaws { .. }) {
                ensure!(began.elapsed() < DEADLINE, "not {:?} after {DEADLINE:?}: {}", call.until, raw.body);
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            let facts = Facts::of(&raw, call, &self.names);
            if let Some(kept) = call.keep.as_ref().and_then(|element| raw.texts(element).first().copied()) {
                self.names.insert("kept".to_owned(), kept.to_owned());
            }
            return Ok(facts);
        }
    }

    async fn ask_once(&self, call: &Call) -> Result<Raw> {
        match &call.ask {
            Ask::Form(form) => {
                let form = self
                    .names
                    .iter()
                    .fold(form.clone(), |form, (name, value)| form.replace(&format!("${name}"), value));
                self.query(&call.service, &form, call.is_signed).await
            }
            Ask::Request { method, path } => {
                let authority = if call.service == "imds" { &self.metadata } else { &self.api };
                let scope = call.is_signed.then_some(call.service.as_str());
                request(authority, method, path, scope, String::new()).await
            }
        }
    }

    async fn query(&self, service: &str, form: &str, is_signed: bool) -> Result<Raw> {
        let (version, scope) = match service {
            "ec2" => ("2016-11-15", "ec2"),
            "elb" => ("2015-12-01", "elasticloadbalancing"),
            "sts" => ("2011-06-15", "sts"),
            _ => bail!("{service} is no service with forms"),
        };
        let body = format!("Version={version}&{form}");
        request(&self.api, "POST", "/", is_signed.then_some(scope), body).await
    }
}

fn tagged(cluster: &str) -> NewInstance {
    NewInstance { tags: [("cluster".to_owned(), cluster.to_owned())].into(), ..NewInstance::default() }
}

/// A service that is healthy, and its port.
async fn service(address: SocketAddr) -> Result<(Tasks, u16)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let port = listener.local_addr()?.port();
    let tasks = Tasks::default();
    tasks.listen(listener, |_, _| async {
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    });
    Ok((tasks, port))
}

/// Starts moto on a free port of loopback, and returns where it is.
async fn start_moto(python: &Path) -> Result<(Child, String)> {
    let mut command = Command::new(python);
    command.args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
    // Nothing of the environment: no proxy, no credentials, no region.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("start moto with {}", python.display()))?;
    let mut lines = BufReader::new(child.stderr.take().context("moto's stderr")?).lines();
    let mut said = Vec::new();
    let found = tokio::time::timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, url)) = line.split_once("Running on http://") {
                return Ok(url.trim().to_owned());
            }
            said.push(line);
        }
        bail!("moto ended: {}", said.join("\n"))
    });
    let url = found.await.with_context(|| format!("moto said nothing for {DEADLINE:?}"))??;
    // It goes on to log there, and would stop when nobody reads.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, url))
}

/// One request over a connection of its own, signed for a service as far as anybody looks.
async fn request(
    authority: &str,
    method: &str,
    path: &str,
    scope: Option<&str>,
    body: String,
) -> Result<Raw> {
    let mut request = Request::builder().method(method).uri(path).header("host", authority);
    if method == "POST" {
        request = request.header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    }
    if let Some(scope) = scope {
        let scope = format!("AKIDCONFORMANCE/20260101/{REGION}/{scope}/aws4_request");
        let value = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        request = request.header("authorization", value);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let exchange = async {
        let answer = send(authority, request).await?;
        let (head, body) = answer.response.into_parts();
        let body = body.collect().await?.to_bytes();
        anyhow::Ok(Raw { status: head.status.as_u16(), body: String::from_utf8_lossy(&body).into_owned() })
    };
    tokio::time::timeout(DEADLINE, exchange).await.with_context(|| format!("no answer to {method} {path}"))?
}
