//! Asking the port, and reading its answers.

use std::{fmt::Write, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Port, described};

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.body))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The status, and the code and detail of the problem.
    pub(super) fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        let body = self.json();
        assert_eq!(body["status"], self.status);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (self.status, text("code"), text("detail"))
    }
}

impl Port {
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.send(method, path, headers, body).await;
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer that ends").unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let answer = Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.replace("\r\n", "\n"),
            body: body.to_owned(),
        };
        described::check(method, path, &answer);
        answer
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            write!(request, "host: {}\r\n", self.address).unwrap();
        }
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        let measured = headers.iter().any(|(name, _)| *name == "content-length");
        if !measured && (!body.is_empty() || method == "PUT") {
            write!(request, "content-length: {}\r\n", body.len()).unwrap();
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        // A body that is refused for its length is not read, and the write may fail.
        drop(stream.write_all(body.as_bytes()).await);
        stream
    }

    /// The newest line of the audit log.
    pub(super) async fn last_audited(&self) -> Value {
        self.get("/audit?limit=1").await.json()["entries"][0].clone()
    }

    /// Waits until the audit log has this many entries.
    pub(super) async fn audited(&self, entries: usize) {
        let wait =
            async { while self.get("/audit").await.json()["entries"].as_array().unwrap().len() < entries {} };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("an entry in the audit log");
    }

    pub(super) async fn metrics(&self) -> String {
        self.get("/metrics").await.body
    }
}
