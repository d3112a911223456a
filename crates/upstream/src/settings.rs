//! What the document says about an upstream, checked: the form the pools work with.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Uri, uri::Authority};
use sha2::{Digest, Sha256};
use sluicegate_core::{
    pins::{self, Pins},
    units::Span,
};

use crate::{
    affinity::{AffinityInput, SessionFrom},
    breaker::Rule,
    input::{BreakerInput, HealthInput, ManifestInput, OnMismatch, Protocol, UpstreamInput},
    tls::{self, ClientTls},
};

/// Something in an upstream's settings that does not work here and now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SettingsError {
    /// Where it stands, from the upstream's own entry on: `endpoints[0]`, `tls.ca`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl SettingsError {
    pub(crate) fn at(path: impl Into<String>, message: String) -> Self {
        Self { path: path.into(), message }
    }
}

/// One endpoint, checked and resolved.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSettings {
    /// As it is written in the document.
    pub(crate) text: Box<str>,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) authority: Authority,
    pub(crate) host_header: HeaderValue,
    pub(crate) addresses: Vec<SocketAddr>,
    /// How much the system keeps of what has come in and is not read yet, in bytes; none leaves it
    /// to the system.
    pub(crate) receive_buffer: Option<u32>,
    pub(crate) tls: Option<ClientTls>,
}

/// The receive buffer of connections that copies go over: left to itself the system lets it grow to
/// megabytes (`net.ipv4.tcp_rmem`), each of which a shadow that sends without end would fill, on
/// as many connections as copies may be on their way.
const COPIES_RECEIVE: u32 = 32 << 10;

/// One upstream, checked.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    pub(crate) name: Box<str>,
    pub(crate) protocol: Protocol,
    pub(crate) endpoints: Vec<EndpointSettings>,
    pub(crate) health: Option<HealthInput>,
    pub(crate) breaker: Rule,
    /// The statuses by which it promises that nothing was done.
    pub(crate) not_applied: Box<[u16]>,
    pub(crate) max_idle: usize,
    pub(crate) buffer: usize,
    pub(crate) affinity: Option<SessionFrom>,
    pub(crate) resolve: Duration,
    /// None are declared where it is empty.
    pub(crate) pins: Arc<Pins>,
    pub(crate) manifest: Option<ManifestInput>,
    /// Whether what contradicts its pins is refused.
    pub(crate) refuse: bool,
    /// Two settings with the same identity reach an endpoint in the same way: its connections
    /// and its health may be carried over.
    pub(crate) identity: String,
}

/// As much of a body as is worth reading at once; more would only be memory per connection.
const LEAST_BUFFER: usize = 64 * 1024;

