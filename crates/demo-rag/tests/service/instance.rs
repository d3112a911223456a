//! Instances: their pins, both protocols, starting, stopping, three side by side.

use std::{collections::BTreeMap, io, time::Duration};

use sluicegate_demo_rag::{Document, Options, start};
use tokio::{net::TcpStream, time::timeout};

use crate::client::{Client, instance, instance_with, request};

#[tokio::test]
async fn three_instances_tell_their_own_versions_over_both_protocols() {
    let mut instances = Vec::new();
    for version in ["m-1", "m-2", "m-3"] {
        let options = Options { version: version.to_owned(), ..Options::default() };
        instances.push((version, start(options).await.unwrap()));
    }
    let mut hashes = Vec::new();
    for (version, instance) in &instances {
        for mut client in
            [Client::connect(instance.address()).await, Client::connect_h2(instance.address()).await]
        {
            let answer = client.get("/index/manifest").await;
            let json = answer.json();
            assert_eq!(json["MODEL_VER"], *version);
            let (hash, count) = (json["INDEX_HASH"].as_str().unwrap(), json["DOC_COUNT"].as_u64().unwrap());
            assert_eq!(hash.len(), 16);
            let pins = format!("INDEX_HASH={hash},MODEL_VER={version},DOC_COUNT={count}");
            for path in ["/healthz", "/nowhere", "/debug/switches", "/v1/documents/absent"] {
                assert_eq!(client.get(path).await.header("x-wfgy"), pins, "{path}");
            }
            hashes.push(hash.to_owned());
        }
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "the same corpus");
    let mut first = Client::connect(instances[0].1.address()).await;
    first.send("DELETE", "/v1/documents/bm25-basics", "").await;
    let other = Client::connect(instances[1].1.address()).await.get("/index/manifest").await;
    assert_eq!(other.json()["INDEX_HASH"], hashes[0].as_str());
    for (_, instance) in instances {
        instance.stop().await;
    }
}

#[tokio::test]
async fn named_pins_and_documents_are_served() {
    let document = Document { id: "one".into(), title: "One".into(), text: "Wombats dig.".into() };
    let pins = BTreeMap::from([("PROMPT_VER".to_owned(), "p-9".to_owned())]);
    let options = Options { pins, documents: Some(vec![document]), ..Options::default() };
    let instance = start(options).await.unwrap();
    let answer = Client::connect(instance.address()).await.get("/index/manifest").await;
    assert!(answer.header("x-wfgy").ends_with(",DOC_COUNT=1,PROMPT_VER=p-9"));
    assert_eq!(answer.json()["PROMPT_VER"], "p-9");
    instance.stop().await;
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let taken = instance().await;
    let options = Options { address: taken.address(), ..Options::default() };
    let error = start(options).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on {}", taken.address())));

    let options = Options { version: "m 1".to_owned(), ..Options::default() };
    let error = start(options).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("pin MODEL_VER=m 1: "), "{error}");

    let mut options = Options::default();
    options.switches.fail_rate = 2.0;
    assert!(start(options).await.unwrap_err().to_string().contains("fail_rate"));
    taken.stop().await;
}

#[tokio::test]
async fn a_stop_lets_requests_finish() {
    let instance = instance_with(|s| s.delay_ms = 100).await;
    let address = instance.address();
    let mut idle = Client::connect(address).await;
    idle.get("/healthz").await;
    let mut client = Client::connect(address).await;
    let asked = tokio::spawn(async move {
        client.try_send(request("POST", "/v1/retrieve", r#"{"query":"freeze"}"#)).await
    });
    while instance.requests().routes.iter().all(|route| route.path != "/v1/retrieve") {
        tokio::task::yield_now().await;
    }
    instance.stop().await;
    let answer = asked.await.unwrap().unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
    assert!(TcpStream::connect(address).await.is_err());
    assert!(idle.try_send(request("GET", "/healthz", "")).await.is_err());
}

#[tokio::test]
async fn a_stop_gives_up_what_hangs() {
    let (mut asked, hung) = (Vec::new(), instance_with(|s| s.hang = true).await);
    for mut client in [Client::connect(hung.address()).await, Client::connect_h2(hung.address()).await] {
        asked.push(tokio::spawn(async move {
            client.try_send(request("PUT", "/v1/documents/a", r#"{"text":"x"}"#)).await
        }));
    }
    let audit = hung.audit();
    while audit.counts().running < 2 {
        tokio::task::yield_now().await;
    }
    timeout(Duration::from_secs(5), hung.stop()).await.unwrap();
    for asked in asked {
        assert!(asked.await.unwrap().is_err());
    }
    let ended = async {
        while audit.counts().running > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), ended).await.unwrap();
    assert_eq!(audit.counts().applied, 0);
}

#[tokio::test]
async fn dropping_an_instance_stops_it() {
    let instance = instance().await;
    let address = instance.address();
    drop(instance);
    let gone = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), gone).await.unwrap();
}
