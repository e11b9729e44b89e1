//! Calling `start` and `deliver` with what SNS and S3 would hand to them, and waiting for the answer.
//!
//! An asynchronous call would be accepted whatever comes of it, and a failure would make a second letter.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use jiff::Timestamp;
use serde_json::{Value, json};
use window::{Class, Failure};

use crate::Session;
use crate::aws::Error;

/// A function may take 15 minutes; its answer, a moment more.
const LONGEST_ANSWER: Duration = Duration::from_secs(15 * 60 + 10);

/// A function that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Start,
    Deliver,
}

impl Function {
    fn output(self) -> &'static str {
        match self {
            Self::Start => "StartFunctionName",
            Self::Deliver => "DeliverFunctionName",
        }
    }
}

/// What came of a call that reached AWS.
pub(crate) type Answer = Result<Value, Failed>;

/// Why a function, or AWS before it, did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The function's own name for it; empty where AWS did not come as far as the function.
    pub(crate) name: String,
    /// In words.
    pub(crate) reason: String,
}

impl Failed {
    /// Whether the same call may do better in a while: AWS was busy, or the function, or it broke down.
    pub(crate) fn may_pass(&self) -> bool {
        let known = Failure::ALL.iter().find(|known| known.name() == self.name);
        known.is_none_or(|known| known.class() != Class::Permanent)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.as_str() {
            "" => formatter.write_str(&self.reason),
            name => write!(formatter, "{name}: {}", self.reason),
        }
    }
}

/// Calls functions of one stack.
pub(crate) struct Caller<'a> {
    session: &'a Session,
    lambda: aws_sdk_lambda::Client,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(session: &'a Session) -> Self {
        let patient = TimeoutConfig::builder().read_timeout(LONGEST_ANSWER).build();
        let config =
            aws_sdk_lambda::config::Builder::from(&session.aws.config).timeout_config(patient).build();
        Self { session, lambda: aws_sdk_lambda::Client::from_conf(config) }
    }

    /// Hands `event` to `function`, and waits.
    ///
    /// An error is the operator's own: another call would end in the same way.
    pub(crate) async fn call(&self, function: Function, event: &Value) -> Result<Answer, Error> {
        let name = self.session.stack.output(function.output())?;
        let answer = self.lambda.invoke().function_name(name).payload(Blob::new(event.to_string())).send();
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => match self.session.aws.failed("lambda:InvokeFunction", &error) {
                Error::Aws { detail, .. } => {
                    return Ok(Err(Failed { name: String::new(), reason: detail }));
                }
                error => return Err(error),
            },
        };
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        Ok(match answer.function_error {
            None => Ok(serde_json::from_slice(&payload).unwrap_or_default()),
            Some(_) => Err(failure(&payload)),
        })
    }

    /// Announces files anew, as the publisher would.
    pub(crate) async fn announce<'k>(
        &self,
        bucket: &str,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Answer, Error> {
        self.call(Function::Start, &self.announcement(bucket, keys)).await
    }

    /// The event that announces files anew. Handed to `start` a second time, it finds what it started the first time.
    pub(crate) fn announcement<'k>(&self, bucket: &str, keys: impl IntoIterator<Item = &'k str>) -> Value {
        announcement(self.session.stack.parameter("SourceTopicArn"), [message(bucket, keys)], now())
    }
}

fn failure(payload: &[u8]) -> Failed {
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let error: Value = serde_json::from_slice(payload).unwrap_or_default();
    Failed {
        name: text(&error, "errorType").unwrap_or_default(),
        reason: text(&error, "errorMessage").unwrap_or_else(|| String::from_utf8_lossy(payload).into_owned()),
    }
}

/// The text of a message that announces files.
fn message<'k>(bucket: &str, keys: impl IntoIterator<Item = &'k str>) -> String {
    let keys: Vec<String> = keys.into_iter().map(|key| format!("/{key}")).collect();
    json!({"s3_bucket": bucket, "s3_objects": keys}).to_string()
}

/// What Lambda hands to `start` for messages with these texts. Each is a new one: an old id and an old time would be the
/// old execution, or the old clock.
pub(crate) fn announcement(topic: &str, texts: impl IntoIterator<Item = String>, now: Timestamp) -> Value {
    let record = |text| {
        json!({
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": format!("{topic}:windrow"),
            "Sns": {
                "Type": "Notification",
                "MessageId": message_id(),
                "TopicArn": topic,
                "Subject": null,
                "Message": text,
                // As SNS writes it: to the millisecond.
                "Timestamp": format!("{now:.3}"),
                "SignatureVersion": "1",
                "Signature": "",
                "SigningCertUrl": "",
                "UnsubscribeUrl": "",
                "MessageAttributes": {},
            },
        })
    };
    json!({"Records": texts.into_iter().map(record).collect::<Vec<_>>()})
}

/// What S3 tells of a result that was written. Its key has only characters that stand for themselves there.
pub(crate) fn notification(region: &str, bucket: &str, key: &str, now: Timestamp) -> Value {
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": format!("{now:.3}"),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "windrow"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "windrow",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "windrow"}, "arn": format!("arn:aws:s3:::{bucket}")},
            "object": {"key": key},
        },
    }]})
}

/// A random UUID, as SNS's ids are.
fn message_id() -> String {
    let version_and_variant = 0x0000_0000_0000_4000_8000_0000_0000_0000;
    let bits = fastrand::u128(..) & !0x0000_0000_0000_f000_c000_0000_0000_0000 | version_and_variant;
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
    parts.join("-")
}

/// The time of a new message.
#[expect(
    clippy::disallowed_methods,
    reason = "the command is who publishes here: this is the message's own time"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_and_no_two_are_equal() {
        let ids = [message_id(), message_id()];
        assert_ne!(ids[0], ids[1]);
        for id in ids {
            let parts: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
            assert_eq!(id.as_bytes()[14], b'4', "{id}");
            assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
    }

    #[test]
    fn an_announcement_is_a_message_of_its_own_with_the_old_text() {
        let text = message("b", ["p/input/a.csv"]);
        assert_eq!(text, r#"{"s3_bucket":"b","s3_objects":["/p/input/a.csv"]}"#);
        let now = "2026-11-24T01:02:03.123456Z".parse().unwrap();
        let event = announcement("arn:aws:sns:us-east-1:1:t", [text.clone(), text.clone()], now);
        let sns = |at: usize| &event["Records"][at]["Sns"];
        assert_eq!(sns(0)["Message"], text);
        assert_eq!(sns(0)["Timestamp"], "2026-11-24T01:02:03.123Z");
        assert_ne!(sns(0)["MessageId"], sns(1)["MessageId"]);
    }

    #[test]
    fn what_the_function_refuses_does_not_pass() {
        for (name, passes) in [
            ("", true),
            ("ExecutionsNotStarted", true),
            ("Sandbox.Timedout", true),
            ("InvalidMessage", false),
            ("WrongBucket", false),
        ] {
            let failed = Failed { name: name.to_owned(), reason: String::new() };
            assert_eq!(failed.may_pass(), passes, "{name}");
        }
    }

    #[test]
    fn a_failure_is_told_in_the_functions_words() {
        let failed = failure(br#"{"errorType":"WrongBucket","errorMessage":"names another"}"#);
        assert_eq!(failed.to_string(), "WrongBucket: names another");
        assert_eq!(failure(b"out of memory").to_string(), "out of memory");
    }
}
