//! What the functions tell of themselves: one JSON line a step, of which CloudWatch makes a log line and metrics at once.
//!
//! The names of the fields are the same in every function, so that one query follows a file through all of them: `window`,
//! `execution`, `message_id`, `key`, `duration_ms`, `error_type`, `error`. No line ever holds what stands in a file.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::fmt::Display;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use window::Failure;

/// The namespace of all metrics.
const NAMESPACE: &str = "Windrow";

macro_rules! metrics {
    ($($(#[$doc:meta])+ $name:ident: $unit:literal,)+) => {
        /// A metric, with the stack for a dimension.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $($(#[$doc])+ $name,)+
        }

        impl Metric {
            /// Every metric.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// As CloudWatch has it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            const fn unit(self) -> &'static str {
                match self {
                    $(Self::$name => $unit,)+
                }
            }
        }
    };
}

metrics! {
    /// `start`: messages that came, each time that they came.
    Messages: "Count",
    /// `start`: files of a message that it refused, at each of the three times that Lambda tries.
    FilesRefused: "Count",
    /// `stage`: files staged.
    FilesStaged: "Count",
    /// `stage`: their bytes in the source bucket.
    BytesStaged: "Bytes",
    /// `stage`: their rows.
    RowsStaged: "Count",
    /// `stage`: rows that could not be read.
    RowsRejected: "Count",
    /// `stage`: files given up, whose letter comes next. (Where the function is killed it cannot count: see Lambda's own.)
    FilesRejected: "Count",
    /// `stage`: from the end of a file's window until it was staged; less than 0 while the window lasts.
    LatenessSeconds: "Seconds",
    /// `merge`: fragments, or rows of such as have expired, that went into an object.
    FragmentsMerged: "Count",
    /// `merge`: merges that had nothing to write.
    MergesSkipped: "Count",
    /// `merge`: times that another got ahead, and all was looked at again.
    MergeConflicts: "Count",
    /// `merge`: bytes of the objects written.
    BytesWritten: "Bytes",
    /// `merge`: from the close of a window until its object was written.
    FreshnessSeconds: "Seconds",
    /// `deliver`: bytes of the objects delivered.
    BytesDelivered: "Bytes",
    /// `deliver`: from when an object was written until it was delivered.
    DeliveryFreshnessSeconds: "Seconds",
}

/// One step of a function's work, and what is told of it.
#[derive(Debug)]
pub struct Step {
    started: Instant,
    fields: Map<String, Value>,
    metrics: Vec<Metric>,
}

impl Step {
    /// A step of `function` in `stack` begins.
    pub fn begin(function: &str, stack: &str) -> Self {
        let mut step = Self { started: Instant::now(), fields: Map::new(), metrics: Vec::new() };
        // Read by people, from left to right.
        step.fields.insert("function".to_owned(), function.into());
        step.fields.insert("Stack".to_owned(), stack.into());
        step
    }

    /// What is to be known of it.
    pub fn field(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    /// A metric of it; of the same one, the sum.
    pub fn count(&mut self, metric: Metric, number: u64) {
        let former = self.fields.get(metric.name()).and_then(Value::as_u64).unwrap_or(0);
        self.measure(metric, former + number);
    }

    /// A metric that is measured.
    pub fn measure(&mut self, metric: Metric, value: impl Into<Value>) {
        self.fields.insert(metric.name().to_owned(), value.into());
        if !self.metrics.contains(&metric) {
            self.metrics.push(metric);
        }
    }

    /// A metric that is the time since `moment`, in seconds.
    pub fn since(&mut self, metric: Metric, moment: Timestamp) {
        self.measure(metric, now().duration_since(moment).as_secs_f64());
    }

    /// The step is over, and was `done` or failed: its line is written.
    pub fn end<T, E: Display>(self, done: &str, outcome: &Result<T, E>, failure: impl Fn(&E) -> Failure) {
        let line = match outcome {
            Ok(_) => self.line("INFO", done),
            Err(error) => {
                let mut step = self;
                step.field("error_type", failure(error).name());
                step.field("error", error.to_string());
                step.line("ERROR", "failed")
            }
        };
        println!("{line}");
    }

    fn line(mut self, level: &str, message: &str) -> Value {
        let now = now();
        self.field("duration_ms", u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), format!("{now:.3}").into());
        line.insert("level".to_owned(), level.into());
        line.insert("message".to_owned(), message.into());
        line.extend(self.fields);
        if !self.metrics.is_empty() {
            let definitions: Vec<Value> = self
                .metrics
                .iter()
                .map(|metric| json!({"Name": metric.name(), "Unit": metric.unit()}))
                .collect();
            let directive =
                json!({"Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": definitions});
            line.insert(
                "_aws".to_owned(),
                json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]}),
            );
        }
        Value::Object(line)
    }
}

#[expect(clippy::disallowed_methods, reason = "it is told, and measured; nothing is decided by it")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_log_line_and_metrics_at_once() {
        let mut step = Step::begin("stage", "windrow");
        step.field("key", "p/input/a.csv");
        step.count(Metric::RowsStaged, 7);
        step.count(Metric::RowsStaged, 3);
        step.measure(Metric::LatenessSeconds, -1.5);
        let line = step.line("INFO", "file staged");
        assert_eq!(line["function"], "stage");
        assert_eq!((&line["message"], &line["level"]), (&json!("file staged"), &json!("INFO")));
        assert_eq!((&line["RowsStaged"], &line["LatenessSeconds"]), (&json!(10), &json!(-1.5)));
        assert!(line["duration_ms"].is_u64());
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            (&directive["Namespace"], &directive["Dimensions"]),
            (&json!("Windrow"), &json!([["Stack"]]))
        );
        // Each metric's value, and the dimension's, must stand at the top.
        let metrics =
            json!([{"Name": "RowsStaged", "Unit": "Count"}, {"Name": "LatenessSeconds", "Unit": "Seconds"}]);
        assert_eq!(directive["Metrics"], metrics);
        assert_eq!(line["Stack"], "windrow");
        assert!(
            line["_aws"]["Timestamp"].as_i64().is_some_and(|milliseconds| milliseconds > 1_600_000_000_000)
        );
    }

    #[test]
    fn a_step_without_metrics_is_a_log_line_only() {
        assert_eq!(Step::begin("start", "windrow").line("INFO", "x").get("_aws"), None);
    }

    #[test]
    fn since_counts_from_a_moment() {
        let mut step = Step::begin("merge", "windrow");
        step.since(Metric::FreshnessSeconds, now() - jiff::SignedDuration::from_secs(5));
        let seconds = step.line("INFO", "x")["FreshnessSeconds"].as_f64().unwrap();
        assert!((5.0..6.0).contains(&seconds), "{seconds}");
    }
}
