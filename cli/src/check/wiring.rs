//! Whether everything is connected as the template means it: subscription, permissions, notification, reader, queue.

use aws_sdk_iam::types::PolicyEvaluationDecisionType;
use aws_sdk_lambda::operation::get_policy::GetPolicyError;
use aws_sdk_s3::types::S3KeyFilter;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::{Finding, Report};
use crate::aws::Error;
use crate::{Aws, Session, Stack};

pub(super) async fn check(session: &Session, report: &mut Report<'_>) {
    let Session { aws, stack, .. } = session;
    report.add(found("the topic may call start", start_permission(aws, stack).await));
    report.add(found("start is subscribed to the topic", subscription(aws, stack).await));
    report.add(found("our bucket, and no other, may call deliver", deliver_permission(aws, stack).await));
    report.add(found("our bucket tells deliver of new results", notification(aws, stack).await));
    report.add(found(
        "the reader's account, and no other, may assume the reader role",
        reader_trust(aws, stack).await,
    ));
    report.add(found("the reader role reads results and nothing else", reader_rights(aws, stack).await));
    report.add(found("dead letters", letters(aws, stack).await));
}

/// What was looked at: well, with a detail, or not, with a detail and a remedy; an error where it could not be looked at.
type Looked = Result<Result<String, (String, String)>, Error>;

fn found(check: &str, looked: Looked) -> Finding {
    match looked {
        Ok(Ok(detail)) => Finding::good(check, detail),
        Ok(Err((detail, remedy))) => Finding::bad(check, detail, remedy),
        Err(error) => Finding::unknown(check, error.to_string(), ""),
    }
}

const DEPLOY: &str = "On our side: it was changed by hand. Deploy again with any parameter changed and changed back, or \
                      undo the change (CloudFormation's drift detection shows it).";

async fn function_arn(aws: &Aws, stack: &Stack, output: &str) -> Result<String, Error> {
    let answer = aws.lambda().get_function_configuration().function_name(stack.output(output)?).send().await;
    let answer = answer.map_err(|error| aws.failed("lambda:GetFunctionConfiguration", &error))?;
    Ok(answer.function_arn.unwrap_or_default())
}

/// The statements of a function's own policy that let a service invoke it.
async fn invokers(aws: &Aws, stack: &Stack, output: &str) -> Result<Vec<Value>, Error> {
    let answer = aws.lambda().get_policy().function_name(stack.output(output)?).send().await;
    let policy = match answer {
        Ok(answer) => answer.policy.unwrap_or_default(),
        Err(error)
            if error.as_service_error().is_some_and(GetPolicyError::is_resource_not_found_exception) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(aws.failed("lambda:GetPolicy", &error)),
    };
    Ok(statements(&policy).into_iter().filter(|statement| statement["Effect"] == "Allow").collect())
}

fn statements(policy: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

/// The value of a condition's key, whatever its operator, and whatever the case of the key.
fn condition<'a>(statement: &'a Value, key: &str) -> Option<&'a str> {
    let operators = statement.get("Condition")?.as_object()?;
    operators.values().find_map(|keys| {
        keys.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?.1.as_str()
    })
}

async fn start_permission(aws: &Aws, stack: &Stack) -> Looked {
    let topic = stack.parameter("SourceTopicArn");
    let invokers = invokers(aws, stack, "StartFunctionName").await?;
    let of_topic = invokers.iter().any(|statement| condition(statement, "AWS:SourceArn") == Some(topic));
    let others =
        invokers.iter().filter(|statement| condition(statement, "AWS:SourceArn") != Some(topic)).count();
    Ok(match (of_topic, others) {
        (true, 0) => Ok(topic.to_owned()),
        (true, others) => Err((
            format!("it may, but {others} others may too"),
            format!("{DEPLOY} `aws lambda get-policy` shows them."),
        )),
        (false, _) => Err((format!("{topic} may not"), DEPLOY.to_owned())),
    })
}

