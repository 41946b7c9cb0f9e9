//! What a listener of an NLB does with a connection: one target gets it, for as long as it lasts.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use localbalancer::proxy::End;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::forward::{Picked, pick};
use crate::shared::Shared;

/// Longest wait for a target to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a connection could not be accepted: asking at once changes nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes the connections of a listener until the server stops.
pub(crate) async fn carry(shared: Arc<Shared>, listener: Arc<str>, socket: TcpListener) {
    loop {
        match socket.accept().await {
            Ok((caller, _)) => shared.tasks.spawn(connection(shared.clone(), listener.clone(), caller)),
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection. Unlike an ALB, an NLB does not cut it when its target is gone.
async fn connection(shared: Arc<Shared>, listener: Arc<str>, caller: TcpStream) {
    let Some(Picked { way, mut flight, .. }) = pick(&shared, &listener) else { return reset(&caller) };
    match connect(way.address).await {
        Some(target) => flight.end(pass(caller, target).await),
        None => {
            flight.end(End::Unreachable);
            reset(&caller);
        }
    }
}

async fn connect(address: SocketAddr) -> Option<TcpStream> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    connected.ok()?.ok()
}

/// Lets the caller see that this was no proper end.
fn reset(caller: &TcpStream) {
    if let Err(error) = caller.set_zero_linger() {
        tracing::debug!(%error, "reset a connection");
    }
}

/// Carries bytes both ways until the target has said all.
async fn pass(caller: TcpStream, target: TcpStream) -> End {
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_target, mut to_target) = target.into_split();
    let asking = async {
        match pump(&mut from_caller, &mut to_target).await {
            Side::Done => {
                // The target may still have something to say.
                drop(to_target.shutdown().await);
                std::future::pending().await
            }
            Side::Reader => End::CallerGone,
            // Why it takes no more, its own side tells.
            Side::Writer => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        end = asking => end,
        said = pump(&mut from_target, &mut to_caller) => match said {
            Side::Done => End::Completed,
            Side::Reader => End::BrokenAnswer,
            Side::Writer => End::CallerGone,
        },
    };
    if end == End::Completed {
        drop(to_caller.shutdown().await);
    } else {
        reset(to_caller.as_ref());
    }
    end
}

/// How one direction ended: in order, or by whom it was broken off.
enum Side {
    Done,
    Reader,
    Writer,
}

async fn pump(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Side {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        match from.read(&mut bytes).await {
            Ok(0) => return Side::Done,
            Ok(length) if to.write_all(&bytes[..length]).await.is_err() => return Side::Writer,
            Ok(_) => (),
            Err(_) => return Side::Reader,
        }
    }
}
