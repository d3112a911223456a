//! Whose word is taken for who a server is.
//!
//! Upstreams, receivers of webhooks, providers of keys and collectors of spans may each have a `ca`:
//! a PEM file of the authorities to trust there, and no others. Without one those of the system are
//! trusted. A file must hold at least one certificate, and only such as can be used; of the system's,
//! those that cannot be used are left out, since nobody here can mend them.

use std::{fmt, fs, path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use webpki::anchor_from_trusted_cert;

/// Certificates of authorities, at least one; clones share them.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

impl Authorities {
    /// Those in a PEM file, or what is wrong with it. Blocking.
    pub fn read(file: &Path) -> Result<Self, String> {
        let wrong = |what: String| format!("{} {what}", file.display());
        let text = fs::read(file).map_err(|error| {
            wrong(format!("cannot be read: {error}; give a PEM file of the authorities to trust"))
        })?;
        let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(format!("is not PEM: {error:?}; it must hold CERTIFICATE blocks")))?;
        if found.is_empty() {
            return Err(wrong(
                "holds no certificate; it must hold at least one CERTIFICATE block".to_owned(),
            ));
        }
        for certificate in &found {
            anchor_from_trusted_cert(certificate)
                .map_err(|error| wrong(format!("holds a certificate that cannot be used: {error}")))?;
        }
        Ok(Self(found.into()))
    }

    /// The system's, or that it has none. Blocking.
    pub fn of_system() -> Result<Self, String> {
        let mut found = rustls_native_certs::load_native_certs().certs;
        found.retain(|certificate| anchor_from_trusted_cert(certificate).is_ok());
        if found.is_empty() {
            return Err("is needed: this system has no certificate authorities installed; install them or \
                        name a PEM file here"
                .to_owned());
        }
        Ok(Self(found.into()))
    }

    /// Those in a file if there is one, else the system's. Blocking.
    pub fn of(file: Option<&Path>) -> Result<Self, String> {
        file.map_or_else(Self::of_system, Self::read)
    }

    /// Their certificates.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    /// What of them certificates are checked by.
    pub fn anchors(&self) -> impl Iterator<Item = TrustAnchor<'static>> {
        self.0.iter().filter_map(|certificate| Some(anchor_from_trusted_cert(certificate).ok()?.to_owned()))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("certificates", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::Authorities;

    fn pem() -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_file_holds_those_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let (file, two) = (folder.path().join("ca.pem"), format!("one:\n{}{}", pem(), pem()));
        fs::write(&file, two).unwrap();
        let read = Authorities::read(&file).unwrap();
        assert_eq!((read.certificates().len(), read.anchors().count()), (2, 2));
        assert_eq!(Authorities::of(Some(&file)).unwrap(), read);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let unusable = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let unended = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        for (text, expected) in [
            (None, "cannot be read: "),
            (Some(""), "holds no certificate; it must hold at least one CERTIFICATE block"),
            (Some(unended), "is not PEM: "),
            (Some(unusable), "holds a certificate that cannot be used: "),
        ] {
            if let Some(text) = text {
                fs::write(&file, text).unwrap();
            }
            let told = Authorities::read(&file).unwrap_err();
            assert!(told.starts_with(&format!("{} {expected}", file.display())), "{told}");
        }
    }
}
