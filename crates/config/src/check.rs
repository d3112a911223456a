//! What the types alone cannot say: values that must fit together.
//!
//! Every check gets the typed document and tells its findings by path; where a path stands
//! in the text is looked up once, at the end. All findings are told, in the order of the text.

mod admin;
mod edge;
mod guards;
mod identities;
mod limits;
mod presets;
mod rollouts;
mod routes;
mod shadows;
mod upstreams;
mod values;

use std::{net::SocketAddr, sync::Arc};

use sluicegate_spans::OtlpInput;

use crate::{
    Document,
    suggest::nearest,
    yaml::{Fault, Node, shortened},
};

/// So many findings are told; who has more has made one mistake many times.
const MOST_FINDINGS: usize = 100;

/// What was found in a document.
#[derive(Default)]
pub(crate) struct Findings {
    /// What makes it unusable.
    pub(crate) faults: Vec<Finding>,
    /// What is probably not meant.
    pub(crate) warnings: Vec<Finding>,
}

/// One finding, by its path.
pub(crate) struct Finding {
    path: String,
    message: String,
    /// Whether the key is meant rather than its value.
    on_key: bool,
}

impl Findings {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Finding { path: path.into(), message: message.into(), on_key: false });
    }

    fn fault_at_key(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Finding { path: path.into(), message: message.into(), on_key: true });
    }

    fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Finding { path: path.into(), message: message.into(), on_key: false });
    }
}

/// Everything wrong with a document whose shape is right.
pub(crate) fn check(document: &Document) -> Findings {
    let mut found = Findings::default();
    listeners(document, &mut found);
    upstreams::check(document, &mut found);
    routes::check(document, &mut found);
    presets::check(document, &mut found);
    edge::check(document, &mut found);
    identities::check(document, &mut found);
    rollouts::check(document, &mut found);
    shadows::check(document, &mut found);
    freeze(document, &mut found);
    values::check(document, &mut found);
    limits::check(document, &mut found);
    guards::check(document, &mut found);
    telemetry(document, &mut found);
    found
}

/// Gives findings their places in the text, and its order.
pub(crate) fn placed(findings: Vec<Finding>, tree: &Arc<Node>) -> Vec<Fault> {
    let mut faults: Vec<_> = findings
        .into_iter()
        .map(|Finding { path, message, on_key }| {
            let mark = tree.locate(&path);
            Fault { pos: if on_key { mark.key } else { mark.value }, path, message }
        })
        .collect();
    faults.sort_by(|a, b| (a.pos, &a.path).cmp(&(b.pos, &b.path)));
    faults.truncate(MOST_FINDINGS);
    faults
}

fn listeners(document: &Document, found: &mut Findings) {
    if document.listen.is_empty() {
        found.fault("listen", "at least one address is needed, such as `- address: 127.0.0.1:8080`");
    }
    for (at, listen) in document.listen.iter().enumerate() {
        let path = format!("listen[{at}].address");
        let address = &listen.address;
        if let Some(name) = address.strip_prefix("systemd:") {
            if name.is_empty() {
                found.fault(&path, "`systemd:` needs the name of a socket, such as systemd:web");
            }
        } else if address.parse::<SocketAddr>().is_err() {
            let message = format!(
                "`{}` is not an address; write IP:PORT, such as 127.0.0.1:8080 or [::]:8443, or systemd:NAME",
                shortened(address)
            );
            found.fault(&path, message);
        }
        let any_port = address.ends_with(":0");
        if let Some(first) =
            document.listen[..at].iter().position(|other| other.address == *address && !any_port)
        {
            found.fault(&path, format!("`{}` is already listen[{first}]; remove one", shortened(address)));
        }
    }
    let admin = &document.admin;
    admin::check(document, found);
    if !admin.address.ip().is_loopback() && admin.token_files().is_empty() {
        let message = format!(
            "`{}` is not loopback, so the admin API needs a token; set admin.token_file, or listen on 127.0.0.1",
            admin.address
        );
        found.fault("admin.address", message);
    }
    let taken = |listen: &str| admin.address.port() != 0 && listen.parse() == Ok(admin.address);
    if let Some(at) = document.listen.iter().position(|listen| taken(&listen.address)) {
        found.fault(
            "admin.address",
            format!("`{}` is already listen[{at}]; choose another port", admin.address),
        );
    }
}

fn freeze(document: &Document, found: &mut Findings) {
    if let Err(faults) = document.freeze.check() {
        for (path, message) in faults {
            found.fault(format!("freeze.{path}"), message);
        }
    }
    let routes: Vec<&str> = document.routes.iter().map(|route| route.name.as_str()).collect();
    let upstreams: Vec<&str> = document.upstreams.keys().map(String::as_str).collect();
    for (path, scope) in document.freeze.scopes() {
        let kinds = [
            ("routes", "route", &scope.routes, &routes),
            ("upstreams", "upstream", &scope.upstreams, &upstreams),
        ];
        for (key, kind, named, known) in kinds {
            for (at, name) in named.iter().flatten().enumerate() {
                if !known.contains(&name.as_str()) {
                    let path = format!("freeze.{path}.{key}[{at}]");
                    found.fault(path, unknown(kind, name, known));
                }
            }
        }
        if let Some(tenants) = scope.tenants.as_ref().filter(|_| document.tenants.is_none()) {
            let message = format!(
                "{} covers nothing: requests have no tenant unless `tenants.from` says where it stands",
                shortened(&tenants.join(", "))
            );
            found.warn(format!("freeze.{path}.tenants"), message);
        }
    }
}

fn telemetry(document: &Document, found: &mut Findings) {
    for (path, message) in document.telemetry.otlp.iter().flat_map(OtlpInput::faults) {
        found.fault(format!("telemetry.otlp.{path}"), message);
    }
}

/// ``there is no route `x`; did you mean `y`?``
fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let name_shown = shortened(name);
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("there is no {kind} `{name_shown}`; did you mean `{near}`?"),
        None if known.is_empty() => format!("there is no {kind} `{name_shown}`; there are none at all"),
        None => format!("there is no {kind} `{name_shown}`; the {kind}s are {}", known.join(", ")),
    }
}

/// What is wrong with a name that stands in metrics, logs and URLs.
fn name_fault(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let good = (1..=64).contains(&name.len()) && name.bytes().all(fits);
    (!good).then(|| format!("`{}` is not a name; use 1 to 64 letters, digits and _.-", shortened(name)))
}
