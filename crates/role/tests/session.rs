//! The publisher's role against what STS really answers: lent once, renewed in time, refused by name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::error::ErrorMetadata;
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use aws_sdk_sts::types::Credentials;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use role::{Access, PublisherRole, RoleConfig};
use window::Failure;

const ROLE: &str = "arn:aws:iam::111111111111:role/windrow";

fn config() -> RoleConfig {
    RoleConfig {
        arn: ROLE.to_owned(),
        external_id: Some("between-us".to_owned()),
        session_name: role::session_name("stage", "prod", Some("2026/11/24/[$LATEST]0123456789abcdef01")),
        policy: role::reading(ROLE, &"theirs".parse().unwrap(), "p/input/"),
    }
}

#[expect(clippy::disallowed_methods, reason = "credentials end by the wall clock")]
fn lent(number: u32, for_seconds: u64) -> AssumeRoleOutput {
    let expiry = SystemTime::now() + Duration::from_secs(for_seconds);
    let credentials = Credentials::builder()
        .access_key_id(format!("key{number}"))
        .secret_access_key("secret")
        .session_token("token")
        .expiration(expiry.into());
    AssumeRoleOutput::builder().credentials(credentials.build().unwrap()).build()
}

async fn key_of(role: &PublisherRole) -> String {
    role.granted().await.unwrap();
    role.provide_credentials().await.unwrap().access_key_id().to_owned()
}

#[tokio::test]
async fn a_session_names_itself_is_narrowed_and_is_lent_once() {
    let rule = mock!(Client::assume_role)
        .match_requests(|request| {
            request.role_arn() == Some(ROLE)
                && request.external_id() == Some("between-us")
                && request.role_session_name() == Some("windrow-stage-prod-0123456789abcdef")
                && request.duration_seconds() == Some(3600)
                && request.policy().is_some_and(|policy| policy.contains("theirs/p/input/*"))
        })
        .then_output(|| lent(1, 3600));
    let lent_to_us = PublisherRole::new(mock_client!(aws_sdk_sts, [&rule]), config());
    for _ in 0..3 {
        assert_eq!(key_of(&lent_to_us.clone()).await, "key1");
    }
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn credentials_that_end_within_five_minutes_are_renewed() {
    let first = mock!(Client::assume_role).then_output(|| lent(1, 299));
    let second = mock!(Client::assume_role).then_output(|| lent(2, 310));
    let sts = mock_client!(aws_sdk_sts, RuleMode::Sequential, [&first, &second]);
    let role = PublisherRole::new(sts, config());
    role.granted().await.unwrap();
    assert_eq!((first.num_calls(), second.num_calls()), (1, 0));
    assert_eq!(key_of(&role).await, "key2");
    assert_eq!(key_of(&role).await, "key2");
}

#[tokio::test]
async fn on_trial_the_role_is_asked_for_anew() {
    let first = mock!(Client::assume_role).then_output(|| lent(1, 3600));
    let second = mock!(Client::assume_role).then_output(|| lent(2, 3600));
    let sts = mock_client!(aws_sdk_sts, RuleMode::Sequential, [&first, &second]);
    let role = PublisherRole::new(sts, config());
    assert_eq!(key_of(&role).await, "key1");
    role.granted_anew().await.unwrap();
    assert_eq!(key_of(&role).await, "key2");
}

#[tokio::test]
async fn a_refusal_is_told_from_silence() {
    for (code, failure) in [
        ("AccessDenied", Failure::RoleDenied),
        ("RegionDisabledException", Failure::RoleDenied),
        ("Throttling", Failure::RoleUnavailable),
    ] {
        let rule = mock!(Client::assume_role)
            .then_error(move || AssumeRoleError::generic(ErrorMetadata::builder().code(code).build()));
        let lent_to_us = PublisherRole::new(mock_client!(aws_sdk_sts, [&rule]), config());
        let error = lent_to_us.granted().await.unwrap_err();
        assert_eq!(error.failure(), failure, "{code}");
        assert!(error.to_string().contains(ROLE), "{error}");
    }
}
