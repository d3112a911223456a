//! How hard pressed a route is: one number, for the header `Sluicegate-Pressure`.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};

/// The header that carries the pressure to the upstream.
pub const PRESSURE: HeaderName = HeaderName::from_static("sluicegate-pressure");

static HUNDREDTHS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    (0..=100).filter_map(|n| HeaderValue::try_from(format!("{}.{:02}", n / 100, n % 100)).ok()).collect()
});

/// What the pressure is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Permits in use, and how many there are.
    pub(super) route: (u32, u32),
    pub(super) upstream: Option<(u32, u32)>,
    /// Places in the queue in use, and how many there are.
    pub(super) queue: (u64, u64),
    /// The share of late waits, as a part of what is borne before load is shed.
    pub(super) waits: f64,
}

/// The worst of three signs:
///
/// - use: half of a cap is no pressure; all of it is 0.5, for nobody waits yet;
/// - queue: 0.5 as soon as somebody waits, 1 when the queue is full;
/// - waits: 1 when they are as long as the route sheds load at.
pub(super) fn pressure(load: &Load) -> f32 {
    let used = |(in_use, limit): (u32, u32)| (f64::from(in_use) / f64::from(limit.max(1)) - 0.5).max(0.0);
    let (waiting, places) = load.queue;
    let queue = if waiting == 0 { 0.0 } else { 0.5 + 0.5 * waiting as f64 / places.max(1) as f64 };
    let worst = used(load.route).max(load.upstream.map_or(0.0, used)).max(queue).max(load.waits);
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
    let worst = worst.clamp(0.0, 1.0) as f32;
    worst
}

/// The header's value: two digits, rounded.
#[must_use]
pub fn pressure_value(pressure: f32) -> HeaderValue {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
    let hundredths = (pressure.clamp(0.0, 1.0) * 100.0).round() as usize;
    HUNDREDTHS.get(hundredths).cloned().unwrap_or_else(|| HeaderValue::from_static("1.00"))
}

#[cfg(test)]
mod tests {
    use super::{Load, pressure, pressure_value};

    #[test]
    fn pressure_rises_with_use_then_queue_then_waits() {
        let idle = Load { route: (0, 64), upstream: None, queue: (0, 256), waits: 0.0 };
        let of = |load: Load| pressure_value(pressure(&load)).to_str().unwrap().to_owned();
        assert_eq!(of(idle), "0.00");
        assert_eq!(of(Load { route: (32, 64), ..idle }), "0.00");
        assert_eq!(of(Load { route: (64, 64), ..idle }), "0.50");
        assert_eq!(of(Load { upstream: Some((6, 8)), ..idle }), "0.25");
        assert_eq!(of(Load { queue: (128, 256), ..idle }), "0.75");
        assert_eq!(of(Load { queue: (300, 256), ..idle }), "1.00");
        assert_eq!(of(Load { waits: 7.0, ..idle }), "1.00");
        assert_eq!(of(Load { route: (9, u32::MAX), ..idle }), "0.00");
    }

    #[test]
    fn what_is_not_a_number_is_no_panic() {
        assert_eq!(pressure_value(f32::NAN), "0.00");
    }
}
