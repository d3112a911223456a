use std::{fs, time::Duration};

use sluicegate_config::load;
use sluicegate_server::Inherited;
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{Gateway, Options};
use crate::logging::LogSwitch;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_between_the_start_and_the_watching_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (file, token) = (folder.path().join("gateway.yaml"), folder.path().join("token"));
    let document = r#"listen: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0", token_file: token }
store: { memory: {} }
upstreams: { main: { endpoints: ["http://127.0.0.1:1"] } }
routes: [{ name: all, match: { path: "/{*rest}" }, upstream: main }]
"#;
    fs::write(&file, document).unwrap();
    fs::write(&token, "first").unwrap();
    let (loaded, side) = (load(&file).unwrap(), Handle::current());
    let options =
        Options { loaded, side, inherited: Inherited::none(), log: LogSwitch::none(), connect: None };
    let gateway = spawn_blocking(|| Gateway::start(options)).await.unwrap().unwrap();
    fs::write(&token, "second").unwrap();
    gateway.watch();
    let second = async {
        while gateway.control.generation() == 1 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), second).await.expect("the new token is taken");
    gateway.close(Duration::ZERO).await;
}
