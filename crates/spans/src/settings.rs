//! The checked section, with what stands in files.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use sluicegate_core::{Authorities, secret_file};

use crate::{
    home::Faults,
    input::{OtlpInput, OtlpProtocol},
};

/// What holds for one collector.
#[derive(Clone, PartialEq)]
pub struct OtlpSettings {
    /// Its address, without a slash at the end.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// The authorities to trust; the system's where none are named.
    pub authorities: Option<Authorities>,
    /// Header fields of its own.
    pub headers: HeaderMap,
    /// What this gateway is called.
    pub service_name: String,
    /// The share of traces that is sampled, of those that begin here.
    pub sample: f64,
    /// Spans that may wait.
    pub queue: usize,
    /// How long sending a batch may take.
    pub timeout: Duration,
}

impl fmt::Debug for OtlpSettings {
    /// Without the header fields, which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSettings").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl OtlpSettings {
    /// Makes the settings and reads the files they name, whose paths `resolve` turns into ones to
    /// open. Blocking.
    pub fn read(input: &OtlpInput, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<Self, Faults> {
        let mut faults = input.faults();
        let files = ("headers_file", &input.headers_file);
        let headers = secret_file::merged(&input.headers, files, resolve).unwrap_or_else(|wrong| {
            faults.extend(wrong);
            input.headers.clone()
        });
        let mut fields = HeaderMap::new();
        for (name, value) in &headers {
            // What is no field is among the faults already.
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                value.set_sensitive(true);
                fields.insert(name, value);
            }
        }
        let read = input.ca.as_deref().map(|path| Authorities::read(&resolve(path))).transpose();
        let authorities = read.unwrap_or_else(|message| {
            faults.push(("ca".to_owned(), message));
            None
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            endpoint: input.endpoint.trim_end_matches('/').to_owned(),
            protocol: input.protocol,
            authorities,
            headers: fields,
            service_name: input.service_name.clone(),
            sample: input.sample,
            queue: usize::try_from(input.queue).unwrap_or(usize::MAX),
            timeout: input.timeout.0,
        })
    }
}
