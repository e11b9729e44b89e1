//! The Lambda function `start`: see the library beside it.

use aws_config::BehaviorVersion;
use lambda_runtime::{LambdaEvent, service_fn, tracing};
use start::Config;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let config = Config::read(&settings::environment())
        .inspect_err(|error| tracing::error!(%error, "start cannot start"))?;
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let step_functions = aws_sdk_sfn::Client::new(&aws);
    let handle = async |event: LambdaEvent<_>| start::handle(&config, &step_functions, event.payload).await;
    lambda_runtime::run(service_fn(handle)).await
}
