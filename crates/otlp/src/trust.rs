//! Whose certificates are believed.

use ureq::tls::{Certificate, PemItem, parse_pem};

/// The authorities in a PEM file, or the system's where there is none.
pub(crate) fn trusted(authorities: Option<&[u8]>) -> Result<Vec<Certificate<'static>>, String> {
    let Some(pem) = authorities else {
        let found = rustls_native_certs::load_native_certs().certs;
        if found.is_empty() {
            return Err("is needed: this system has no certificate authorities installed".to_owned());
        }
        return Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect());
    };
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| format!("is not PEM: {error}"))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err("holds no certificate; it must hold at least one CERTIFICATE block".to_owned());
    }
    Ok(found)
}
