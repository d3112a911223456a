//! Which line an intent stands in.
//!
//! Writes of one line are applied in the order in which they came. Tenants never share a
//! line: what one of them orders by must not hold up another.

use std::fmt::Write;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::{input::OrderBy, kept};

/// What separates the parts of a line's name; no header's value and no tenant holds it.
const SEPARATOR: char = '\u{1f}';

/// Order keys longer than this are known by their digest: a line's name is kept with each
/// entry, and in the index of lines.
const LONGEST: usize = 128;

/// A write's place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line's name in the store.
    pub(crate) name: Box<str>,
    /// What orders it, as clients see it.
    pub(crate) order_key: Box<str>,
}

/// The line of a write.
pub(crate) fn of(order_by: &OrderBy, route: &str, tenant: Option<&str>, headers: &HeaderMap) -> Line {
    let value = match order_by {
        OrderBy::Header(name) => kept::text(headers, name).filter(|value| !value.is_empty()),
        OrderBy::Tenant => Some(tenant.unwrap_or_default().to_owned()),
        OrderBy::Route => None,
    };
    let (kind, order_key) = match value {
        Some(value) => ('k', if value.len() > LONGEST { digest(&value) } else { value }),
        None => ('r', route.to_owned()),
    };
    let tenant = tenant.unwrap_or_default();
    let name = format!("{kind}{SEPARATOR}{tenant}{SEPARATOR}{order_key}").into();
    Line { name, order_key: order_key.into() }
}

fn digest(text: &str) -> String {
    let mut name = "sha256:".to_owned();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Line, OrderBy, of};

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-doc", HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn by_header(tenant: Option<&str>, values: &[&str]) -> Line {
        of(&OrderBy::Header(HeaderName::from_static("x-doc")), "ingest", tenant, &headers(values))
    }

    #[test]
    fn a_header_orders_across_routes_and_never_across_tenants() {
        assert_eq!(&*by_header(None, &["7"]).order_key, "7");
        assert_ne!(by_header(Some("a"), &["7"]).name, by_header(Some("b"), &["7"]).name);
        assert_ne!(by_header(None, &["7"]).name, by_header(None, &["8"]).name);
        let by = OrderBy::Header(HeaderName::from_static("x-doc"));
        assert_eq!(of(&by, "one", None, &headers(&["7"])), of(&by, "two", None, &headers(&["7"])));
    }

    #[test]
    fn without_the_header_a_write_is_ordered_by_route_and_tenant() {
        for values in [&[][..], &[""]] {
            assert_eq!(
                by_header(Some("a"), values),
                of(&OrderBy::Route, "ingest", Some("a"), &HeaderMap::new())
            );
        }
        assert_ne!(by_header(None, &["ingest"]).name, by_header(None, &[]).name, "a value is not a route");
        assert_ne!(by_header(Some("a"), &[]).name, by_header(Some("b"), &[]).name);
    }

    #[test]
    fn a_tenant_is_one_line_over_all_routes() {
        let none = HeaderMap::new();
        let a = of(&OrderBy::Tenant, "one", Some("a"), &none);
        assert_eq!(a, of(&OrderBy::Tenant, "two", Some("a"), &none));
        assert_ne!(a.name, of(&OrderBy::Tenant, "one", Some("b"), &none).name);
    }

    #[test]
    fn long_keys_are_known_by_their_digest() {
        let (long, other) = ("x".repeat(4000), "x".repeat(4001));
        let line = by_header(None, &[&long]);
        assert!(line.name.len() < 100 && line.order_key.starts_with("sha256:"));
        assert_ne!(line, by_header(None, &[&other]));
    }
}
