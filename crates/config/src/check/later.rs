//! Keys that are known and not served yet.

use sluicegate_classify::input::TenantSource;

use super::Findings;
use crate::Document;

pub(super) fn check(document: &Document, found: &mut Findings) {
    let mut later = |path: String, is_used: bool| {
        if is_used {
            let key = path.rsplit_once('.').map_or(path.as_str(), |(_, key)| key);
            let message =
                format!("`{key}` is not available yet: this version does not do it; remove the key");
            found.fault_at_key(path, message);
        }
    };
    if let Some(tenants) = &document.tenants {
        later("tenants.from.query".into(), matches!(tenants.from, TenantSource::Query(_)));
        later("tenants.from.api_key".into(), matches!(tenants.from, TenantSource::ApiKey(_)));
        later("tenants.from.claim".into(), matches!(tenants.from, TenantSource::Claim(_)));
    }
    for (at, route) in document.routes.iter().enumerate() {
        let path = |key| format!("routes[{at}].{key}");
        later(path("preset"), route.preset.is_some());
        later(path("read_tools"), route.read_tools.is_some());
    }
}
