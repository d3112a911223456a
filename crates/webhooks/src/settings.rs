//! A receiver's checked settings, and what is read from files for them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::HeaderMap;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    input::{WebhookEvent, WebhookInput, shown},
    sign::Secret,
};

/// What holds for one receiver.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    pub(crate) name: String,
    pub(crate) url: String,
    /// The URL as it may be shown.
    pub(crate) shown: String,
    pub(crate) events: Vec<WebhookEvent>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) headers: HeaderMap,
    pub(crate) agent: Agent,
    pub(crate) timeout: Duration,
    pub(crate) tries: u32,
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
}

impl WebhookSettings {
    /// Makes the settings of a section that has no faults; reads the files it names, whose paths
    /// `resolve` turns into ones to open. What is wrong is told by path and message.
    pub fn read(
        all: &[WebhookInput],
        resolve: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Vec<Arc<Self>>, Vec<(String, String)>> {
        let mut faults = WebhookInput::faults(all);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut settings = Vec::with_capacity(all.len());
        for (at, input) in all.iter().enumerate() {
            match Self::of(input, resolve) {
                Ok(made) => settings.push(Arc::new(made)),
                Err((key, message)) => faults.push((format!("[{at}].{key}"), message)),
            }
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }

    fn of(input: &WebhookInput, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<Self, (&'static str, String)> {
        let secrets = match (&input.secret, &input.secret_file) {
            (Some(secret), _) => vec![Secret::read(secret).map_err(|message| ("secret", message))?],
            (None, Some(path)) => {
                let path = resolve(path);
                let wrong = |message: String| ("secret_file", format!("{} {message}", path.display()));
                let text = fs::read_to_string(&path).map_err(|error| {
                    wrong(format!(
                        "cannot be read: {error}; write the secret into it, readable for this user only"
                    ))
                })?;
                Secret::read_lines(&text).map_err(wrong)?
            }
            (None, None) => Vec::new(),
        };
        let headers =
            input.headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
        Ok(Self {
            name: input.name.clone(),
            url: input.url.clone(),
            shown: shown(&input.url),
            events: input.events.clone(),
            secrets,
            headers: headers.collect(),
            agent: agent(input, resolve)?,
            timeout: input.timeout.0,
            tries: input.tries,
            base: input.base.0,
            cap: input.cap.0,
        })
    }
}

/// A client that trusts whom it should, follows nobody elsewhere, and keeps no connection.
fn agent(input: &WebhookInput, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<Agent, (&'static str, String)> {
    let mut tls = TlsConfig::builder();
    if input.url.starts_with("https:") {
        tls = tls.root_certs(RootCerts::new_with_certs(&authorities(
            input.ca.as_deref().map(resolve).as_deref(),
        )?));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_idle_connections(0)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(input.timeout.0))
        .tls_config(tls.build());
    Ok(config.build().into())
}

fn authorities(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, (&'static str, String)> {
    let own = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
    let Some(path) = file else {
        let found: Vec<_> = rustls_native_certs::load_native_certs().certs.iter().map(own).collect();
        if found.is_empty() {
            let message =
                "this system has no certificate authorities installed; install them or name a PEM file here";
            return Err(("ca", message.to_owned()));
        }
        return Ok(found);
    };
    let wrong = |message: String| ("ca", format!("{} {message}", path.display()));
    let text = fs::read(path).map_err(|error| {
        wrong(format!("cannot be read: {error}; give a PEM file of the authorities to trust"))
    })?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .map(|certificate| certificate.map(|der| own(&der)))
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("is not PEM: {error:?}; it must hold CERTIFICATE blocks")))?;
    if found.is_empty() {
        return Err(wrong("holds no certificate; it must hold at least one CERTIFICATE block".to_owned()));
    }
    Ok(found)
}
