//! The four calls of etcd's API that are needed. Their messages have two fields at the most, and are written and read by hand, so that
//! nobody needs etcd's proto files.

use anyhow::{Context, Result};
use bytes::{Buf as _, BufMut as _};
use http::uri::PathAndQuery;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

/// The lock.
const LOCK: &[u8] = b"slot";
/// How long a client's lease lives unrenewed, in seconds: longer than any run.
const LEASE_S: u64 = 3600;

/// A client with a lease.
#[derive(Clone)]
pub(super) struct Client {
    grpc: Grpc<Channel>,
    lease: u64,
}

impl Client {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true);
        let mut client = Self { grpc: Grpc::new(endpoint.connect().await?), lease: 0 };
        let answer = client.call("/etcdserverpb.Lease/LeaseGrant", number(1, LEASE_S)).await?;
        client.lease = match field(&answer, 2) {
            Some(Field::Number(lease)) => lease,
            _ => anyhow::bail!("a lease without a number"),
        };
        Ok(client)
    }

    /// Waits for the lock; the key that gives it back.
    pub(super) async fn lock(&mut self) -> Result<Vec<u8>> {
        let request = [text(1, LOCK), number(2, self.lease)].concat();
        let answer = self.call("/v3lockpb.Lock/Lock", request).await?;
        match field(&answer, 2) {
            Some(Field::Text(key)) => Ok(key.to_vec()),
            _ => anyhow::bail!("a lock without a key"),
        }
    }

    /// Gives the lock back.
    pub(super) async fn unlock(&mut self, key: &[u8]) -> Result<()> {
        self.call("/v3lockpb.Lock/Unlock", text(1, key)).await.map(drop)
    }

    async fn call(&mut self, path: &'static str, message: Vec<u8>) -> Result<Vec<u8>> {
        self.grpc.ready().await.with_context(|| format!("call {path}"))?;
        let answer = self.grpc.unary(Request::new(message), PathAndQuery::from_static(path), Raw).await;
        Ok(answer.with_context(|| format!("call {path}"))?.into_inner())
    }
}

/// Messages as they are on the wire.
#[derive(Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// A field of a message.
#[derive(Debug, PartialEq, Eq)]
enum Field<'a> {
    Number(u64),
    Text(&'a [u8]),
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while 0x80 <= value {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn number(tag: u64, value: u64) -> Vec<u8> {
    let mut message = Vec::new();
    varint(tag << 3, &mut message);
    varint(value, &mut message);
    message
}

fn text(tag: u64, value: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    varint(tag << 3 | 2, &mut message);
    varint(value.len() as u64, &mut message);
    message.extend_from_slice(value);
    message
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The first field of this number; none when it is not there, or the message is none.
fn field(message: &[u8], wanted: u64) -> Option<Field<'_>> {
    let mut rest = message;
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        let found = match tag & 7 {
            0 => Field::Number(take_varint(&mut rest)?),
            2 => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                let (text, after) = rest.split_at_checked(length)?;
                rest = after;
                Field::Text(text)
            }
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_as_they_were_written() {
        let message = [text(1, b"slot"), number(2, 7_587_878_123_456_789)].concat();
        assert_eq!(field(&message, 1), Some(Field::Text(b"slot")));
        assert_eq!(field(&message, 2), Some(Field::Number(7_587_878_123_456_789)));
        assert_eq!(field(&message, 3), None);
        assert_eq!(field(&message[..3], 1), None, "it is cut off");
    }
}
