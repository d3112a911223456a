//! Who a request is for.
//!
//! | stands in | the tenant is |
//! |---|---|
//! | a header | its value |
//! | a query parameter | its value, decoded |
//! | an API key in a header | `key-` and the first 128 bits of the key's SHA-256, in hexadecimal |
//! | a claim of a verified token | what the claim says |
//!
//! The tenant scopes freezes, buckets and idempotency keys, so a request that names two, or
//! one that cannot be read, is refused: a guard would go by one value and the service by
//! another. So is one whose claim is a list or an object: it says something, and no one name. No
//! value, or an empty one, is no tenant.
//!
//! An API key is a secret: what stands in metrics, logs and the store is its digest, which leads
//! back to nobody's key. In `authorization` the key is what follows the scheme.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use sha2::{Digest, Sha256};
use sluicegate_core::{ClaimName, Claims, Code, Refusal, Tenant, headers::hex};

/// Where a request names its tenant, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantFrom {
    /// In this header.
    Header(HeaderName),
    /// In this query parameter.
    Query(Box<str>),
    /// By the API key in this header.
    ApiKey(HeaderName),
    /// In this claim of its verified token.
    Claim(ClaimName),
}

impl TenantFrom {
    /// The tenant of a request with this target, these fields and these claims.
    pub(crate) fn find(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        claims: Option<&Claims>,
    ) -> Result<Option<Tenant>, Refusal> {
        match self {
            Self::Header(name) => match only(headers, name)? {
                Some(value) => readable(Tenant::from_header(value), name.as_str()),
                None => Ok(None),
            },
            Self::Query(name) => in_query(uri.query().unwrap_or_default(), name),
            Self::ApiKey(name) => Ok(only(headers, name)?.and_then(|value| by_key(name, value))),
            Self::Claim(name) => claims.map_or(Ok(None), |claims| in_claim(claims, name)),
        }
    }
}

/// The one value that is not empty; nothing where there is none.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        Err(twice(name.as_str()))
    } else {
        Ok(Some(value).filter(|it| !it.is_empty()))
    }
}

fn twice(name: &str) -> Refusal {
    Refusal::new(Code::BadRequest, format!("{name} is there more than once; send one value, for one tenant"))
}

fn readable(tenant: Option<Tenant>, name: &str) -> Result<Option<Tenant>, Refusal> {
    if tenant.is_some() {
        return Ok(tenant);
    }
    let detail = format!("{name} holds more than visible ASCII; send the tenant's plain name");
    Err(Refusal::new(Code::BadRequest, detail))
}

fn in_claim(claims: &Claims, name: &ClaimName) -> Result<Option<Tenant>, Refusal> {
    match claims.text(name) {
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => readable(Tenant::named(&text), name.as_str()),
        None if claims.said(name).is_none() => Ok(None),
        None => {
            let name = name.as_str();
            let detail = format!("{name} of the token is a list or an object; a tenant is one name");
            Err(Refusal::new(Code::BadRequest, detail))
        }
    }
}

/// Names are compared decoded, as the service will: `%74enant` is `tenant`.
fn in_query(query: &str, name: &str) -> Result<Option<Tenant>, Refusal> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(named, _)| named == name);
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(twice(name));
    }
    if value.is_empty() { Ok(None) } else { readable(Tenant::named(&value), name) }
}

