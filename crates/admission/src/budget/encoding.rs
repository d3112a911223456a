//! `Accept-Encoding` of a request whose answer will be read.

use http::{HeaderMap, HeaderValue, header};

/// Asks for an answer that is not encoded, whatever the client would take: the usage in an
/// encoded one could not be read without decoding, and a removed chunk not be removed
/// without encoding again. `identity` is what every client takes that does not forbid it in
/// so many words (RFC 9110 section 12.5.3); one that does is answered all the same by nearly
/// every server, and an answer that comes encoded is settled by estimate.
pub fn limit_accept_encoding(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Whether an answer can be read as it is.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{is_plain, limit_accept_encoding};

    #[test]
    fn one_encoding_is_asked_for() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("zstd"));
        limit_accept_encoding(&mut headers);
        assert_eq!(headers.get_all(header::ACCEPT_ENCODING).iter().collect::<Vec<_>>(), ["identity"]);
    }

    #[test]
    fn an_encoded_answer_is_told_by_its_head() {
        let mut headers = HeaderMap::new();
        assert!(is_plain(&headers));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("Identity"));
        assert!(is_plain(&headers));
        headers.append(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_plain(&headers));
    }
}
