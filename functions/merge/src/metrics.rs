//! Metrics, in CloudWatch's embedded metric format: a line on standard output, no request.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use jiff::Timestamp;
use serde_json::json;

/// How long after its window closed an object was written, in seconds.
#[expect(clippy::disallowed_methods, reason = "a measurement; nothing is decided by it")]
pub(crate) fn freshness(stack: &str, closed: Timestamp) {
    let now = Timestamp::now();
    let seconds = now.duration_since(closed).as_secs_f64().max(0.0);
    let line = json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": "Windrow",
                "Dimensions": [["Stack"]],
                "Metrics": [{"Name": "FreshnessSeconds", "Unit": "Seconds"}],
            }],
        },
        "Stack": stack,
        "FreshnessSeconds": seconds,
    });
    println!("{line}");
}
