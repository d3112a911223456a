//! Certificates of listeners.
//!
//! Loaded and checked whole before anything is changed; each error names the file and what to
//! do about it. The provider is named here, so that no other crate of the process can change
//! what TLS is made of. TLS 1.2 and later; HTTP/2 and HTTP/1.1 by ALPN; stateless tickets.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::TlsInput;

/// A checked certificate with the settings made from it.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
}

impl Certificate {
    /// Whether both speak with the same certificate, and so (as it was checked) the same key.
    /// Then the running one is kept, with its tickets.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

/// Why a certificate cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the certificate file {} cannot be read: {source}", .path.display())]
    ReadCert { path: PathBuf, source: io::Error },
    #[error("the key file {} cannot be read: {source}", .path.display())]
    ReadKey { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate: it must be PEM, with -----BEGIN CERTIFICATE----- before each", .0.display())]
    NoCert(PathBuf),
    #[error("{} is not valid PEM ({detail}): write the certificate again, whole", .path.display())]
    BadCert { path: PathBuf, detail: String },
    #[error("{} holds no private key: it must be PEM, with a line such as -----BEGIN PRIVATE KEY-----", .0.display())]
    NoKey(PathBuf),
    #[error("the key in {path} is encrypted: write it without a passphrase (`openssl pkey -in {path} -out plain.pem`)", path = .0.display())]
    EncryptedKey(PathBuf),
    #[error("the key in {} cannot be used ({detail}): it must be RSA (2048 bits or more), ECDSA (P-256, P-384) or Ed25519, as PKCS#8, PKCS#1 or SEC1", .path.display())]
    BadKey { path: PathBuf, detail: String },
    #[error("the certificate in {} does not belong to the key in {}: name the two files that were issued together", .cert.display(), .key.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("TLS cannot be set up: {0}")]
    Setup(Error),
}

impl TlsError {
    /// The member of `tls` that is wrong.
    pub(crate) fn member(&self) -> &'static str {
        match self {
            Self::ReadCert { .. } | Self::NoCert(_) | Self::BadCert { .. } | Self::Mismatch { .. } => "cert",
            Self::ReadKey { .. } | Self::NoKey(_) | Self::EncryptedKey(_) | Self::BadKey { .. } => "key",
            Self::Setup(_) => "",
        }
    }
}

/// Loads a certificate and its key; relative paths start at `base`. Blocks on the files.
pub(crate) fn load(input: &TlsInput, base: &Path) -> Result<Certificate, TlsError> {
    let (cert, key) = (base.join(&input.cert), base.join(&input.key));
    let chain = read_chain(&cert)?;
    let provider = Arc::new(ring::default_provider());
    let signer = provider
        .key_provider
        .load_private_key(read_key(&key)?)
        .map_err(|error| TlsError::BadKey { path: key.clone(), detail: error.to_string() })?;
    let certified = CertifiedKey::new(chain.clone(), signer);
    match certified.keys_match() {
        // A kind of key that cannot tell its public half is not an error.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(TlsError::Mismatch { cert, key }),
        Err(error) => return Err(TlsError::BadCert { path: cert, detail: error.to_string() }),
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(TlsError::Setup)?;
    Ok(Certificate { config: Arc::new(config), chain })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = std::fs::read(path).map_err(|source| TlsError::ReadCert { path: path.into(), source })?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::BadCert { path: path.into(), detail: error.to_string() })?;
    if chain.is_empty() { Err(TlsError::NoCert(path.into())) } else { Ok(chain) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = std::fs::read(path).map_err(|source| TlsError::ReadKey { path: path.into(), source })?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(21).any(|window| window == b"ENCRYPTED PRIVATE KEY") => {
            TlsError::EncryptedKey(path.into())
        }
        pem::Error::NoItemsFound => TlsError::NoKey(path.into()),
        error => TlsError::BadKey { path: path.into(), detail: error.to_string() },
    })
}

#[cfg(test)]
mod tests;
