//! Listing the publisher's files, and our results.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;
use role::{Access, PublisherRole, RoleConfig};
use window::{Bucket, ObjectKey};

use super::Replay;
use super::plan::Found;
use crate::Session;
use crate::aws::Error;
use crate::report::thousands;

/// Files of `input/`, under either form of the prefix, whose names there begin with `beginning`.
pub(super) async fn list(replay: &Replay<'_>, beginning: &str, found: &mut Found) -> Result<(), Error> {
    let Replay { session, settings, .. } = replay;
    let lister = Lister { replay, bucket: &settings.bucket };
    let input = format!("{}{beginning}", settings.prefix.input());
    let client = client(session, &lister, &input).await?;
    let mut count = 0;
    for prefix in [input.clone(), format!("/{input}")] {
        lister
            .each(&client, &prefix, None, |key| {
                found.add_object(&key);
                count += 1;
                if count % 1000 == 0 {
                    replay.progress.say(&format!("objects listed: {}", thousands(count)));
                }
                true
            })
            .await?;
    }
    Ok(())
}

/// Results of the windows that are asked for; with `of_files`, of those that have files.
pub(super) async fn results(replay: &Replay<'_>, of_files: bool, found: &mut Found) -> Result<(), Error> {
    let Replay { session, settings, .. } = replay;
    let lister = Lister { replay, bucket: session.stack.output("BucketName")? };
    let prefix = format!("output/{}", settings.output);
    // Ids of windows stand in the order of time, so there is no need to list what comes before and after.
    let Some(first) = found.first() else { return Ok(()) };
    let after = format!("{prefix}{first}");
    let last = found.range.to.or_else(|| found.end()).map(|to| {
        let to: String = to.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        format!("{prefix}{to}")
    });
    let keys = |key: String| {
        let within = last.as_ref().is_none_or(|last| key <= *last);
        if let Ok(key) = key.parse::<ObjectKey>()
            && within
        {
            found.add_result(key, &settings.output, of_files);
        }
        within
    };
    lister.each(&session.aws.s3(), &prefix, Some(after), keys).await
}

/// With the publisher's role, as the functions have it; where that is refused, with the operator's own rights.
async fn client(session: &Session, lister: &Lister<'_>, input: &str) -> Result<Client, Error> {
    let with_role = match as_the_role(session, lister.bucket).await {
        Ok(client) => {
            lister.try_out(&client, input).await.map(|()| client).map_err(|error| error.to_string())
        }
        Err(refused) => Err(refused),
    };
    let refused = match with_role {
        Ok(client) => return Ok(client),
        Err(refused) => refused,
    };
    let own = session.aws.s3();
    match lister.try_out(&own, input).await {
        Ok(()) => Ok(own),
        Err(error) => Err(Error::Other(format!(
            "the publisher's bucket `{}` cannot be listed\n  with the publisher's role: {refused}\n  with your own \
             rights: {error}\nEither you need `sts:AssumeRole` of `{}` from whoever administers the account, and that \
             role `s3:ListBucket` from the publisher (the statement TellAbsentFromDenied of docs/publisher.md); or the \
             publisher grants `s3:ListBucket` to you.",
            lister.bucket,
            session.stack.parameter("SourceRoleArn"),
        ))),
    }
}

async fn as_the_role(session: &Session, bucket: &str) -> Result<Client, String> {
    let bucket: Bucket = bucket.parse().map_err(|error: window::name::NameError| error.to_string())?;
    let arn = session.stack.parameter("SourceRoleArn");
    let external_id = session.stack.parameter("SourceExternalId");
    let config = RoleConfig {
        policy: role::listing(arn, &bucket),
        arn: arn.to_owned(),
        external_id: (!external_id.is_empty()).then(|| external_id.to_owned()),
        session_name: role::session_name("replay", &session.stack.name, None),
    };
    let role = PublisherRole::new(aws_sdk_sts::Client::new(&session.aws.config), config);
    role.granted().await.map_err(|error| error.to_string())?;
    let config = aws_sdk_s3::config::Builder::from(&session.aws.config).credentials_provider(role).build();
    Ok(Client::from_conf(config))
}

struct Lister<'a> {
    replay: &'a Replay<'a>,
    bucket: &'a str,
}

impl Lister<'_> {
    async fn try_out(&self, client: &Client, prefix: &str) -> Result<(), Error> {
        let answer = client.list_objects_v2().bucket(self.bucket).prefix(prefix).max_keys(1).send().await;
        answer.map(|_| ()).map_err(|error| self.replay.session.aws.failed("s3:ListBucket", &error))
    }

    /// Hands each key to `take`, until that answers `false`.
    async fn each(
        &self,
        client: &Client,
        prefix: &str,
        after: Option<String>,
        mut take: impl FnMut(String) -> bool,
    ) -> Result<(), Error> {
        // A key may hold what XML cannot.
        let listing =
            client.list_objects_v2().bucket(self.bucket).prefix(prefix).encoding_type(EncodingType::Url);
        let mut pages = listing.set_start_after(after).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.replay.session.aws.failed("s3:ListBucket", &error))?;
            if self.replay.interrupt.asked() {
                return Err(Error::Other("interrupted before anything was announced".to_owned()));
            }
            let encoded = page.encoding_type == Some(EncodingType::Url);
            for object in page.contents.unwrap_or_default() {
                let key = object.key.unwrap_or_default();
                if !take(if encoded { decoded(&key) } else { key }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_are_listed_form_url_encoded() {
        assert_eq!(super::decoded("p/input/a+b%3Ac%2Bd.csv"), "p/input/a b:c+d.csv");
    }
}
