//! What several guards ask of header fields, and how bytes stand in them.

use std::fmt::Write;

use http::HeaderMap;

/// Header fields that prove who somebody is: never kept, and never copied.
pub const CREDENTIALS: [&str; 7] =
    ["api-key", "authorization", "cookie", "cookie2", "proxy-authorization", "x-api-key", "x-auth-token"];

/// Whether a browser that sent this will send a `Secure` cookie again: the ingress, or whatever
/// stands in front of a service without one, says so in `X-Forwarded-Proto`.
#[must_use]
pub fn came_over_tls(headers: &HeaderMap) -> bool {
    let told = headers.get("x-forwarded-proto").map(http::HeaderValue::as_bytes);
    let nearest_the_client = told.and_then(|told| told.split(|byte| *byte == b',').next());
    nearest_the_client.is_some_and(|proto| proto.trim_ascii().eq_ignore_ascii_case(b"https"))
}

/// Two hexadecimal digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{came_over_tls, hex};

    #[test]
    fn the_protocol_nearest_the_client_counts() {
        let over = |told: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-proto", HeaderValue::from_static(told));
            came_over_tls(&headers)
        };
        assert!(over("https") && over(" HTTPS , http") && !over("http, https") && !over(""));
        assert!(!came_over_tls(&HeaderMap::new()));
    }

    #[test]
    fn a_byte_is_two_digits() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
