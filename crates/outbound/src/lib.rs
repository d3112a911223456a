//! The HTTP calls that the gateway makes of its own accord: for keys, to receivers of webhooks and to
//! collectors of spans.
//!
//! They go where the document says and nowhere else. A redirect is an answer like any other and is
//! not followed: it could lead to where the answer can be changed on the way, or into a network that
//! only the gateway reaches. No proxy is taken from the environment. Over TLS a server must be
//! vouched for by the authorities that the document names for it, or by the system's.
//!
//! The calls block: they belong on a thread that may.

use std::time::Duration;

use sluicegate_core::Authorities;
use ureq::{
    Agent,
    config::ConfigBuilder,
    tls::{Certificate, RootCerts, TlsConfig},
    typestate::AgentScope,
};

/// What makes a client for `url`, whose calls take at most `timeout` each. Answers of any status are
/// answers. `authorities` are those to trust in place of the system's, which are read where they are
/// needed. Blocking.
pub fn client(
    url: &str,
    authorities: Option<&Authorities>,
    timeout: Duration,
) -> Result<ConfigBuilder<AgentScope>, String> {
    let mut tls = TlsConfig::builder();
    if is_encrypted(url) {
        let trusted = authorities.map_or_else(Authorities::of_system, |named| Ok(named.clone()))?;
        let own = |der| Certificate::from_der(der).to_owned();
        let trusted: Vec<_> = trusted.certificates().iter().map(|der| own(der)).collect();
        tls = tls.root_certs(RootCerts::new_with_certs(&trusted));
    }
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(timeout))
        .tls_config(tls.build()))
}

/// Whether what is sent to this address goes over TLS. Schemes are written in any case.
#[must_use]
pub fn is_encrypted(url: &str) -> bool {
    url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}
