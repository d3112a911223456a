//! A receiver's checked settings, and what is read from files for them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::HeaderMap;
use sluicegate_core::{Authorities, secret_file};
use sluicegate_outbound as outbound;
use ureq::Agent;

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
                let wrong = |message| ("secret_file", message);
                let text = secret_file::read(&path).map_err(wrong)?;
                let unusable = |message| wrong(format!("{} {message}", path.display()));
                Secret::read_lines(&text).map_err(unusable)?
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

/// A client that keeps no connection: from one event to the next is a long time.
fn agent(input: &WebhookInput, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<Agent, (&'static str, String)> {
    let wrong = |message| ("ca", message);
    let named =
        input.ca.as_deref().map(|path| Authorities::read(&resolve(path))).transpose().map_err(wrong)?;
    let client = outbound::client(&input.url, named.as_ref(), input.timeout.0).map_err(wrong)?;
    Ok(client.max_idle_connections(0).build().into())
}
