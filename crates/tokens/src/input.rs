//! The `jwt:` section of the document: what is written there, and what it means.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderName, Uri, header, uri::Authority};
use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

use crate::{
    fetch::shown,
    files::{authorities_in, keys_in},
};

/// How the tokens of clients are verified: by exactly one of `jwks_file` and `jwks_url`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JwtInput {
    /// A file with the keys, a JSON Web Key Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Where the keys are fetched from, a JSON Web Key Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// A PEM file of the authorities to trust for `jwks_url`, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// From one fetch of the keys to the next.
    pub refresh: Span,
    /// Who must have issued a token (`iss`); without it anybody whose key is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Whom a token must be for (`aud`), any of these; without it anybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// By how much the clocks of issuer and gateway may differ.
    pub leeway: Span,
    /// What a token may be signed with.
    pub algorithms: Vec<AlgorithmInput>,
    /// The request header it stands in: after `Bearer`, in another one than authorization also alone.
    pub header: String,
    /// Whether a request without a token is refused; otherwise it is nobody's.
    pub required: bool,
}

impl Default for JwtInput {
    fn default() -> Self {
        use AlgorithmInput::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        Self {
            jwks_file: None,
            jwks_url: None,
            ca: None,
            refresh: Span::secs(300),
            issuer: None,
            audience: Vec::new(),
            leeway: Span::secs(60),
            algorithms: vec![RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA],
            header: header::AUTHORIZATION.as_str().to_owned(),
            required: false,
        }
    }
}