async fn subscription(aws: &Aws, stack: &Stack) -> Looked {
    let topic = stack.parameter("SourceTopicArn");
    let region = topic.split(':').nth(3).unwrap_or(&aws.region);
    let start = function_arn(aws, stack, "StartFunctionName").await?;
    let sns = aws.sns(region);
    let is_theirs = stack.parameter("ExistingSubscription") == "true";
    let mut pages = sns.list_subscriptions().into_paginator().send();
    let mut found = None;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| aws.failed("sns:ListSubscriptions", &error))?;
        let ours = page.subscriptions.unwrap_or_default().into_iter();
        found = found.or(ours.into_iter().find(|one| {
            one.topic_arn.as_deref() == Some(topic) && one.endpoint.as_deref() == Some(start.as_str())
        }));
    }
    let subscribe = format!(
        "aws sns subscribe --region {region} --topic-arn {topic} --protocol lambda --notification-endpoint {start}"
    );
    let Some(found) = found else {
        if is_theirs {
            // The subscription is the publisher's own, which nobody else may see.
            return Err(Error::Other(format!(
                "ExistingSubscription=true: the publisher subscribes for us, which cannot be seen from here. On their \
                 side: `{subscribe}`"
            )));
        }
        let remedy = format!(
            "On the publisher's side: the topic's policy must let account {} `sns:Subscribe`. Then, on ours: \
             `{subscribe}`, or delete the stack and deploy it again.",
            aws.account
        );
        return Ok(Err((format!("there is no subscription of {start}"), remedy)));
    };
    let arn = found.subscription_arn.unwrap_or_default();
    if !arn.starts_with("arn:") {
        let remedy = format!("On the publisher's side: confirm it, or subscribe for us: `{subscribe}`");
        return Ok(Err((format!("it is not confirmed ({arn})"), remedy)));
    }
    let attributes = sns.get_subscription_attributes().subscription_arn(&arn).send().await;
    let attributes = attributes.map_err(|error| aws.failed("sns:GetSubscriptionAttributes", &error))?;
    let attributes = attributes.attributes.unwrap_or_default();
    let is = |name: &str, value: &str| attributes.get(name).is_some_and(|found| found == value);
    let set = |name: &str, value: &str| {
        format!(
            "On our side: `aws sns set-subscription-attributes --region {region} --subscription-arn {arn} \
             --attribute-name {name} --attribute-value {value}`"
        )
    };
    if is("PendingConfirmation", "true") {
        return Ok(Err((
            "it is not confirmed".to_owned(),
            format!("On the publisher's side: `{subscribe}`"),
        )));
    }
    if let Some(filter) =
        attributes.get("FilterPolicy").filter(|filter| !filter.is_empty() && *filter != "{}")
    {
        let detail = format!("its filter policy lets only some messages through: {filter}");
        return Ok(Err((detail, set("FilterPolicy", "'{}'"))));
    }
    Ok(Ok(arn))
}

async fn deliver_permission(aws: &Aws, stack: &Stack) -> Looked {
    let bucket = stack.output("BucketName")?;
    let is_ours = |statement: &Value| {
        condition(statement, "AWS:SourceArn").is_some_and(|arn| arn.ends_with(&format!(":s3:::{bucket}")))
            && condition(statement, "AWS:SourceAccount") == Some(aws.account.as_str())
    };
    let invokers = invokers(aws, stack, "DeliverFunctionName").await?;
    let others = invokers.iter().filter(|statement| !is_ours(statement)).count();
    Ok(match (invokers.iter().any(is_ours), others) {
        (true, 0) => Ok(bucket.to_owned()),
        (true, others) => Err((
            format!("it may, but {others} others may too"),
            format!("{DEPLOY} `aws lambda get-policy` shows them."),
        )),
        (false, _) => Err((format!("{bucket} may not"), DEPLOY.to_owned())),
    })
}

async fn notification(aws: &Aws, stack: &Stack) -> Looked {
    let bucket = stack.output("BucketName")?;
    let deliver = function_arn(aws, stack, "DeliverFunctionName").await?;
    let answer = aws.s3().get_bucket_notification_configuration().bucket(bucket).send().await;
    let answer = answer.map_err(|error| aws.failed("s3:GetBucketNotification", &error))?;
    let prefix = format!("output/{}", stack.parameter("OutputPrefix"));
    let is_meant = answer.lambda_function_configurations().iter().any(|configuration| {
        let rules = configuration.filter().and_then(|filter| filter.key()).map(S3KeyFilter::filter_rules);
        configuration.lambda_function_arn() == deliver
            && configuration.events().iter().any(|event| event.as_str() == "s3:ObjectCreated:*")
            && rules.unwrap_or_default().iter().any(|rule| rule.value() == Some(&prefix))
    });
    Ok(if is_meant {
        Ok(format!("{bucket}/{prefix}"))
    } else {
        Err((format!("{bucket} has no such notification"), DEPLOY.to_owned()))
    })
}

