//! Webhooks in `status`: a line for each, and one more where something is wrong.

use jiff::Timestamp;
use serde_json::Value;
use sluicegate_webhooks::WebhookStatus;

use super::{Failure, Streams, output, read};

pub(crate) fn status(section: &Value, now: Timestamp, to: &mut Streams<'_>) -> Result<(), Failure> {
    if section.as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    let webhooks: Vec<WebhookStatus> = read(section.clone())?;
    writeln!(to.out, "\nwebhooks")?;
    let head = ["NAME", "DELIVERED", "PENDING", "GIVEN UP", "DROPPED", "LAST"].map(str::to_owned);
    let rows: Vec<_> = webhooks.iter().map(|webhook| row(webhook, now)).collect();
    output::table(to.out, &head, &rows)?;
    for webhook in webhooks.iter().filter(|webhook| webhook.failures_in_a_row > 0) {
        let tried = output::count(webhook.failures_in_a_row as usize, "failure");
        let error = webhook.last_failure.as_ref().map_or("?", |failure| &failure.error);
        let again = match webhook.next_try {
            Some(at) => format!("; tried again in {}", output::between(now, at)),
            None => String::new(),
        };
        writeln!(
            to.out,
            "  FAILING  {}: {tried} in a row, the last: {}{again}",
            webhook.name,
            output::plain(error)
        )?;
    }
    Ok(())
}

fn row(webhook: &WebhookStatus, now: Timestamp) -> Vec<String> {
    let last = webhook.last_delivery.as_ref().map_or_else(
        || "-".to_owned(),
        |last| format!("{} of {} {} ago", last.event.as_str(), last.about, output::between(last.at, now)),
    );
    vec![
        webhook.name.clone(),
        webhook.delivered.to_string(),
        webhook.pending.to_string(),
        webhook.given_up.to_string(),
        webhook.dropped.to_string(),
        last,
    ]
}