macro_rules! algorithms {
    ($($name:ident, $about:literal;)*) => {
        /// What a token may be signed with (RFC 7518 section 3.1, RFC 8037).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
        pub enum AlgorithmInput { $(#[doc = $about] $name,)* }

        impl From<AlgorithmInput> for Algorithm {
            fn from(input: AlgorithmInput) -> Self {
                match input { $(AlgorithmInput::$name => Self::$name,)* }
            }
        }
    };
}

algorithms! {
    RS256, "RSA, PKCS #1 v1.5, SHA-256.";
    RS384, "RSA, PKCS #1 v1.5, SHA-384.";
    RS512, "RSA, PKCS #1 v1.5, SHA-512.";
    PS256, "RSA, PSS, SHA-256.";
    PS384, "RSA, PSS, SHA-384.";
    PS512, "RSA, PSS, SHA-512.";
    ES256, "ECDSA on P-256.";
    ES384, "ECDSA on P-384.";
    EdDSA, "Ed25519.";
    HS256, "A shared secret, HMAC with SHA-256.";
    HS384, "A shared secret, HMAC with SHA-384.";
    HS512, "A shared secret, HMAC with SHA-512.";
}

impl AlgorithmInput {
    const fn is_shared(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// The checked section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// Where the keys come from.
    pub keys: KeysFrom,
    /// Who must have issued a token.
    pub issuer: Option<Box<str>>,
    /// Whom it must be for; empty leaves it open.
    pub audience: Box<[Box<str>]>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// What it may be signed with.
    pub algorithms: Box<[Algorithm]>,
    /// The request header it stands in.
    pub header: HeaderName,
    /// Whether there must be one.
    pub required: bool,
}

/// Where the keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// A file.
    File(PathBuf),
    /// A URL.
    Url {
        /// Where.
        url: Box<str>,
        /// The authorities that its certificate is checked by; none are the system's.
        ca: Option<PathBuf>,
        /// From one fetch to the next.
        refresh: Duration,
    },
}

/// Faster would be a flood.
const LEAST_REFRESH: Span = Span::secs(10);
const LONGEST_REFRESH: Span = Span::secs(24 * 3600);
/// More would let stolen tokens live on.
const MOST_LEEWAY: Span = Span::secs(600);

impl JwtInput {
    /// The settings, or everything that is wrong: pairs of a path inside the section and a message.
    pub fn check(&self) -> Result<JwtSettings, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let keys = self.keys_from(&mut faults);
        let mut fault = |path: &str, message: String| faults.push((path.to_owned(), message));
        if self.leeway > MOST_LEEWAY {
            fault(
                "leeway",
                format!(
                    "`{}` is more than {MOST_LEEWAY}; a stolen token would live on for as long",
                    self.leeway
                ),
            );
        }
        let shared = self.algorithms.iter().filter(|it| it.is_shared()).count();
        if self.algorithms.is_empty() {
            fault(
                "algorithms",
                "no token could be signed; name one such as RS256, or remove the key".to_owned(),
            );
        } else if shared > 0 && shared < self.algorithms.len() {
            let message = "mixes shared secrets (HS) with public keys, by which a public key could pass for a secret; keep one kind";
            fault("algorithms", message.to_owned());
        } else if shared > 0 && self.jwks_url.is_some() {
            let message = "a shared secret is not to be fetched from where others can read it; use `jwks_file`, or public keys";
            fault("algorithms", message.to_owned());
        }
        if self.issuer.as_ref().is_some_and(String::is_empty) {
            fault("issuer", "is empty; write what tokens have as `iss`, or remove the key".to_owned());
        }
        for (at, audience) in self.audience.iter().enumerate() {
            if audience.is_empty() {
                fault(&format!("audience[{at}]"), "is empty; write what tokens have as `aud`".to_owned());
            }
        }
        let header = HeaderName::try_from(&self.header).map_err(|_| {
            fault(
                "header",
                format!("`{}` is not the name of a header; write one such as authorization", self.header),
            );
        });
        match (keys, header) {
            (Some(keys), Ok(header)) if faults.is_empty() => Ok(JwtSettings {
                keys,
                issuer: self.issuer.as_deref().map(Into::into),
                audience: self.audience.iter().map(|audience| audience.as_str().into()).collect(),
                leeway: self.leeway.0,
                algorithms: self.algorithms.iter().map(|it| (*it).into()).collect(),
                header,
                required: self.required,
            }),
            _ => Err(faults),
        }
    }

    /// What is wrong with a file that it names: its key and a message. Blocking.
    pub fn file_fault(&self, resolve: &dyn Fn(&Path) -> PathBuf) -> Option<(String, String)> {
        let keys = self.jwks_file.as_ref().and_then(|path| keys_in(&resolve(path)).err());
        keys.or_else(|| self.ca.as_ref().and_then(|path| authorities_in(&resolve(path)).err()))
    }

    /// Replaces what must not be shown: a provider may ask for a credential in the query.
    pub fn redact(&mut self) {
        if let Some(url) = &mut self.jwks_url {
            *url = shown(url);
        }
    }

    fn keys_from(&self, faults: &mut Vec<(String, String)>) -> Option<KeysFrom> {
        let mut fault = |path: &str, message: &str| faults.push((path.to_owned(), message.to_owned()));
        match (&self.jwks_file, &self.jwks_url) {
            (Some(_), Some(_)) => fault("jwks_url", "there is `jwks_file` as well; keep one of the two"),
            (None, None) => fault("", "says not where the keys are; add `jwks_url` or `jwks_file`"),
            (Some(file), None) => {
                if self.ca.is_some() {
                    fault("ca", "nothing is fetched where the keys are in a file; remove it");
                }
                return Some(KeysFrom::File(file.clone()));
            }
            (None, Some(url)) => {
                let parsed = url.parse::<Uri>().ok();
                let scheme = parsed.as_ref().and_then(Uri::scheme_str);
                let host = parsed.as_ref().and_then(Uri::host).unwrap_or_default();
                let authority = parsed.as_ref().and_then(Uri::authority).map_or("", Authority::as_str);
                if !matches!(scheme, Some("http" | "https")) || host.is_empty() {
                    fault(
                        "jwks_url",
                        "is not a URL to fetch; write one such as https://id.example.org/jwks.json",
                    );
                } else if authority.contains('@') {
                    fault(
                        "jwks_url",
                        "carries a user and a password, which are not sent; fetch the keys into a file and \
                         name it in `jwks_file`",
                    );
                } else if !(LEAST_REFRESH..=LONGEST_REFRESH).contains(&self.refresh) {
                    let message =
                        format!("`{}` is not from {LEAST_REFRESH} to {LONGEST_REFRESH}", self.refresh);
                    fault("refresh", &message);
                } else {
                    let (url, ca) = (url.as_str().into(), self.ca.clone());
                    return Some(KeysFrom::Url { url, ca, refresh: self.refresh.0 });
                }
            }
        }
        None
    }
}
