//! A set of keys that tokens are verified with.
//!
//! What a key may verify is told by its kind, and by its `alg`, `use` and `key_ops` where it has them.
//! Keys that this gateway cannot use (for encryption, of other kinds, too short to be safe: RSA below
//! 2048 bits, a shared secret shorter than its digest) are left out and do not spoil the rest. Tokens that were verified are remembered with the keys they were verified
//! with: other keys know nothing of them.

use std::str::FromStr;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use crate::remembered::{Remembered, nothing};

/// No provider publishes as many; each may be tried for a token that names none.
const MOST: usize = 64;

/// RSA keys below 2048 bits are not safe, and `ring` takes none.
const LEAST_RSA: usize = 256;

/// The keys in use.
#[derive(Debug)]
pub(crate) struct Keys {
    all: Vec<Key>,
    pub(crate) remembered: Remembered,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<Box<str>>,
    fits: Vec<Algorithm>,
    pub(crate) decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a JSON Web Key Set (RFC 7517 section 5); or why it is none that can be used.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let set: Set = serde_json::from_str(text)
            // Where alone: what the parser says may quote what stands there.
            .map_err(|error| {
                let (line, column) = (error.line(), error.column());
                format!(
                    "it is no JSON Web Key Set, an object with a list `keys` (line {line}, column {column})"
                )
            })?;
        if set.keys.len() > MOST {
            return Err(format!("it has {} keys; {MOST} is the most", set.keys.len()));
        }
        let all: Vec<Key> = set.keys.into_iter().filter_map(usable).collect();
        if all.is_empty() {
            return Err("it has no key that signatures can be verified with (RSA from 2048 bits, P-256, P-384, Ed25519, or oct from 256 bits)".to_owned());
        }
        Ok(Self { all, remembered: nothing() })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The keys that may have made a signature of this kind: those of that id, or where the token
    /// names none all of the kind.
    pub(crate) fn candidates<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let named = move |key: &&Key| id.is_none() || key.id.as_deref() == id;
        self.all.iter().filter(named).filter(move |key| key.fits.contains(&algorithm))
    }
}

fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
        || common.key_operations.as_ref().is_some_and(|for_what| !for_what.contains(&KeyOperations::Verify))
    {
        return None;
    }
    let mut fits = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        AlgorithmParameters::OctetKey(_) => vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
        _ => return None,
    };
    if let Some(only) = jwk.common.key_algorithm {
        let only = Algorithm::from_str(&only.to_string()).ok()?;
        fits.retain(|algorithm| *algorithm == only);
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    if let (AlgorithmParameters::OctetKey(_), Ok(secret)) = (&jwk.algorithm, decoding.try_get_as_bytes()) {
        fits.retain(|algorithm| secret.len() >= least_secret(*algorithm));
    }
    let is_short = matches!(
        decoding.kind(),
        jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } if n.len() < LEAST_RSA
    );
    (!is_short && !fits.is_empty()).then(|| Key { id: jwk.common.key_id.map(Into::into), fits, decoding })
}

/// As long as the digest, at least (RFC 7518 section 3.2): a shorter secret can be guessed.
const fn least_secret(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}
