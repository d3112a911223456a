//! Tokens of all kinds, signed by `ring` and put together by hand, so that nothing here leans on
//! the library that reads them.

use std::{
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use prometheus_client::registry::Registry;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use serde_json::{Value, json};
use sluicegate_core::{ClaimName, Clock, Code, claims::VerifyTokens};
use tokio::runtime::Handle;

use crate::{JwtInput, Tokens, Verifier};

mod fetching;

/// 2030-01-01.
const NOW: u64 = 1_893_456_000;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What can sign.
enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Shared(Vec<u8>),
}

impl Signer {
    fn p256() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    fn p384() -> Self {
        let (algorithm, random) = (&ECDSA_P384_SHA384_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P384(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("../tests/rsa-key.der")).unwrap())
    }

    fn key(&self, id: &str) -> Value {
        match self {
            Self::P256(pair) | Self::P384(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "kid": id, "x": b64(x), "y": b64(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(pair.public_key().as_ref()) })
            }
            Self::Rsa(pair) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                // Some sets have zeros in front.
                let n = [&[0], &public.n[..]].concat();
                json!({ "kty": "RSA", "kid": id, "n": b64(n), "e": b64(public.e) })
            }
            Self::Shared(secret) => json!({ "kty": "oct", "kid": id, "k": b64(secret) }),
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let by: &dyn RsaEncoding = match algorithm {
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(by, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Shared(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
            }
        }
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let algorithm = header["alg"].as_str().unwrap_or_default();
        format!("{message}.{}", b64(self.sign(algorithm, message.as_bytes())))
    }

    fn token(&self, algorithm: &str, id: &str, claims: &Value) -> String {
        self.token_with(&json!({ "alg": algorithm, "kid": id, "typ": "JWT" }), claims)
    }
}

fn clock() -> Clock {
    Clock::simulated(UNIX_EPOCH + Duration::from_secs(NOW))
}

fn home() -> (Tokens, Registry) {
    let mut registry = Registry::default();
    (Tokens::open(clock(), Handle::current(), &mut registry), registry)
}

/// Verifies by these keys and settings.
fn verifier(keys: &[Value], settings: Value) -> Verifier {
    let file = std::env::temp_dir().join(format!("jwks-{}-{:p}.json", std::process::id(), &keys));
    std::fs::write(&file, json!({ "keys": keys }).to_string()).unwrap();
    let mut input: JwtInput = serde_json::from_value(settings).unwrap();
    input.jwks_file = Some(file.clone());
    let verifier = home().0.verifier(input.check().unwrap(), &Path::to_path_buf).unwrap();
    std::fs::remove_file(file).unwrap();
    verifier
}

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(HeaderName::from_static("authorization"), value)])
}

/// Who a token says it is from; or why it is refused, from the challenge of the refusal.
fn sub(verifier: &Verifier, token: &str) -> Result<Option<String>, String> {
    match verifier.claims(&bearer(token)) {
        Ok(None) => Ok(None),
        Ok(Some(claims)) => Ok(claims.text(&ClaimName::new("sub").unwrap()).map(String::from)),
        Err(refusal) => {
            assert_eq!(refusal.code(), Code::TokenInvalid);
            Err(refusal.to_string())
        }
    }
}

fn claims() -> Value {
    json!({ "sub": "u7", "exp": NOW + 60 })
}

