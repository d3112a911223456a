//! The edge basics: which requests a route takes, what is changed of what passes, who a request is
//! for, and how the upstream is reached.
//!
//! | file | holds |
//! |---|---|
//! | `routes` | routes by host and header field; prefixes taken off; fields set and removed |
//! | `tenants` | tenants by query, API key and claim; tokens that hold and that do not |
//! | `keys` | keys of tokens from a URL: fetched, kept, rotated |
//! | `secrets` | values from the environment, and that they are shown nowhere |
//! | `towards` | client certificates, sessions, names, encoded answers |
//! | `proxied` | the PROXY protocol on a listener |
//! | `issuer` | who signs tokens |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod issuer;
mod keys;
mod proxied;
mod routes;
mod secrets;
mod tenants;
mod towards;

/// A document with one plain listener, these upstreams and routes (the items of a list), and
/// whatever else in lines of its own.
fn document(upstreams: &str, routes: &str, extra: &str) -> String {
    format!(
        r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ {upstreams} }}
routes:
{routes}
{extra}
"#
    )
}

/// The upstream `main` at this URL.
fn main_at(url: &str) -> String {
    format!("main: {{ endpoints: [\"{url}\"] }}")
}
