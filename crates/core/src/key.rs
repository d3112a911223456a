//! What makes requests belong together.
//!
//! A canary keeps a caller on its arm, and a shadow copies a session whole or not at all: both
//! take a *key* from the request and hash it ([`share`](crate::share)). Where the key stands is a
//! setting of one form, [`KeyInput`]; checked it is a [`KeySource`].

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    claims::{ClaimName, Claims},
    facts::Tenant,
};

/// What makes requests belong together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyInput {
    /// The value of this request header.
    Header(String),
    /// The value of this cookie, which the gateway sets where it is missing.
    Cookie(String),
    /// The tenant.
    Tenant(bool),
    /// This claim of a JWT that was verified by `jwt`.
    Claim(String),
    /// The client's address.
    Client(bool),
}

impl KeyInput {
    /// Where the key stands; or the key of this setting that is wrong, and why.
    pub fn check(&self) -> Result<KeySource, (&'static str, String)> {
        match self {
            Self::Header(name) => match HeaderName::try_from(name) {
                Ok(name) => Ok(KeySource::Header(name)),
                Err(_) => Err(("header", format!("`{name}` is not the name of a header"))),
            },
            Self::Cookie(name) => match CookieName::new(name) {
                Ok(name) => Ok(KeySource::Cookie(name)),
                Err(why) => Err(("cookie", format!("`{name}` is not the name of a cookie: {why}"))),
            },
            Self::Tenant(true) => Ok(KeySource::Tenant),
            Self::Client(true) => Ok(KeySource::Client),
            Self::Tenant(false) => Err(("tenant", "can only be true; leave the key out for none".into())),
            Self::Client(false) => Err(("client", "can only be true; leave the key out for none".into())),
            Self::Claim(name) => ClaimName::new(name).map(KeySource::Claim).map_err(|why| ("claim", why)),
        }
    }
}

/// Where the key of a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Nowhere: each request is drawn by itself.
    PerRequest,
    /// A header that the client, or something in front of the gateway, sets.
    Header(HeaderName),
    /// A cookie that the gateway sets.
    Cookie(CookieName),
    /// The tenant.
    Tenant,
    /// A claim of a verified token.
    Claim(ClaimName),
    /// The client's address.
    Client,
}

impl KeySource {
    /// What `with` makes of the key, where the request brings one. A cookie's value is its
    /// reader's to judge: its key is none of these.
    pub fn find<T>(
        &self,
        headers: &HeaderMap,
        (tenant, claims): (Option<&Tenant>, Option<&Claims>),
        client: Option<IpAddr>,
        with: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        match self {
            Self::PerRequest | Self::Cookie(_) => None,
            Self::Header(name) => {
                let value = headers.get(name).filter(|value| !value.is_empty())?;
                Some(with(value.as_bytes()))
            }
            Self::Tenant => Some(with(tenant?.as_str().as_bytes())),
            Self::Claim(name) => {
                let value = claims?.said(name).filter(|value| !value.is_empty())?;
                Some(with(value.as_bytes()))
            }
            // IPv4 in IPv6 is IPv4.
            Self::Client => Some(match client?.to_canonical() {
                IpAddr::V4(address) => with(&address.octets()),
                IpAddr::V6(address) => with(&address.octets()),
            }),
        }
    }
}

/// The name of a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// A name that a cookie may have (RFC 6265 section 4.1.1: a token), up to 64 characters.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(name: &str) -> Result<Self, &'static str> {
        let token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
            return Err("a cookie's name is 1 to 64 letters, digits, or any of !#$%&'*+-.^_`|~");
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The values that a request brings under this name.
    pub fn values<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> {
        let lines = headers.get_all(header::COOKIE).into_iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        pairs.filter_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(self.0.as_bytes())?;
            value.strip_prefix(b"=")
        })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{ClaimName, Claims, CookieName, KeySource};

    #[test]
    fn a_key_is_found_where_it_stands() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("u7"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        let claims = [("sub", "u7"), ("empty", "")].map(|(name, value)| (name.to_owned(), value.into()));
        let claims = Claims::verified(claims.into_iter().collect());
        let found = |source: &KeySource, client: Option<&str>| {
            source.find(&headers, (None, Some(&claims)), client.map(|it| it.parse().unwrap()), <[u8]>::to_vec)
        };
        let claim = |name: &str| KeySource::Claim(ClaimName::new(name).unwrap());
        assert_eq!(found(&claim("sub"), None).unwrap(), b"u7");
        assert_eq!(found(&claim("empty"), None), None);
        assert_eq!(found(&claim("other"), None), None);
        let header = |name: &'static str| KeySource::Header(http::HeaderName::from_static(name));
        assert_eq!(found(&header("x-user"), None).unwrap(), b"u7");
        assert_eq!(found(&header("x-empty"), None), None);
        assert_eq!(found(&header("x-other"), None), None);
        assert_eq!(found(&KeySource::Tenant, None), None);
        let mapped = found(&KeySource::Client, Some("::ffff:192.0.2.7"));
        assert_eq!(mapped, found(&KeySource::Client, Some("192.0.2.7")));
        assert!(mapped.is_some());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; arm=x"));
        headers.append(header::COOKIE, HeaderValue::from_static("arm=y;army=z"));
        let values: Vec<_> = CookieName::new("arm").unwrap().values(&headers).map(<[u8]>::to_vec).collect();
        assert_eq!(values, [b"x", b"y"]);
    }
}
