use std::{fs, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::tempdir;

use super::load;
use crate::TlsInput;

fn write(dir: &Path, name: &str) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(dir.join(format!("{name}.pem")), cert.pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), signing_key.serialize_pem()).unwrap();
}

fn input(cert: &str, key: &str) -> TlsInput {
    TlsInput { cert: cert.into(), key: key.into() }
}

#[test]
fn a_pair_is_loaded_and_known_again() {
    let dir = tempdir().unwrap();
    write(dir.path(), "a");
    write(dir.path(), "b");
    let first = load(&input("a.pem", "a.key"), dir.path()).unwrap();
    let again = load(&input("a.pem", "a.key"), dir.path()).unwrap();
    let other = load(&input("b.pem", "b.key"), dir.path()).unwrap();
    assert!(first.same_as(&again) && !first.same_as(&other));
    assert_eq!(first.config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
}

#[test]
fn what_cannot_be_used_names_the_file_and_what_to_do() {
    let dir = tempdir().unwrap();
    write(dir.path(), "a");
    write(dir.path(), "b");
    let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    file("empty", "");
    file("cut", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    file("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    file("junk.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    file("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    for (cert, key, member, named, advice) in [
        ("none.pem", "a.key", "cert", "none.pem", "cannot be read"),
        ("a.pem", "none.key", "key", "none.key", "cannot be read"),
        ("empty", "a.key", "cert", "empty", "BEGIN CERTIFICATE"),
        ("a.key", "a.key", "cert", "a.key", "BEGIN CERTIFICATE"),
        ("cut", "a.key", "cert", "cut", "write the certificate again"),
        ("junk.pem", "a.key", "cert", "junk.pem", "write the certificate again"),
        ("a.pem", "empty", "key", "empty", "BEGIN PRIVATE KEY"),
        ("a.pem", "a.pem", "key", "a.pem", "BEGIN PRIVATE KEY"),
        ("a.pem", "junk.key", "key", "junk.key", "must be RSA"),
        ("a.pem", "locked.key", "key", "locked.key", "openssl pkey"),
        ("a.pem", "b.key", "cert", "b.key", "issued together"),
    ] {
        let error = load(&input(cert, key), dir.path()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(named) && message.contains(advice), "{cert} + {key}: {message}");
        assert_eq!(error.member(), member, "{cert} + {key}: {message}");
    }
}
