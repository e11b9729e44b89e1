//! What the functions may do, as they find by trying.

use aws_sdk_lambda::primitives::Blob;
use serde_json::{Value, json};
use window::probe::{Action, Answer, PROBE, Trial};

use super::{Finding, Report};
use crate::aws::Error;
use crate::{Aws, Session, Stack};

/// The functions that try, in the order of the data. `start` can only start executions, which would not be trying.
const TRYING: [&str; 3] = ["Stage", "Merge", "Deliver"];

pub(super) async fn check(session: &Session, report: &mut Report<'_>) {
    report.add(starting(session).await);
    for function in TRYING {
        match trials(session, function).await {
            Ok(trials) => {
                for trial in trials {
                    report.add(finding(session, function, trial));
                }
            }
            Err(finding) => report.add(finding),
        }
    }
}

/// Asks IAM whether `start` may start executions.
async fn starting(session: &Session) -> Finding {
    const CHECK: &str = "start may start executions";
    let Session { aws, stack, .. } = session;
    match may_start(aws, stack).await {
        Ok(true) => Finding::good(CHECK, "as IAM says of its role"),
        Ok(false) => Finding::bad(CHECK, "IAM says of its role that it may not", ours()),
        Err(error) => Finding::unknown(CHECK, error.to_string(), ""),
    }
}

async fn may_start(aws: &Aws, stack: &Stack) -> Result<bool, Error> {
    let role = super::wiring::role_arn(aws, stack, "StartRole").await?;
    let machine = stack.output("StateMachineArn")?;
    super::wiring::may(aws, &role, "states:StartExecution", machine).await
}

async fn trials(session: &Session, function: &str) -> Result<Vec<Trial>, Finding> {
    let Session { aws, stack, .. } = session;
    let check = format!("{} runs", function.to_lowercase());
    let unknown = |error: Error| Finding::unknown(&check, error.to_string(), "");
    let name = stack.output(&format!("{function}FunctionName")).map_err(unknown)?;
    let answer = aws.lambda().invoke().function_name(name).payload(Blob::new(PROBE)).send().await;
    let answer = answer.map_err(|error| unknown(aws.failed("lambda:InvokeFunction", &error)))?;
    let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
    let remedy = "On our side: its log says why. `aws logs tail --since 10m` its log group, or deploy again.";
    match (answer.function_error, serde_json::from_slice(&payload)) {
        (None, Ok(Answer::<Value>::Probed { trials })) => Ok(trials),
        (None, _) => Err(Finding::bad(
            check,
            "it does not know how to try: it is older than this command",
            "Deploy again: `just deploy`.",
        )),
        (Some(_), _) => Err(Finding::bad(check, String::from_utf8_lossy(&payload), remedy)),
    }
}

fn finding(session: &Session, function: &str, trial: Trial) -> Finding {
    let check = format!("{} {}", function.to_lowercase(), meaning(trial.action));
    match trial.error {
        None => Finding::good(check, trial.note.unwrap_or_default()),
        Some(error) => Finding::bad(check, error, remedy(session, trial.action)),
    }
}

fn meaning(action: Action) -> &'static str {
    match action {
        Action::AssumeRole => "assumes the publisher's role",
        Action::ListInput => "lists the publisher's input/",
        Action::ReadInput => "reads the publisher's input/",
        Action::ReadSlashedInput => "reads the publisher's input/ where keys begin with a slash",
        Action::WriteStaging => "writes staging/ and rejected/",
        Action::ReadStaging => "lists and reads staging/",
        Action::WriteOutput => "writes output/",
        Action::ReadOutput => "reads output/",
        Action::WriteDestination => "writes the publisher's output/",
        Action::HeadDestination => "looks at the publisher's output/",
    }
}

fn ours() -> String {
    "On our side: deploy again (`just deploy`) if a role or a policy was changed by hand. Else something above the \
     stack denies it: a service control policy, or a permissions boundary."
        .to_owned()
}

/// What the publisher has to paste, with our values in it.
fn remedy(session: &Session, action: Action) -> String {
    let Session { aws, stack, .. } = session;
    let role = stack.parameter("SourceRoleArn");
    let partition = role.split(':').nth(1).unwrap_or("aws");
    let (bucket, prefix) = (stack.parameter("SourceBucket"), stack.parameter("SourcePrefix"));
    let bucket_arn = format!("arn:{partition}:s3:::{bucket}");
    let allow = |actions: &[&str], resources: &[String]| {
        let statement = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
        format!(
            "On the publisher's side: the role {role} needs this statement in its policy, and no policy of the bucket \
             may deny it:\n{statement}"
        )
    };
    match action {
        Action::AssumeRole => {
            let external_id = stack.parameter("SourceExternalId");
            let mut statement = json!({
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:{}:iam::{}:root", partition, aws.account)},
                "Action": "sts:AssumeRole",
            });
            if !external_id.is_empty() {
                statement["Condition"] = json!({"StringEquals": {"sts:ExternalId": external_id}});
            }
            format!(
                "On the publisher's side: the role {role} must exist, and needs this statement in its trust policy:\n\
                 {statement}\nOn our side: SourceRoleArn and SourceExternalId must be what the publisher has told us; \
                 `just deploy SourceExternalId=…` changes it."
            )
        }
        Action::ListInput => allow(&["s3:ListBucket"], &[bucket_arn]),
        Action::ReadInput => {
            allow(&["s3:GetObject"], &[format!("{bucket_arn}/{prefix}/input/*")])
                + "\nIf the bucket has a KMS key of its own, also kms:Decrypt on that key."
        }
        Action::ReadSlashedInput => allow(&["s3:GetObject"], &[format!("{bucket_arn}//{prefix}/input/*")]),
        Action::WriteDestination => {
            let acl = if stack.parameter("DestinationAcl").is_empty() { "" } else { "s3:PutObjectAcl" };
            let actions = ["s3:PutObject", "s3:AbortMultipartUpload", acl];
            let actions: Vec<&str> = actions.into_iter().filter(|action| !action.is_empty()).collect();
            allow(&actions, &[format!("{bucket_arn}/{prefix}/output/*")])
                + "\nIf the bucket has a KMS key of its own, also kms:GenerateDataKey and kms:Decrypt on that key."
        }
        Action::HeadDestination => allow(&["s3:GetObject"], &[format!("{bucket_arn}/{prefix}/output/*")]),
        Action::WriteStaging | Action::ReadStaging | Action::WriteOutput | Action::ReadOutput => ours(),
    }
}
