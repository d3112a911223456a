//! The recipes of docs/freeze.md for jobs, run as they stand there.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;
use sluicegate_tests::{Folder, Gateway, Upstream, config};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::recipe;

const DOCS: &str = include_str!("../../../docs/freeze.md");

struct Job {
    folder: Folder,
    runner: &'static str,
    file: &'static str,
    header: Option<&'static str>,
}

impl Job {
    fn of(runner: &'static str, file: &'static str) -> Self {
        let folder = Folder::default();
        folder.write(file, format!("{}\n", recipe(DOCS, file)));
        let path = folder.path().join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, runner, file, header: None }
    }

    fn start(&self, url: &str, route: Option<&str>, limit: &str) -> Child {
        let mut command = Command::new(self.runner);
        command.arg(self.folder.path().join(self.file)).arg(url).args(route).env("WAIT_LIMIT", limit);
        command.envs(self.header.map(|header| ("WAIT_HEADER", header)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; install it to run this test", self.runner))
    }

    async fn code(&self, url: &str, route: Option<&str>, limit: &str) -> (i32, String) {
        let output = timeout(Duration::from_secs(60), self.start(url, route, limit).wait_with_output()).await;
        let output = output.expect("it ends").unwrap();
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// It goes on at once where nothing is frozen, waits for the end of what is, and gives up
    /// when it was told to.
    async fn holds(&self) {
        let upstream = Upstream::start().await;
        let gateway = Gateway::start(&config(&upstream.url(), ""));
        let url = format!("http://{}", gateway.address());
        assert_eq!(self.code(&url, None, "60").await, (0, String::new()), "nothing is frozen");
        gateway.freeze("part", &json!({ "scope": { "routes": ["all"] } })).await;
        assert_eq!(self.code(&url, Some("other"), "60").await.0, 0, "another route is frozen");
        for route in [None, Some("all")] {
            let (code, said) = self.code(&url, route, "0").await;
            assert_eq!(code, 1, "{said}");
            assert!(said.starts_with("still frozen after 0") && said.contains("part"), "{said}");
        }
        let mut job = self.start(&url, Some("all"), "60");
        let begin = Instant::now();
        assert!(timeout(Duration::from_millis(1500), job.wait()).await.is_err(), "it waits");
        gateway.thaw("part").await;
        let status = timeout(Duration::from_secs(30), job.wait()).await.expect("it sees the end").unwrap();
        assert!(status.success() && begin.elapsed() > Duration::from_millis(1500));
        drop(gateway);
        let (code, said) = self.code(&url, None, "0").await;
        assert_eq!(code, 1, "a gateway that cannot be asked counts as frozen");
        assert!(said.contains("the gateway cannot be asked"), "{said}");
        self.takes_no_other_answer_for_a_thaw().await;
        self.asks_as_its_tenant().await;
    }

    /// What somebody else answers in the gateway's place counts as frozen.
    async fn takes_no_other_answer_for_a_thaw(&self) {
        let other = Upstream::start().await;
        for body in ["{}", "[]", "null", "{\"freezes\": 1}", "{\"freezes\": [{}]}", "<html>", ""] {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            other.answer("/.sluicegate/freeze.json", format!("{head}{body}"));
            let (code, said) = self.code(&other.url(), Some("all"), "0").await;
            assert_eq!(code, 1, "{body}: {said}");
            assert!(said.contains("still frozen after 0"), "{body}: {said}");
        }
        other.answer("/.sluicegate/freeze.json", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(self.code(&other.url(), None, "0").await.0, 1, "where the banner is turned off");
    }

    async fn asks_as_its_tenant(&self) {
        let upstream = Upstream::start().await;
        let gateway = Gateway::start(&config(&upstream.url(), "tenants: { from: { header: x-tenant-id } }"));
        gateway.freeze("theirs", &json!({ "scope": { "tenants": ["acme"] } })).await;
        let url = format!("http://{}", gateway.address());
        for (header, code) in [(None, 0), (Some("x-tenant-id: other"), 0), (Some("x-tenant-id: acme"), 1)] {
            let job = Self { header, ..Self::of(self.runner, self.file) };
            let (found, said) = job.code(&url, None, "0").await;
            assert_eq!(found, code, "{header:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_recipe_waits_for_the_end() {
    Job::of("sh", "wait-for-thaw.sh").holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_recipe_waits_for_the_end() {
    Job::of("python3", "wait_for_thaw.py").holds().await;
}
