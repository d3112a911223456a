//! Who a request competes with.
//!
//! The route's own word holds, whatever the request says; where the route says nothing, the
//! header that is configured for it does. A value that is no lane is refused rather than
//! guessed: a job whose header has a slip would otherwise compete with people, unseen.

use http::{HeaderMap, HeaderName, HeaderValue};
use sluicegate_core::{Code, Lane, Refusal};

/// The lane of a request.
pub(crate) fn lane(
    route: Option<Lane>,
    header: Option<&HeaderName>,
    headers: &HeaderMap,
) -> Result<Lane, Refusal> {
    let (None, Some(header)) = (route, header) else { return Ok(route.unwrap_or_default()) };
    let mut values = headers.get_all(header).iter();
    match (values.next().map(HeaderValue::as_bytes), values.next()) {
        (None | Some(b"" | b"interactive"), None) => Ok(Lane::Interactive),
        (Some(b"batch"), None) => Ok(Lane::Batch),
        _ => {
            let detail = format!("{header} names no lane; send interactive or batch, once");
            Err(Refusal::new(Code::BadRequest, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use sluicegate_core::Lane;

    use super::lane;

    #[test]
    fn the_routes_word_holds_then_the_headers() {
        let name = HeaderName::from_static("x-lane");
        let of = |route, header, values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, HeaderValue::from_static(value));
            }
            lane(route, header, &headers).map_err(|refusal| refusal.to_string())
        };
        let asked = Some(&name);
        assert_eq!(of(None, None, &["batch"]), Ok(Lane::Interactive));
        assert_eq!(of(None, asked, &[]), Ok(Lane::Interactive));
        assert_eq!(of(None, asked, &["interactive"]), Ok(Lane::Interactive));
        assert_eq!(of(None, asked, &["batch"]), Ok(Lane::Batch));
        assert_eq!(of(Some(Lane::Batch), asked, &["interactive"]), Ok(Lane::Batch));
        assert_eq!(of(Some(Lane::Interactive), asked, &["nonsense"]), Ok(Lane::Interactive));
        for wrong in [&["Batch"][..], &["bulk"], &["batch", "batch"]] {
            assert!(of(None, asked, wrong).unwrap_err().contains("x-lane names no lane"), "{wrong:?}");
        }
    }
}