#[tokio::test]
async fn every_kind_of_key_verifies_its_own_signatures() {
    let signers = [
        ("ES256", Signer::p256()),
        ("ES384", Signer::p384()),
        ("EdDSA", Signer::ed()),
        ("RS256", Signer::rsa()),
    ];
    let keys: Vec<_> = signers.iter().map(|(name, signer)| signer.key(name)).collect();
    let verifier = verifier(&keys, json!({}));
    for (algorithm, signer) in &signers {
        let token = signer.token(algorithm, algorithm, &claims());
        for time in ["first", "again"] {
            assert_eq!(sub(&verifier, &token), Ok(Some("u7".into())), "{algorithm} {time}");
        }
        // Without a key's name all of the kind are tried.
        let nameless = signer.token_with(&json!({ "alg": algorithm }), &claims());
        assert_eq!(sub(&verifier, &nameless), Ok(Some("u7".into())), "{algorithm}");
        for other in signers.iter().map(|(other, _)| other).filter(|other| *other != algorithm) {
            let wrong = sub(&verifier, &signer.token(algorithm, other, &claims())).unwrap_err();
            assert!(wrong.contains("not known"), "{algorithm} by {other}: {wrong}");
        }
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[7] ^= 1;
        let wrong = sub(&verifier, &format!("{message}.{}", b64(bytes))).unwrap_err();
        assert!(wrong.contains("signature is wrong"), "{algorithm}: {wrong}");
        let other = b64(json!({ "sub": "root", "exp": NOW + 60 }).to_string());
        let forged = format!("{}.{other}.{signature}", message.split('.').next().unwrap());
        assert!(sub(&verifier, &forged).unwrap_err().contains("signature is wrong"), "{algorithm}");
    }
    for algorithm in ["RS512", "PS256"] {
        let token = signers[3].1.token(algorithm, "RS256", &claims());
        assert_eq!(sub(&verifier, &token), Ok(Some("u7".into())), "{algorithm}");
    }
}

#[tokio::test]
async fn nothing_a_token_says_chooses_how_it_is_verified() {
    let (rsa, p256) = (Signer::rsa(), Signer::p256());
    let verifier_of = |settings: Value| verifier(&[rsa.key("r"), p256.key("e")], settings);
    let verifier = verifier_of(json!({}));
    // No signature at all, in every spelling.
    for none in ["none", "None", "NONE", ""] {
        let message =
            format!("{}.{}", b64(json!({ "alg": none, "kid": "r" }).to_string()), b64(claims().to_string()));
        for token in [format!("{message}."), format!("{message}.AAAA"), message] {
            assert!(sub(&verifier, &token).is_err(), "{none}: {token}");
        }
    }
    // The public key as a shared secret: what is public signs nothing.
    let modulus = rsa.key("r")["n"].as_str().unwrap().to_owned();
    for secret in [modulus.clone().into_bytes(), URL_SAFE_NO_PAD.decode(modulus).unwrap()] {
        let confused = Signer::Shared(secret).token("HS256", "r", &claims());
        assert!(sub(&verifier, &confused).unwrap_err().contains("not accepted"));
        let shared = verifier_of(json!({ "algorithms": ["HS256"] }));
        assert!(sub(&shared, &confused).unwrap_err().contains("not known"), "a public key is no secret");
    }
    // A key that a token brings, or names by an address, is nobody's.
    let own = Signer::p256();
    for header in [
        json!({ "alg": "ES256", "kid": "e", "jwk": own.key("e") }),
        json!({ "alg": "ES256", "kid": "e", "jku": "http://127.0.0.1:1/keys" }),
    ] {
        assert!(sub(&verifier, &own.token_with(&header, &claims())).is_err(), "{header}");
    }
    // What must be understood and is not.
    let header = json!({ "alg": "ES256", "kid": "e", "crit": ["b64"], "b64": false });
    assert!(sub(&verifier, &p256.token_with(&header, &claims())).is_err());
    // An algorithm that the key has, and the settings do not.
    let only = verifier_of(json!({ "algorithms": ["ES256"] }));
    assert_eq!(sub(&only, &p256.token("ES256", "e", &claims())), Ok(Some("u7".into())));
    assert!(sub(&only, &rsa.token("RS256", "r", &claims())).unwrap_err().contains("not accepted"));
}

