//! `admin`: where operators reach the gateway.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
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
    /// A file with a token that is good for everything; the audit log calls it `operate`. Where the address is not loopback some token is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A file with a token that is good for looking only; the audit log calls it `read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_token_file: Option<PathBuf>,
    /// Tokens with names of their own, which the audit log tells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<AdminTokenInput>,
    /// A file to which each change is appended as a line of JSON, synced before the change is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_file: Option<PathBuf>,
}

/// A token of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTokenInput {
    /// What the audit log calls it: 1 to 32 letters, digits and `_.-`.
    pub name: String,
    /// What it is good for.
    pub role: AdminRole,
    /// The file it stands in.
    pub file: PathBuf,
}

/// What a token of the admin API is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdminRole {
    /// To look.
    Read,
    /// To look and to change.
    Operate,
}

/// A token as the document has it, whichever key it stands under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTokenFile<'a> {
    /// Where its file is named in the document.
    pub at: String,
    /// What the audit log calls it.
    pub name: &'a str,
    /// What it is good for.
    pub role: AdminRole,
    /// The file it stands in.
    pub file: &'a Path,
}

impl AdminInput {
    /// All tokens. Those without a name of their own are called by their role.
    #[must_use]
    pub fn token_files(&self) -> Vec<AdminTokenFile<'_>> {
        let plain = [
            ("admin.token_file", "operate", AdminRole::Operate, &self.token_file),
            ("admin.read_token_file", "read", AdminRole::Read, &self.read_token_file),
        ];
        let plain = plain.into_iter().filter_map(|(at, name, role, file)| {
            Some(AdminTokenFile { at: at.to_owned(), name, role, file: file.as_deref()? })
        });
        let named = self.tokens.iter().enumerate().map(|(number, token)| AdminTokenFile {
            at: format!("admin.tokens[{number}].file"),
            name: &token.name,
            role: token.role,
            file: &token.file,
        });
        plain.chain(named).collect()
    }
}

impl Default for AdminInput {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901),
            token_file: None,
            read_token_file: None,
            tokens: Vec::new(),
            audit_file: None,
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format_args!("`{text}` is not an address; write IP:PORT, such as 127.0.0.1:9901"))
    })
}