/// Nobody where `authorization` has a scheme and nothing after it.
fn by_key(name: &HeaderName, value: &HeaderValue) -> Option<Tenant> {
    let bytes = value.as_bytes();
    let key = match bytes.iter().position(|byte| *byte == b' ') {
        Some(space) if *name == header::AUTHORIZATION => bytes[space..].trim_ascii(),
        _ => bytes,
    };
    if key.is_empty() {
        return None;
    }
    Tenant::named(&format!("key-{}", hex(&Sha256::digest(key)[..16])))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Uri};
    use sluicegate_core::{ClaimName, Claims, Code, Refusal, Tenant};

    use super::TenantFrom;

    fn named(found: Result<Option<Tenant>, Refusal>) -> Result<Option<String>, (Code, String)> {
        found
            .map(|found| found.map(|tenant| tenant.as_str().to_owned()))
            .map_err(|refusal| (refusal.code(), refusal.to_string()))
    }

    fn by_header(
        from: &TenantFrom,
        name: &'static str,
        values: &[&[u8]],
    ) -> Result<Option<String>, (Code, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        named(from.find(&Uri::from_static("/"), &headers, None))
    }

    #[test]
    fn one_readable_value_or_none() {
        let from = TenantFrom::Header(HeaderName::from_static("x-tenant-id"));
        let of = |values: &[&[u8]]| by_header(&from, "x-tenant-id", values);
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b""]), Ok(None));
        assert_eq!(of(&[b"acme"]), Ok(Some("acme".to_owned())));
        for (values, what) in [
            (&[b"acme".as_slice(), b"acme"][..], "more than once"),
            (&[b"acme", b"other"], "more than once"),
            (&[b"caf\xe9"], "visible ASCII"),
        ] {
            let (code, text) = of(values).unwrap_err();
            assert_eq!(code, Code::BadRequest);
            assert!(text.contains("x-tenant-id") && text.contains(what), "{text}");
        }
    }

    #[test]
    fn a_query_parameter_is_read_as_the_service_reads_it() {
        let from = TenantFrom::Query("tenant".into());
        let of = |uri: &str| named(from.find(&uri.parse().unwrap(), &HeaderMap::new(), None));
        for none in ["/", "/?", "/?tenant", "/?tenant=", "/?tenants=a", "/?Tenant=a", "/?a=tenant=b"] {
            assert_eq!(of(none), Ok(None), "{none}");
        }
        for one in ["/?tenant=acme", "/?a=1&tenant=acme&b", "/?%74enant=ac%6de"] {
            assert_eq!(of(one), Ok(Some("acme".to_owned())), "{one}");
        }
        for (wrong, what) in [
            ("/?tenant=a&tenant=a", "more than once"),
            ("/?tenant=a&%74enant=b", "more than once"),
            ("/?tenant=caf%C3%A9", "visible ASCII"),
            ("/?tenant=a%0d%0ab", "visible ASCII"),
        ] {
            let (code, text) = of(wrong).unwrap_err();
            assert!(code == Code::BadRequest && text.contains(what), "{wrong}: {text}");
        }
    }

    #[test]
    fn an_api_key_is_told_by_its_digest_alone() {
        let from = TenantFrom::ApiKey(HeaderName::from_static("x-api-key"));
        let of = |values: &[&[u8]]| by_header(&from, "x-api-key", values);
        // `printf %s secret | sha256sum | cut -c1-32`
        let secret = Ok(Some("key-2bb80d537b1da3e38bd30361aa855686".to_owned()));
        assert_eq!(of(&[b"secret"]), secret);
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b""]), Ok(None));
        assert_ne!(of(&[b"Secret"]), secret);
        assert!(of(&[b"secret", b"secret"]).is_err());
        let from = TenantFrom::ApiKey(HeaderName::from_static("authorization"));
        let of = |value: &[u8]| by_header(&from, "authorization", &[value]);
        assert_eq!(of(b"Bearer secret"), secret);
        assert_eq!(of(b"secret"), secret, "without a scheme it is the key itself");
        assert_eq!(of(b"Bearer \t"), Ok(None));
    }

    #[test]
    fn a_claim_is_the_tenant_of_whoever_was_verified() {
        let from = TenantFrom::Claim(ClaimName::new("org").unwrap());
        let of = |value: serde_json::Value| {
            let claims = Claims::verified([("org".to_owned(), value)].into_iter().collect());
            named(from.find(&Uri::from_static("/"), &HeaderMap::new(), Some(&claims)))
        };
        assert_eq!(of("acme".into()), Ok(Some("acme".to_owned())));
        assert_eq!(of(7.into()), Ok(Some("7".to_owned())));
        for none in [serde_json::Value::Null, "".into()] {
            assert_eq!(of(none), Ok(None));
        }
        for many in [serde_json::json!(["acme"]), serde_json::json!({ "id": "acme" })] {
            let (code, text) = of(many).unwrap_err();
            assert!(code == Code::BadRequest && text.contains("a tenant is one name"), "{text}");
        }
        assert_eq!(of("caf\u{e9}".into()).unwrap_err().0, Code::BadRequest);
        assert_eq!(named(from.find(&Uri::from_static("/"), &HeaderMap::new(), None)), Ok(None));
    }
}