#[tokio::test]
async fn a_key_is_used_for_what_it_is_for() {
    let signer = Signer::p256();
    let (mut encrypting, mut other) = (signer.key("a"), signer.key("b"));
    encrypting["use"] = json!("enc");
    other["alg"] = json!("ES384");
    let (mut signing, mut verifying) = (signer.key("e"), signer.key("f"));
    signing["key_ops"] = json!(["sign"]);
    verifying["key_ops"] = json!(["sign", "verify"]);
    let short = json!({ "kty": "RSA", "kid": "c", "n": b64([7; 128]), "e": "AQAB" });
    let unknown = json!({ "kty": "new" });
    let keys = [encrypting, other, signing, verifying, short, unknown, signer.key("d")];
    let verifier = verifier(&keys, json!({}));
    for (id, fits) in [("a", false), ("b", false), ("d", true), ("e", false), ("f", true), ("", false)] {
        assert_eq!(sub(&verifier, &signer.token("ES256", id, &claims())).is_ok(), fits, "{id}");
    }
    for unusable in [
        json!({ "keys": [] }),
        json!([]),
        json!({ "keys": [{ "kty": "EC" }] }),
        json!({ "keys": "hush-4711" }),
    ] {
        let why = crate::keys::Keys::parse(&unusable.to_string()).unwrap_err();
        assert!(!why.contains("hush"), "what stands there is not told: {why}");
    }
}

#[tokio::test]
async fn a_shared_secret_is_as_long_as_its_digest() {
    let (long, short) = (Signer::Shared(vec![7; 32]), Signer::Shared(vec![8; 31]));
    let verifier = verifier(
        &[long.key("long"), short.key("short")],
        json!({ "algorithms": ["HS256", "HS384", "HS512"] }),
    );
    assert_eq!(sub(&verifier, &long.token("HS256", "long", &claims())), Ok(Some("u7".into())));
    assert!(
        sub(&verifier, &short.token("HS256", "long", &claims())).unwrap_err().contains("signature is wrong")
    );
    for (signer, algorithm, id) in
        [(&short, "HS256", "short"), (&long, "HS384", "long"), (&long, "HS512", "long")]
    {
        let wrong = sub(&verifier, &signer.token(algorithm, id, &claims())).unwrap_err();
        assert!(wrong.contains("not known"), "{algorithm} by {id}: {wrong}");
    }
    let empty = json!({ "keys": [{ "kty": "oct", "k": "" }] }).to_string();
    assert!(crate::keys::Keys::parse(&empty).unwrap_err().contains("oct from 256 bits"));
}

