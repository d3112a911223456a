//! TLS towards an upstream: who it must prove to be, and which protocols are offered.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use sluicegate_core::Authorities;

use crate::{
    input::{ClientTlsInput, Protocol},
    settings::SettingsError,
};

/// How to reach one endpoint over TLS.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// Builds the client side. `resolve` turns a path of the document into one to open.
pub(crate) fn client(
    host: &str,
    input: Option<&ClientTlsInput>,
    protocol: Protocol,
    resolve: &dyn Fn(&Path) -> std::path::PathBuf,
) -> Result<ClientTls, SettingsError> {
    let wanted = input.and_then(|tls| tls.server_name.as_deref()).unwrap_or(host);
    let bare = wanted.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|_| {
        SettingsError::at(
            "tls.server_name",
            format!("`{wanted}` is neither a DNS name nor an IP address; set tls.server_name to the name in the certificate"),
        )
    })?;
    let ca = input.and_then(|tls| tls.ca.as_deref()).map(resolve);
    let authorities =
        Authorities::of(ca.as_deref()).map_err(|message| SettingsError::at("tls.ca", message))?;
    let roots = RootCertStore { roots: authorities.anchors().collect() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::at("tls", format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots);
    let mut config = match input.map(|tls| (tls.cert.as_deref(), tls.key.as_deref())) {
        Some((Some(cert), Some(key))) => {
            let (cert, key) = (resolve(cert), resolve(key));
            let (chain, private) = (read_chain(&cert)?, read_key(&key)?);
            config.with_client_auth_cert(chain, private).map_err(|error| {
                let (cert, key) = (cert.display(), key.display());
                let message = format!("{cert} and {key} cannot be used together: {error}; name the two files that were issued together");
                SettingsError::at("tls.cert", message)
            })?
        }
        Some((Some(_), None)) => {
            return Err(SettingsError::at("tls.cert", "its key is missing; name it in tls.key".to_owned()));
        }
        Some((None, Some(_))) => {
            return Err(SettingsError::at(
                "tls.key",
                "its certificate is missing; name it in tls.cert".to_owned(),
            ));
        }
        _ => config.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(ClientTls { config: Arc::new(config), name })
}

/// The gateway's own certificate and its intermediates.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let (wrong, shown) = (|what: String| SettingsError::at("tls.cert", what), path.display());
    let text = std::fs::read(path).map_err(|error| {
        wrong(format!(
            "cannot read {shown}: {error}; give a PEM file of the certificate and its intermediates"
        ))
    })?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("{shown} is not PEM: {error:?}; it must hold CERTIFICATE blocks")))?;
    if chain.is_empty() {
        return Err(wrong(format!(
            "{shown} holds no certificate; it must hold at least one CERTIFICATE block"
        )));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let (wrong, shown) = (|what: String| SettingsError::at("tls.key", what), path.display());
    let text = std::fs::read(path).map_err(|error| {
        wrong(format!("cannot read {shown}: {error}; give a PEM file of the private key"))
    })?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        wrong(format!(
            "{shown} holds no private key that can be used ({error:?}); it must be PEM, and without a passphrase"
        ))
    })
}
