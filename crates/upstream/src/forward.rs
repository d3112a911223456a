//! The forwarding rules: which header fields pass, in which form.
//!
//! Fields that belong to one connection end there (RFC 9110 section 7.6.1): those with a
//! fixed meaning, those that `Connection` names, and the gateway's own `Sluicegate-` names
//! when they come from outside, but for the one by which a client asks for an arm. The rules run before anything else reads a header, so that
//! what the guards judge is what the upstream gets: a client cannot make a tenant header
//! vanish between the two by naming it in `Connection`.

use std::{
    fmt::{self, Write},
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use sluicegate_core::TrustedPeers;

/// `X-Forwarded-For`.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The one name of the gateway's own that a client may send: it asks for an arm of a rollout. Whoever
/// chooses the arm takes it off.
const ARM: HeaderName = HeaderName::from_static("x-sluicegate-arm");

/// Fields that no `Connection` field may take away: they frame or address the message.
const NEVER_NOMINATED: [HeaderName; 3] = [header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING];

/// Removes what must not pass from a request. `Upgrade: websocket` stays when the request
/// asks for it properly, and `TE` stays as `trailers`; both are per-hop, and the pool puts
/// them on its own connection anew.
pub fn clean_request(headers: &mut HeaderMap, version: Version) {
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let found = look(headers);
    if !found.any() {
        return;
    }
    // An upgrade asked for in HTTP/1.0 is ignored (RFC 9110 section 7.8).
    let upgrade = found.upgrade
        && version == Version::HTTP_11
        && names(headers, &header::CONNECTION, "upgrade")
        && wants_websocket(headers);
    let trailers = found.te && names(headers, &header::TE, "trailers");
    remove(headers, found, Some(&ARM));
    if upgrade {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// HTTP/2 may split a cookie into several fields; HTTP/1.1 knows one only (RFC 9113 section
/// 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, whole);
    }
}

/// Removes what must not pass from a response. After a switch of protocols `Upgrade` stays.
pub fn clean_response(headers: &mut HeaderMap, switching: bool) {
    let found = look(headers);
    if !found.any() {
        return;
    }
    let upgrade = if switching { headers.get(header::UPGRADE).cloned() } else { None };
    if found.transfer_encoding {
        // A length beside it was not what framed the body (RFC 9112 section 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    remove(headers, found, None);
    if let Some(upgrade) = upgrade {
        headers.insert(header::UPGRADE, upgrade);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// What one pass over the names has met.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)]
struct Found {
    connection: bool,
    te: bool,
    upgrade: bool,
    transfer_encoding: bool,
    rare: bool,
    internal: bool,
}

impl Found {
    const fn any(self) -> bool {
        self.connection || self.te || self.upgrade || self.transfer_encoding || self.rare || self.internal
    }
}

fn look(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    for name in headers.keys() {
        match *name {
            header::CONNECTION => found.connection = true,
            header::TE => found.te = true,
            header::UPGRADE => found.upgrade = true,
            header::TRANSFER_ENCODING => found.transfer_encoding = true,
            _ => {
                found.rare |= *name == KEEP_ALIVE || *name == PROXY_CONNECTION || *name == HTTP2_SETTINGS;
                found.internal |= is_internal(name);
            }
        }
    }
    found
}

/// Whether a name is one that only the gateway itself may set.
#[must_use]
pub fn is_internal(name: &HeaderName) -> bool {
    let name = name.as_str();
    let name = name.strip_prefix("x-").unwrap_or(name);
    name.starts_with("sluicegate-")
}

fn remove(headers: &mut HeaderMap, found: Found, kept: Option<&HeaderName>) {
    if found.connection {
        let nominated: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(tokens)
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            .filter(|name| !NEVER_NOMINATED.contains(name))
            .collect();
        for name in nominated {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    if found.te {
        headers.remove(header::TE);
    }
    if found.upgrade {
        headers.remove(header::UPGRADE);
    }
    if found.transfer_encoding {
        headers.remove(header::TRANSFER_ENCODING);
    }
    if found.rare {
        for name in [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS] {
            headers.remove(name);
        }
    }
    if found.internal {
        let internal: Vec<HeaderName> =
            headers.keys().filter(|name| is_internal(name) && Some(*name) != kept).cloned().collect();
        for name in internal {
            headers.remove(name);
        }
    }
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn names(headers: &HeaderMap, field: &HeaderName, token: &str) -> bool {
    headers.get_all(field).iter().flat_map(tokens).any(|it| {
        let it = it.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        it.eq_ignore_ascii_case(token.as_bytes())
    })
}

/// Only WebSocket is passed on: any other protocol (h2c above all) would carry requests past
/// the guards.
fn wants_websocket(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::UPGRADE).iter();
    let websocket = values.next().is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket && values.next().is_none()
}

/// Says in `X-Forwarded-*` where the request came from and returns the client's address.
///
/// What the message itself says there counts only when `peer` is trusted: then its address is
/// appended, and the client is the last address in the list that is not trusted. Otherwise
/// the fields begin anew with what this connection shows.
pub fn set_forwarded(headers: &mut HeaderMap, peer: SocketAddr, tls: bool, trusted: &TrustedPeers) -> IpAddr {
    let address = peer.ip().to_canonical();
    let proto = HeaderValue::from_static(if tls { "https" } else { "http" });
    if !trusted.contains(address) {
        headers.insert(FORWARDED_FOR, address_value(&[], address));
        headers.insert(FORWARDED_PROTO, proto);
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.insert(FORWARDED_HOST, host);
        } else {
            headers.remove(FORWARDED_HOST);
        }
        return address;
    }
    let chain: Vec<u8> = {
        let values: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        values.join(&b", "[..])
    };
    headers.insert(FORWARDED_FOR, address_value(&chain, address));
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, proto);
    }
    let host = headers.get(header::HOST).cloned();
    if let (Some(host), false) = (host, headers.contains_key(FORWARDED_HOST)) {
        headers.insert(FORWARDED_HOST, host);
    }
    client_of(&chain, trusted).unwrap_or(address)
}

/// The last address of the chain that is not a trusted peer's; what does not parse ends the
/// search, because nothing before it can be believed.
fn client_of(chain: &[u8], trusted: &TrustedPeers) -> Option<IpAddr> {
    let mut client = None;
    for part in chain.rsplit(|byte| *byte == b',') {
        let Some(address) = parse_address(part.trim_ascii()) else { break };
        client = Some(address);
        if !trusted.contains(address) {
            break;
        }
    }
    client
}

fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.split(']').next()).unwrap_or(text);
    bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

fn address_value(chain: &[u8], address: IpAddr) -> HeaderValue {
    let mut text = Text::default();
    // The longest address has 39 characters: writing into 48 cannot fail.
    let _ = write!(text, "{address}");
    let value = if chain.is_empty() {
        HeaderValue::from_bytes(text.as_bytes())
    } else {
        HeaderValue::from_bytes(&[chain, text.as_bytes()].join(&b", "[..]))
    };
    value.unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// A short text on the stack.
struct Text {
    bytes: [u8; 48],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 48], length: 0 }
    }
}

impl Text {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