#[tokio::test(start_paused = true)]
async fn a_token_holds_between_its_times_by_the_gateways_clock() {
    let signer = Signer::p256();
    let verifier = verifier(&[signer.key("k")], json!({ "leeway": "10s" }));
    let token = |claims: Value| signer.token("ES256", "k", &claims);
    let short = token(json!({ "sub": "u7", "exp": NOW + 5 }));
    let later = token(json!({ "sub": "u7", "exp": NOW + 100, "nbf": NOW + 15 }));
    assert_eq!(sub(&verifier, &short), Ok(Some("u7".into())));
    assert!(sub(&verifier, &later).unwrap_err().contains("does not hold yet"));
    tokio::time::advance(Duration::from_secs(14)).await;
    assert_eq!(sub(&verifier, &short), Ok(Some("u7".into())), "within the leeway");
    assert_eq!(sub(&verifier, &later), Ok(Some("u7".into())));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(sub(&verifier, &short).unwrap_err().contains("has expired"), "remembered or not");
    for wrong in [json!({ "sub": "u7" }), json!({ "exp": "soon" }), json!({ "exp": NOW + 60, "nbf": "x" })] {
        assert!(sub(&verifier, &token(wrong.clone())).unwrap_err().contains("cannot be read"), "{wrong}");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_asked_for() {
    let signer = Signer::p256();
    let settings = json!({ "issuer": "https://id", "audience": ["rag", "other"] });
    let verifier = verifier(&[signer.key("k")], settings);
    let said = |iss: Value, aud: Value| {
        let mut claims = claims();
        for (name, value) in [("iss", iss), ("aud", aud)] {
            if !value.is_null() {
                claims[name] = value;
            }
        }
        sub(&verifier, &signer.token("ES256", "k", &claims))
    };
    assert!(said(json!("https://id"), json!("rag")).is_ok());
    assert!(said(json!("https://id"), json!(["x", "other"])).is_ok());
    for iss in [Value::Null, json!("https://id/"), json!("")] {
        assert!(said(iss.clone(), json!("rag")).unwrap_err().contains("issuer"), "{iss}");
    }
    for aud in [Value::Null, json!("x"), json!([]), json!(["x"])] {
        assert!(said(json!("https://id"), aud.clone()).unwrap_err().contains("somebody else"), "{aud}");
    }
}

#[tokio::test]
async fn where_a_token_stands() {
    let signer = Signer::p256();
    let token = signer.token("ES256", "k", &claims());
    let of = |settings: Value, fields: &[(&'static str, String)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        verifier(&[signer.key("k")], settings).claims(&headers)
    };
    let (plain, bearer) = (token.clone(), format!("bEaReR {token}"));
    let field = |name, value: &String| [(name, value.clone())];
    for scheme in ["bEaReR ", "Bearer  ", "Bearer\t"] {
        let value = format!("{scheme}{token}");
        assert!(of(json!({}), &field("authorization", &value)).unwrap().is_some(), "{value}");
    }
    for nobody in ["", "Basic dXNlcjpwdw==", "Bearer"] {
        assert!(of(json!({}), &field("authorization", &nobody.to_owned())).unwrap().is_none(), "{nobody}");
    }
    assert!(of(json!({}), &[]).unwrap().is_none());
    let missing = of(json!({ "required": true }), &[]).unwrap_err();
    assert_eq!(missing.code(), Code::TokenMissing);
    let elsewhere = json!({ "header": "X-Token" });
    for value in [&plain, &bearer] {
        assert!(of(elsewhere.clone(), &field("x-token", value)).unwrap().is_some());
    }
    for first in [bearer.clone(), String::new(), "Basic eA==".to_owned()] {
        let twice = [("authorization", first), ("authorization", bearer.clone())];
        assert_eq!(of(json!({}), &twice).unwrap_err().code(), Code::BadRequest, "{twice:?}");
    }
    let long = format!("Bearer {}", "a".repeat(17 * 1024));
    assert_eq!(of(json!({}), &field("authorization", &long)).unwrap_err().code(), Code::TokenInvalid);
}

#[test]
fn settings_that_make_no_sense_are_told() {
    let faults = |settings: Value| {
        let input: JwtInput = serde_json::from_value(settings).unwrap();
        let faults = input.check().unwrap_err();
        faults.into_iter().map(|(path, message)| format!("{path}: {message}")).collect::<Vec<_>>().join("\n")
    };
    for (settings, expected) in [
        (json!({}), ": says not where the keys are"),
        (json!({ "jwks_file": "a", "jwks_url": "http://a/" }), "jwks_url: there is `jwks_file` as well"),
        (json!({ "jwks_url": "ftp://a/" }), "jwks_url: is not a URL"),
        (json!({ "jwks_url": "https://user:hush@a/" }), "jwks_url: carries a user and a password"),
        (json!({ "jwks_url": "https://a/?as=u@b", "refresh": "1s" }), "refresh: `1s` is not from"),
        (json!({ "jwks_url": "https://a/", "refresh": "1s" }), "refresh: `1s` is not from"),
        (json!({ "jwks_url": "https://a/", "algorithms": ["HS256"] }), "algorithms: a shared secret"),
        (json!({ "jwks_file": "a", "algorithms": ["HS256", "RS256"] }), "algorithms: mixes"),
        (json!({ "jwks_file": "a", "algorithms": [] }), "algorithms: no token"),
        (json!({ "jwks_file": "a", "leeway": "1h" }), "leeway: "),
        (json!({ "jwks_file": "a", "ca": "b" }), "ca: nothing is fetched"),
        (json!({ "jwks_file": "a", "issuer": "" }), "issuer: is empty"),
        (json!({ "jwks_file": "a", "audience": [""] }), "audience[0]: is empty"),
        (json!({ "jwks_file": "a", "header": "a b" }), "header: "),
    ] {
        let told = faults(settings.clone());
        assert!(told.contains(expected), "{settings}: {told}");
    }
}
