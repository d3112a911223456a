//! The gateway: a cap on the upstream, the queue and the deadline of its routes, a lane each.

use super::Stage;
use crate::overload::{ASK, BULK};

pub(super) fn document(stage: &Stage<'_>) -> String {
    let (upstream, places) = (stage.upstream, stage.setting.places);
    let deadline = stage.setting.deadline.as_millis();
    format!(
        "
listen: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: 127.0.0.1:0 }}
store: {{ memory: {{}} }}
workers: 1
limits: {{ deadline: {deadline}ms }}
upstreams:
  service: {{ endpoints: [\"http://{upstream}\"], concurrent: {places} }}
routes:
  - {{ name: ask, match: {{ path: {ASK}, methods: [GET] }}, upstream: service }}
  - {{ name: bulk, match: {{ path: {BULK}, methods: [GET] }}, upstream: service, lane: batch }}
log: {{ level: error }}
"
    )
}
