//! The admin port as a script uses it.

use http::{Method, Request};
use serde_json::Value;

use crate::{
    client::{Answer, Client, full},
    gateway::Gateway,
};

impl Gateway {
    /// Asks the admin port on a connection of its own.
    pub async fn admin(&self, method: Method, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
        let mut client = Client::h1(self.admin_address()).await;
        let request = Request::builder().method(method).uri(path).body(full(body)).unwrap();
        client.ask(request).await
    }

    /// Reads a resource of the admin port.
    pub async fn admin_get(&self, path: &str) -> Value {
        let answer = self.admin(Method::GET, path, "").await;
        assert_eq!(answer.status, 200, "GET {path}: {:?}", answer.body);
        answer.json()
    }

    /// Puts a freeze; panics where that is refused.
    pub async fn freeze(&self, id_and_query: &str, settings: &Value) -> Value {
        let path = format!("/freeze/{id_and_query}");
        let answer = self.admin_json(Method::PUT, &path, settings).await;
        assert!((200..300).contains(&answer.status), "PUT {path}: {answer:?}");
        answer.json()
    }

    /// Sends JSON to the admin port.
    pub async fn admin_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let mut client = Client::h1(self.admin_address()).await;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(full(body.to_string()))
            .unwrap();
        client.ask(request).await
    }

    /// Lifts a freeze.
    pub async fn thaw(&self, id: &str) {
        let answer = self.admin(Method::DELETE, &format!("/freeze/{id}"), "").await;
        assert!((200..300).contains(&answer.status), "DELETE /freeze/{id}: {answer:?}");
    }

    /// The freeze `id` as `GET /freeze` shows it, null where it is not on.
    pub async fn freeze_shown(&self, id: &str) -> Value {
        let shown = self.admin_get("/freeze").await;
        let freezes = shown["freezes"].as_array().expect("a list of freezes");
        freezes.iter().find(|freeze| freeze["id"] == id).cloned().unwrap_or_default()
    }

    /// Runs a whole document from now on.
    pub async fn put_config(&self, query: &str, document: &str) -> Answer {
        let mut client = Client::h1(self.admin_address()).await;
        let request = Request::put(format!("/config{query}"))
            .header("content-type", "application/yaml")
            .body(full(document.to_owned()))
            .unwrap();
        client.ask(request).await
    }

    /// The values of a metric: the labels as they stand, and the number.
    pub async fn metric(&self, name: &str) -> Vec<(String, f64)> {
        let answer = self.admin(Method::GET, "/metrics", "").await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let (series_name, labels) = series.split_once('{').unwrap_or((series, ""));
                let labels = labels.trim_end_matches('}').to_owned();
                (series_name == name).then(|| (labels, value.parse().unwrap()))
            })
            .collect()
    }

    /// The values of a metric that counts: the labels as they stand, and the whole number.
    pub async fn counts(&self, name: &str) -> Vec<(String, u64)> {
        let values = self.metric(name).await.into_iter();
        values.map(|(labels, value)| (labels, value.to_string().parse().expect("a whole number"))).collect()
    }

    /// All of them together whose labels contain `label`.
    pub async fn count(&self, name: &str, label: &str) -> u64 {
        let counts = self.counts(name).await;
        counts.iter().filter(|(labels, _)| labels.contains(label)).map(|(_, count)| count).sum()
    }

    /// The status of `/readyz`.
    pub async fn ready(&self) -> u16 {
        self.admin(Method::GET, "/readyz", "").await.status
    }
}
