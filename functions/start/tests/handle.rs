//! `start` against what Step Functions really answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_sfn::operation::start_execution::{StartExecutionError, StartExecutionOutput};
use aws_sdk_sfn::types::error::{ExecutionAlreadyExists, ExecutionLimitExceeded};
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use serde_json::{Value, json};
use settings::Settings;
use start::{Config, Error, Output, handle};

fn config() -> Config {
    Config::read(&Settings::from_lookup(|name: &str| {
        let value = match name {
            "STATE_MACHINE_ARN" => "arn:aws:states:us-east-1:222222222222:stateMachine:windrow",
            "SOURCE_BUCKET" => "macroscope-interviews",
            "STACK_NAME" => "windrow",
            "SOURCE_PREFIX" => "infra-eng/x",
            "WINDOW_MINUTES" => "5",
            "GRACE_SECONDS" | "MAX_FUTURE_MINUTES" => "60",
            "DEFAULT_OFFSET" => "Z",
            _ => return None,
        };
        Some(value.to_owned())
    }))
    .unwrap()
}

fn event(names: &[&str]) -> Value {
    let keys: Vec<String> = names.iter().map(|name| format!("/infra-eng/x/input/{name}")).collect();
    let message = json!({"s3_bucket": "arn:aws:s3:::macroscope-interviews", "s3_objects": keys});
    json!({"Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:us-east-1:111111111111:files:1",
        "Sns": {
            "Type": "Notification",
            "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
            "TopicArn": "arn:aws:sns:us-east-1:111111111111:files",
            "Subject": null,
            "Message": message.to_string(),
            "Timestamp": "2021-01-01T18:02:00.123Z",
            "SignatureVersion": "1",
            "Signature": "x",
            "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/x.pem",
            "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?x",
            "MessageAttributes": {},
        },
    }]})
}

fn started() -> StartExecutionOutput {
    StartExecutionOutput::builder()
        .execution_arn("arn")
        .start_date(aws_sdk_sfn::primitives::DateTime::from_secs(0))
        .build()
        .unwrap()
}

#[tokio::test]
async fn starts_one_execution_per_window_with_the_inputs_own_name() {
    let rule = mock!(aws_sdk_sfn::Client::start_execution)
        .match_requests(|request| {
            let input: Value = serde_json::from_str(request.input().unwrap()).unwrap();
            request.state_machine_arn() == Some("arn:aws:states:us-east-1:222222222222:stateMachine:windrow")
                && request.name().unwrap().starts_with(input["window"]["id"].as_str().unwrap())
                && request.name().unwrap().len() == 49
                && input["message"]["timestamp"] == "2021-01-01T18:02:00.123Z"
        })
        .then_output(started);
    let client = mock_client!(aws_sdk_sfn, RuleMode::MatchAny, [&rule]);
    let event = event(&["2021-01-01T18:01:00Z.csv", "2021-01-01T18:04:59Z.csv", "2021-01-01T18:05:00Z.csv"]);
    assert_eq!(handle(&config(), &client, event).await.unwrap(), Output { executions: 2, files: 3 });
    assert_eq!(rule.num_calls(), 2);
}

#[tokio::test]
async fn an_execution_that_exists_is_one_that_was_started() {
    let rule = mock!(aws_sdk_sfn::Client::start_execution).then_error(|| {
        StartExecutionError::ExecutionAlreadyExists(ExecutionAlreadyExists::builder().build())
    });
    let client = mock_client!(aws_sdk_sfn, [&rule]);
    let output = handle(&config(), &client, event(&["2021-01-01T18:01:00Z.csv"])).await.unwrap();
    assert_eq!(output, Output { executions: 1, files: 1 });
}

#[tokio::test]
async fn a_bad_file_fails_the_message_after_the_good_ones_were_started() {
    let rule = mock!(aws_sdk_sfn::Client::start_execution).then_output(started);
    let client = mock_client!(aws_sdk_sfn, [&rule]);
    let error =
        handle(&config(), &client, event(&["readme.csv", "2021-01-01T18:01:00Z.csv"])).await.unwrap_err();
    assert!(matches!(error, Error::RefusedFiles { .. }), "{error}");
    assert_eq!(rule.num_calls(), 1);
    let diagnostic = lambda_runtime::Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "RefusedFiles");
    assert_eq!(
        diagnostic.error_message,
        "1 of 2 files were refused, the others are on their way: `readme.csv` is not a time: a time of day is missing \
         (expected `<date>T<time>`, as in `2021-01-01T12:01:31Z`)"
    );
}

#[tokio::test]
async fn an_execution_that_is_not_taken_is_named() {
    let rule = mock!(aws_sdk_sfn::Client::start_execution).then_error(|| {
        StartExecutionError::ExecutionLimitExceeded(
            ExecutionLimitExceeded::builder().message("too many").build(),
        )
    });
    let client = mock_client!(aws_sdk_sfn, [&rule]);
    let error = handle(&config(), &client, event(&["2021-01-01T18:01:00Z.csv"])).await.unwrap_err();
    assert!(matches!(error, Error::ExecutionsNotStarted { .. }), "{error}");
    assert!(error.to_string().contains("`20210101T180000Z-"), "{error}");
    assert!(error.to_string().contains("too many"), "{error}");
}

#[tokio::test]
async fn an_event_of_something_else_is_an_invalid_message() {
    let rule = mock!(aws_sdk_sfn::Client::start_execution).then_output(started);
    let client = mock_client!(aws_sdk_sfn, [&rule]);
    for event in
        [json!({}), json!({"Records": []}), json!({"Records": [{"s3": {}}]}), json!("text"), json!(null)]
    {
        let error = handle(&config(), &client, event.clone()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidMessage { .. }), "{event}: {error}");
    }
    assert_eq!(rule.num_calls(), 0);
}
