//! The signatures of tokens, checked by `ring`.
//!
//! `jsonwebtoken` reads tokens and leaves the cryptography to a provider of one's choice. This one
//! verifies and does nothing else: the gateway signs no tokens.

use std::sync::Once;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, Result},
    signature,
};
use ring::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(not_done()),
        rsa_pub_components_from_public_key: |_| Err(not_done()),
        ec_pub_components_from_private_key: |_, _| Err(not_done()),
        ed_pub_components_from_private_key: |_, _| Err(not_done()),
        compute_digest: |_, _| Err(not_done()),
    },
};

/// Has tokens verified by `ring` from now on, unless the process has chosen another way before.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

fn not_done() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that the library asks for")]
fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(not_done())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that the library asks for")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(ByRing { algorithm: *algorithm, key: key.clone() }))
}

struct ByRing {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl signature::Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        if self.holds(message, signature) { Ok(()) } else { Err(signature::Error::new()) }
    }
}

impl ByRing {
    fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::RS256 => self.rsa(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Algorithm::RS384 => self.rsa(&RSA_PKCS1_2048_8192_SHA384, message, signature),
            Algorithm::RS512 => self.rsa(&RSA_PKCS1_2048_8192_SHA512, message, signature),
            Algorithm::PS256 => self.rsa(&RSA_PSS_2048_8192_SHA256, message, signature),
            Algorithm::PS384 => self.rsa(&RSA_PSS_2048_8192_SHA384, message, signature),
            Algorithm::PS512 => self.rsa(&RSA_PSS_2048_8192_SHA512, message, signature),
            Algorithm::ES256 => self.public(&ECDSA_P256_SHA256_FIXED, message, signature),
            Algorithm::ES384 => self.public(&ECDSA_P384_SHA384_FIXED, message, signature),
            Algorithm::EdDSA => self.public(&ED25519, message, signature),
            Algorithm::HS256 => self.shared(hmac::HMAC_SHA256, message, signature),
            Algorithm::HS384 => self.shared(hmac::HMAC_SHA384, message, signature),
            Algorithm::HS512 => self.shared(hmac::HMAC_SHA512, message, signature),
            _ => false,
        }
    }

    fn rsa(&self, by: &'static RsaParameters, message: &[u8], signature: &[u8]) -> bool {
        match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let key = RsaPublicKeyComponents { n: without_zeros(n), e: without_zeros(e) };
                key.verify(by, message, signature).is_ok()
            }
            DecodingKeyKind::SecretOrDer(_) => self.public(by, message, signature),
        }
    }

    fn public(&self, by: &'static dyn VerificationAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = self.key.try_get_as_bytes() else { return false };
        UnparsedPublicKey::new(by, key).verify(message, signature).is_ok()
    }

    fn shared(&self, by: hmac::Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = self.key.try_get_as_bytes() else { return false };
        self.key.family() == AlgorithmFamily::Hmac
            && hmac::verify(&hmac::Key::new(by, key), message, signature).is_ok()
    }
}

/// Big-endian numbers must not begin with zeros, and in some key sets they do.
fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[first..]
}
