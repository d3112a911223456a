//! Who a request is for.
//!
//! The tenant scopes freezes, buckets and idempotency keys, so a request that names two, or
//! one that cannot be read, is refused: a guard would go by one value and the service by
//! another. No value, or an empty one, is no tenant.

use http::{HeaderMap, HeaderName};
use sluicegate_core::{Code, Refusal, Tenant};

/// The tenant that `header` names.
pub(crate) fn tenant(headers: &HeaderMap, header: &HeaderName) -> Result<Option<Tenant>, Refusal> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let detail = format!("{header} is there more than once; send one value, for one tenant");
        return Err(Refusal::new(Code::BadRequest, detail));
    }
    match Tenant::from_header(value) {
        None if !value.is_empty() => {
            let detail = format!("{header} holds more than visible ASCII; send the tenant's plain name");
            Err(Refusal::new(Code::BadRequest, detail))
        }
        tenant => Ok(tenant),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use sluicegate_core::Code;

    use super::tenant;

    #[test]
    fn one_readable_value_or_none() {
        let name = HeaderName::from_static("x-tenant-id");
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, HeaderValue::from_bytes(value).unwrap());
            }
            tenant(&headers, &name)
                .map(|found| found.map(|tenant| tenant.as_str().to_owned()))
                .map_err(|refusal| (refusal.code(), refusal.to_string()))
        };
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
}
