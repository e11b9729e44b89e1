//! The Lambda function `merge`: see the library beside it.

use aws_config::BehaviorVersion;
use lambda_runtime::{LambdaEvent, service_fn, tracing};
use merge::{Config, Merge};
use store::S3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let config = Config::read(&settings::environment())
        .inspect_err(|error| tracing::error!(%error, "merge cannot start"))?;
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let merge = Merge { ours: S3::new(aws_sdk_s3::Client::new(&aws), config.bucket.clone()), config };
    let handle = async |event: LambdaEvent<_>| merge.answer(event.payload).await;
    lambda_runtime::run(service_fn(handle)).await
}
