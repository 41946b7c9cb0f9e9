//! The channels there are.

use ports::{
    Channel, Fault,
    channel::{Address, Look},
};

use super::{Aws, AwsChannel, OutsideError};

/// What of AWS a channel at this address needs, if anything: S3, or the client that speaks TLS.
pub(super) fn wants_aws(address: &Address) -> Option<&'static str> {
    match address {
        Address::S3 { .. } => Some("channel.url = \"s3://…\""),
        Address::Https(_) => Some("channel.url = \"https://…\""),
        Address::Http(_) | Address::File(_) => None,
    }
}

/// Where CI leaves word, wherever it is.
#[derive(Debug, Clone)]
pub(crate) enum AnyChannel {
    File(channel::File),
    Http(channel::Http),
    Aws(AwsChannel),
}

impl AnyChannel {
    /// At this address, which another host may have declared: a way to AWS is found where this host needed none.
    pub(crate) async fn open(address: &Address, aws: Option<&Aws>) -> Result<Self, OutsideError> {
        match address {
            Address::Http(web) => Ok(Self::Http(channel::Http::new(web))),
            Address::File(path) => Ok(Self::File(channel::File::new(path))),
            Address::S3 { .. } | Address::Https(_) => {
                let aws = match aws {
                    Some(aws) => aws.clone(),
                    None => Aws::find(wants_aws(address).unwrap_or_default()).await?,
                };
                aws.channel(address).map(Self::Aws)
            }
        }
    }
}

impl Channel for AnyChannel {
    async fn look(&self, known: Option<&str>) -> Result<Look, Fault> {
        match self {
            Self::File(channel) => channel.look(known).await,
            Self::Http(channel) => channel.look(known).await,
            Self::Aws(channel) => channel.look(known).await,
        }
    }
}
