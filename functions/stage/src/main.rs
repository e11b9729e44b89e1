//! The Lambda function `stage`: see the library beside it.

use aws_config::BehaviorVersion;
use aws_sdk_s3::{Client, config::Builder};
use lambda_runtime::{LambdaEvent, service_fn, tracing};
use role::PublisherRole;
use stage::{Config, Stage};
use store::S3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let config = Config::read(&settings::environment())
        .inspect_err(|error| tracing::error!(%error, "stage cannot start"))?;
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let role = PublisherRole::new(aws_sdk_sts::Client::new(&aws), config.role());
    let theirs = Client::from_conf(Builder::from(&aws).credentials_provider(role.clone()).build());
    let stage = Stage {
        ours: S3::new(Client::new(&aws), config.bucket.clone()),
        theirs: S3::new(theirs, config.source_bucket.clone()),
        role,
        config,
    };
    // Boxed: what is going on while a file is staged takes some kilobytes.
    let handle = async |event: LambdaEvent<_>| Box::pin(stage.answer(event.payload)).await;
    lambda_runtime::run(service_fn(handle)).await
}