/// The ARN of a role of the stack.
pub(super) async fn role_arn(aws: &Aws, stack: &Stack, logical_id: &str) -> Result<String, Error> {
    Ok(role(aws, stack, logical_id).await?.arn)
}

async fn role(aws: &Aws, stack: &Stack, logical_id: &str) -> Result<aws_sdk_iam::types::Role, Error> {
    let answer = aws.iam().get_role().role_name(stack.resource(logical_id)?).send().await;
    let answer = answer.map_err(|error| aws.failed("iam:GetRole", &error))?;
    answer.role.ok_or_else(|| Error::Other(format!("IAM tells nothing of the role {logical_id}")))
}

/// What IAM says of a role's own policies.
pub(super) async fn may(aws: &Aws, role: &str, action: &str, resource: &str) -> Result<bool, Error> {
    let simulated = aws.iam().simulate_principal_policy().policy_source_arn(role);
    let simulated = simulated.action_names(action).resource_arns(resource).send().await;
    let simulated = simulated.map_err(|error| aws.failed("iam:SimulatePrincipalPolicy", &error))?;
    let mut results = simulated.evaluation_results.unwrap_or_default().into_iter();
    Ok(results.all(|result| result.eval_decision == PolicyEvaluationDecisionType::Allowed))
}

async fn reader_trust(aws: &Aws, stack: &Stack) -> Looked {
    let role = role(aws, stack, "ReaderRole").await?;
    let document = role.assume_role_policy_document.unwrap_or_default();
    // In IAM's answers policies are percent-encoded.
    let document = percent_decoded(&document);
    let (account, external_id) = (stack.parameter("ReaderAccountId"), stack.parameter("ReaderExternalId"));
    let is_meant = |statement: &Value| {
        let principal = statement.pointer("/Principal/AWS").and_then(Value::as_str).unwrap_or_default();
        let of_account = principal == account || principal.ends_with(&format!(":iam::{account}:root"));
        let wanted = condition(statement, "sts:ExternalId").unwrap_or_default();
        of_account && wanted == external_id
    };
    let statements = statements(&document);
    Ok(if !statements.is_empty() && statements.iter().all(is_meant) {
        let with = if external_id.is_empty() { "without an external id" } else { "with the external id" };
        Ok(format!("{account}, {with}: {}", role.arn))
    } else {
        Err((format!("its trust policy is another than meant: {document}"), DEPLOY.to_owned()))
    })
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

async fn reader_rights(aws: &Aws, stack: &Stack) -> Looked {
    let role = role_arn(aws, stack, "ReaderRole").await?;
    let partition = role.split(':').nth(1).unwrap_or("aws");
    let bucket = format!("arn:{partition}:s3:::{}", stack.output("BucketName")?);
    let result = format!("{bucket}/output/{}20210101T000000Z.parquet", stack.parameter("OutputPrefix"));
    if !may(aws, &role, "s3:GetObject", &result).await? {
        return Ok(Err(("it may not read them".to_owned(), DEPLOY.to_owned())));
    }
    let forbidden = [
        ("s3:GetObject", format!("{bucket}/staging/x")),
        ("s3:GetObject", format!("{bucket}/rejected/x")),
        ("s3:PutObject", result.clone()),
        ("s3:DeleteObject", result),
    ];
    for (action, resource) in forbidden {
        if may(aws, &role, action, &resource).await? {
            return Ok(Err((format!("it may {action} {resource}, too"), DEPLOY.to_owned())));
        }
    }
    Ok(Ok(format!("output/{}*", stack.parameter("OutputPrefix"))))
}

async fn letters(aws: &Aws, stack: &Stack) -> Looked {
    let answer = aws.sqs().get_queue_attributes().queue_url(stack.output("DeadLettersUrl")?);
    let answer = answer.attribute_names(QueueAttributeName::ApproximateNumberOfMessages).send().await;
    let answer = answer.map_err(|error| aws.failed("sqs:GetQueueAttributes", &error))?;
    let count =
        answer.attributes.and_then(|mut all| all.remove(&QueueAttributeName::ApproximateNumberOfMessages));
    Ok(Ok(match count.as_deref() {
        Some("0") => "none".to_owned(),
        count => format!("{} to look at: `just redrive --dry-run`", count.unwrap_or("an unknown number")),
    }))
}
