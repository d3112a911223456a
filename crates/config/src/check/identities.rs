//! Who requests are for, and how their tokens are verified.

use http::Uri;

use super::Findings;
use crate::Document;

pub(super) fn check(document: &Document, found: &mut Findings) {
    if let Some(tenants) = &document.tenants
        && let Err((key, message)) = tenants.from.check()
    {
        found.fault(format!("tenants.from.{key}"), message);
    }
    let claims = document.claims();
    let Some(jwt) = &document.jwt else {
        for path in claims {
            let message =
                "no token is verified without `jwt` at the top level, which says by whose keys; add it";
            found.fault(path, message);
        }
        return;
    };
    if let Err(faults) = jwt.check() {
        for (path, message) in faults {
            found.fault(format!("jwt.{path}").trim_end_matches('.'), message);
        }
    }
    if claims.is_empty() {
        let message = "nothing goes by a claim, so no token is looked at: use one in `tenants.from`, `sticky`, `sample_by` or `scope`";
        found.warn("jwt", message);
    }
    if jwt.issuer.is_none() && jwt.audience.is_empty() {
        let message =
            "tokens for any service are taken, whoever they were issued to; say `issuer` or `audience`";
        found.warn("jwt", message);
    }
    if jwt.jwks_url.as_ref().is_some_and(|url| !is_private(url)) {
        let message = "it is fetched without TLS: whoever is on the way can replace the keys; use https";
        found.warn("jwt.jwks_url", message);
    }
}

/// Whether nobody can change on the way what is fetched there.
fn is_private(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return true };
    let host = url.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    url.scheme_str() != Some("http") || host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}
