//! The real service: demo-rag, whose index can be changed behind the gateway's back.

use std::{collections::BTreeMap, net::SocketAddr};

use http::Request;
use sluicegate_demo_rag::{Document, Options, Running, start};
use sluicegate_tests::{
    Client,
    client::{full, get},
};

/// What clients of these tests look for.
pub(crate) const QUERY: &str = r#"{"query":"write freeze","k":2}"#;

/// One instance.
pub(crate) struct Rag(Running);

impl Rag {
    pub(crate) async fn start() -> Self {
        Self(start(Options::default()).await.unwrap())
    }

    /// One that is indexed anew, at the address of one that has been stopped.
    pub(crate) async fn start_at(address: SocketAddr, documents: Vec<Document>) -> Self {
        Self(start(Options { address, documents: Some(documents), ..Options::default() }).await.unwrap())
    }

    /// One that tells this pin instead of its own.
    pub(crate) async fn telling(pin: &str, value: &str) -> Self {
        let pins = BTreeMap::from([(pin.to_owned(), value.to_owned())]);
        Self(start(Options { pins, ..Options::default() }).await.unwrap())
    }

    /// One of this model version.
    pub(crate) async fn of(version: &str) -> Self {
        Self(start(Options { version: version.to_owned(), ..Options::default() }).await.unwrap())
    }

    pub(crate) async fn stop(self) {
        self.0.stop().await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address())
    }

    /// What it serves now of these, as the document would pin it.
    pub(crate) async fn pins(&self, names: &[&str]) -> Vec<(String, String)> {
        let manifest = self.ask(get("/index/manifest")).await.json();
        let text = |name: &str| match &manifest[name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        names.iter().map(|name| ((*name).to_owned(), text(name))).collect()
    }

    /// Puts a document into its index, past the gateway.
    pub(crate) async fn add(&self, id: &str) {
        let answer = self.ask(put(id)).await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// Takes it out again: the index is as it was before.
    pub(crate) async fn remove(&self, id: &str) {
        let answer = self.ask(delete(id)).await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// How many requests of this path have come.
    pub(crate) fn count(&self, path: &str) -> u64 {
        let routes = self.0.requests().routes;
        routes.iter().filter(|route| route.path == path).map(|route| route.count).sum()
    }

    /// How many requests for what it is there for have come.
    pub(crate) fn served(&self) -> u64 {
        let routes = self.0.requests().routes;
        routes.iter().filter(|route| route.path.starts_with("/v1")).map(|route| route.count).sum()
    }

    async fn ask(&self, request: Request<sluicegate_tests::client::Body>) -> sluicegate_tests::Answer {
        Client::h1(self.address()).await.ask(request).await
    }
}

/// A search.
pub(crate) fn search() -> Request<sluicegate_tests::client::Body> {
    sluicegate_tests::client::post("/v1/retrieve", QUERY)
}

/// A write of a document.
pub(crate) fn put(id: &str) -> Request<sluicegate_tests::client::Body> {
    let body = r#"{"title":"New","text":"Wombats dig at night."}"#;
    Request::put(format!("/v1/documents/{id}")).body(full(body)).unwrap()
}

/// A document is taken away.
pub(crate) fn delete(id: &str) -> Request<sluicegate_tests::client::Body> {
    Request::delete(format!("/v1/documents/{id}")).body(full("")).unwrap()
}
