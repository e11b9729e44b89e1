//! One window of five minutes, its files, and a role that needs nobody's consent.

use role::{Access, RoleError};
use serde_json::{Value, json};
use window::ObjectKey;

pub(crate) struct Granted;

impl Access for Granted {
    async fn granted(&self) -> Result<(), RoleError> {
        Ok(())
    }
}

pub(crate) fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "BUCKET" => "ours",
        "OUTPUT_PREFIX" => "ms-",
        "STACK_NAME" => "windrow",
        "SOURCE_BUCKET" => "theirs",
        "SOURCE_PREFIX" => "p",
        "SOURCE_ROLE_ARN" => "arn:aws:iam::111111111111:role/windrow",
        _ => return None,
    };
    Some(value.to_owned())
}

pub(crate) fn window(minutes: u8) -> Value {
    json!({
        "id": "20210101T180000Z", "start": "2021-01-01T18:00:00Z", "end": format!("2021-01-01T18:{minutes:02}:00Z"),
        "minutes": minutes,
    })
}

pub(crate) fn output() -> ObjectKey {
    "output/ms-20210101T180000Z.parquet".parse().unwrap()
}

/// A time in the window, so many seconds after its first minute.
pub(crate) fn time(second: u8) -> String {
    format!("2021-01-01T18:{:02}:{:02}Z", 1 + second / 60, second % 60)
}

pub(crate) fn source(second: u8) -> ObjectKey {
    format!("p/input/{}.csv", time(second)).parse().unwrap()
}