impl UpstreamSettings {
    /// Checks `input`, reads its files and resolves its names.
    ///
    /// Blocking: it reads files and asks the resolver.
    pub fn check(
        name: &str,
        input: &UpstreamInput,
        resolve: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Self, Vec<SettingsError>> {
        Self::check_with(name, input, resolve, &found_now)
    }

    /// The same for an upstream that gets only copies of what goes elsewhere: a name that does not
    /// resolve is tried again later, and until then nobody is reached there.
    ///
    /// Blocking: it reads files and asks the resolver.
    pub fn check_for_copies(
        name: &str,
        input: &UpstreamInput,
        resolve: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Self, Vec<SettingsError>> {
        let found_later = |host: &str, port: u16| {
            Ok(lookup(host, port).unwrap_or_else(|error| {
                tracing::warn!(upstream = name, host, %error, "the name does not resolve now; copies wait for it");
                Vec::new()
            }))
        };
        Self::check_with(name, input, resolve, &found_later)
    }

    /// The same for who only wants to know what is wrong: no name is resolved.
    ///
    /// Blocking: it reads files.
    pub fn check_without_names(
        name: &str,
        input: &UpstreamInput,
        resolve: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Self, Vec<SettingsError>> {
        Self::check_with(name, input, resolve, &|_, _| Ok(Vec::new()))
    }

    /// The same upstream under another name, for copies of requests: with connections, breakers
    /// and counts of its own, without pins, and without probes where somebody else probes it.
    #[must_use]
    pub fn for_copies(mut self, name: &str, probed_elsewhere: bool) -> Self {
        self.name = name.into();
        self.pins = Arc::default();
        self.manifest = None;
        self.refuse = false;
        for endpoint in &mut self.endpoints {
            endpoint.receive_buffer = Some(COPIES_RECEIVE);
        }
        if probed_elsewhere {
            self.health = None;
        }
        self
    }

    /// The same where heads of answers may have so many bytes, if that is more than 64 KiB.
    #[must_use]
    pub fn heads_up_to(mut self, bytes: usize) -> Self {
        self.buffer = bytes.max(LEAST_BUFFER);
        self
    }

    fn check_with(
        name: &str,
        input: &UpstreamInput,
        resolve: &dyn Fn(&Path) -> PathBuf,
        find: &Find<'_>,
    ) -> Result<Self, Vec<SettingsError>> {
        let mut endpoints = Vec::new();
        let mut errors = Vec::new();
        for (at, text) in input.endpoints.iter().enumerate() {
            match endpoint(text, input, resolve, find) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(mut error) => {
                    if error.path.is_empty() {
                        error.path = format!("endpoints[{at}]");
                    }
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
            }
        }
        errors.extend(input.breaker.faults());
        errors.extend(input.pin_faults());
        let affinity = input.affinity.as_ref().map(AffinityInput::check).transpose();
        let affinity = affinity.unwrap_or_else(|(key, message)| {
            errors.push(SettingsError::at(format!("affinity.{key}"), message));
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let files = input.tls.iter().flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]).flatten();
        // Of what is in the files a digest tells as well as they do, and is no secret.
        let files: Vec<_> = files.map(|path| std::fs::read(resolve(path)).ok().map(Sha256::digest)).collect();
        Ok(Self {
            name: name.into(),
            protocol: input.protocol,
            endpoints,
            health: input.health.clone(),
            breaker: breaker(&input.breaker),
            not_applied: input.not_applied.clone().into(),
            max_idle: input.max_idle as usize,
            buffer: LEAST_BUFFER,
            affinity,
            resolve: input.resolve.0,
            pins: Arc::new(Pins::new(input.pins.iter().flatten().map(|(name, value)| (&**name, &**value)))),
            manifest: input.manifest.clone(),
            refuse: input.on_mismatch == OnMismatch::Refuse,
            identity: format!("{:?} {:?} {files:?}", input.protocol, input.tls),
        })
    }
}

impl UpstreamInput {
    /// What is wrong with its pins and what belongs to them, by paths that begin with their keys.
    #[must_use]
    pub fn pin_faults(&self) -> Vec<SettingsError> {
        let mut errors = Vec::new();
        let mut wrong = |path: &str, message: String| errors.push(SettingsError::at(path, message));
        for (name, value) in self.pins.iter().flatten() {
            if let Some(fault) = pins::fault(name, value) {
                wrong(&format!("pins.{name}"), format!("`{name}={value}` is not a pin: {fault}"));
            }
        }
        let has_pins = self.pins.as_ref().is_some_and(|pins| !pins.is_empty());
        if self.manifest.is_some() && !has_pins {
            wrong(
                "manifest",
                "there are no `pins` to compare it with; declare some, or remove it".to_owned(),
            );
        }
        if self.on_mismatch == OnMismatch::Refuse && !has_pins {
            let message = "there are no `pins` that anything could differ from; declare some, or remove it";
            wrong("on_mismatch", message.to_owned());
        }
        let Some(ManifestInput { path, interval, timeout }) = &self.manifest else { return errors };
        if !path.starts_with('/') || path.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
            let message = format!("`{path}` is not a path; begin it with `/`, such as /index/manifest");
            wrong("manifest.path", message);
        }
        if *interval < Span::millis(10) {
            wrong("manifest.interval", format!("`{interval}` is below 10ms, which would be a flood"));
        }
        if timeout.0.is_zero() {
            let message = "no manifest can be read in no time; write a duration such as 1s";
            wrong("manifest.timeout", message.to_owned());
        }
        errors
    }
}

impl BreakerInput {
    /// What is wrong with it, by paths that begin with `breaker`.
    #[must_use]
    pub fn faults(&self) -> Vec<SettingsError> {
        let Self { ratio, minimum, base, max, probes, .. } = *self;
        let mut errors = Vec::new();
        let mut wrong = |key: &str, message: String| {
            errors.push(SettingsError::at(format!("breaker.{key}"), message));
        };
        if let Some(ratio) = ratio.filter(|ratio| !(*ratio > 0.0 && *ratio <= 1.0)) {
            wrong(
                "ratio",
                format!(
                    "{ratio} is not a share of failures; write a number above 0 and up to 1, such as 0.5"
                ),
            );
        }
        if minimum == 0 {
            wrong(
                "minimum",
                "a share of no answers says nothing; write a number from 1 on, such as 20".to_owned(),
            );
        }
        if base.0.is_zero() {
            wrong(
                "base",
                "an endpoint cannot be left out for no time; write a duration such as 1s".to_owned(),
            );
        }
        if max < base {
            wrong("max", format!("`{max}` is shorter than `base`, {base}; make it as long at least"));
        }
        if probes == 0 {
            wrong(
                "probes",
                "without a probe it is never used again; write a number from 1 on, such as 3".to_owned(),
            );
        }
        errors
    }
}

/// The breaker's rule as it runs.
const fn breaker(input: &BreakerInput) -> Rule {
    let BreakerInput { consecutive, ratio, minimum, base, max, probes } = *input;
    Rule { consecutive, ratio, minimum, base: base.0, max: max.0, probes }
}

/// How the addresses of a host are found; or what is wrong with it.
type Find<'a> = dyn Fn(&str, u16) -> Result<Vec<SocketAddr>, String> + 'a;

fn found_now(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    lookup(host, port).map_err(|error| {
        format!("does not resolve: {error}; check the name, or start the service that provides it first")
    })
}

fn endpoint(
    text: &str,
    input: &UpstreamInput,
    resolve: &dyn Fn(&Path) -> PathBuf,
    find: &Find<'_>,
) -> Result<EndpointSettings, SettingsError> {
    let wrong = |what: &str| SettingsError::at("", format!("`{text}` {what}"));
    let uri: Uri =
        text.parse().map_err(|_| wrong("is not a URL; write http://host:port or https://host:port"))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("must begin with http:// or https://")),
    };
    let authority = uri.authority().cloned().ok_or_else(|| wrong("names no host"))?;
    let host = authority.host().to_owned();
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let addresses = find(&host, port).map_err(|message| wrong(&message))?;
    let tls = secure.then(|| tls::client(&host, input.tls.as_ref(), input.protocol, resolve)).transpose()?;
    let host_header =
        HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("has a host that cannot be sent"))?;
    Ok(EndpointSettings {
        text: text.into(),
        host: host.into(),
        port,
        authority,
        host_header,
        addresses,
        receive_buffer: None,
        tls,
    })
}

/// Asks the system's resolver. Blocking.
pub(crate) fn lookup(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = (bare, port).to_socket_addrs()?.collect();
    if found.is_empty() {
        return Err(std::io::Error::other("the name has no address"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
