//! `admin`: where operators reach the gateway.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// The admin API: status, freezes, configuration, metrics.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminInput {
    /// Where it listens: `IP:PORT`; port 0 takes any free one.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// A file with the token that requests must carry; required where the address is not loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Default for AdminInput {
    fn default() -> Self {
        Self { address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901), token_file: None }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format_args!("`{text}` is not an address; write IP:PORT, such as 127.0.0.1:9901"))
    })
}
