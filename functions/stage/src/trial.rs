//! What `stage` may do, tried.

use role::Access;
use store::{Condition, Kind, Put, Store, StoreError};
use tokio::io::AsyncReadExt;
use window::probe::{self, Action, Trial};
use window::{ETag, ObjectKey};

use crate::Stage;

impl<O: Store, T: Store, R: Access> Stage<O, T, R> {
    pub(crate) async fn trials(&self) -> Vec<Trial> {
        let mut trials = vec![Trial::new(Action::WriteStaging, self.try_staging().await)];
        let granted = self.role.granted_anew().await;
        let is_granted = granted.is_ok();
        trials.push(Trial::new(Action::AssumeRole, granted.map(|()| None)));
        if !is_granted {
            return trials;
        }
        let input = self.config.source_prefix.input();
        let first = self.theirs.first(&input).await;
        trials.push(Trial::new(Action::ListInput, first.as_ref().map(|_| None)));
        let first = first.ok().flatten().unwrap_or_else(|| probe::key(&input));
        trials.push(Trial::new(Action::ReadInput, self.try_reading(first).await));
        // Of a key that is not there, S3 tells those only who may read it.
        let slashed = self.theirs.head(&probe::key(&input).with_leading_slash()).await;
        trials.push(Trial::new(Action::ReadSlashedInput, slashed.map(|_| None)));
        trials
    }

    /// A write on a condition that cannot hold: whether it is allowed shows all the same, and nothing is written.
    async fn try_staging(&self) -> Result<Option<String>, StoreError> {
        for folder in ["staging/", "rejected/"] {
            let key = probe::key(folder);
            let put = Put {
                key: &key,
                condition: &Condition::Replace(ETag::from("none")),
                bytes: Some(0),
                content_type: "text/plain",
                metadata: &[],
                acl: None,
            };
            self.ours.head(&key).await?;
            self.ours.put(put, Box::new(tokio::io::empty())).await?;
        }
        Ok(None)
    }

    /// The beginning of a real object, for its bucket may have a key that must be used, too.
    async fn try_reading(&self, key: ObjectKey) -> Result<Option<String>, StoreError> {
        let Some(mut object) = self.theirs.get(&key, None).await? else {
            return Ok(Some("no file lies there yet, so none was read".to_owned()));
        };
        let read = object.body.read(&mut [0; 1024]).await;
        read.map(|_| Some(format!("`{key}`"))).map_err(|error| StoreError {
            kind: Kind::Unavailable,
            operation: "GetObject",
            bucket: self.config.source_bucket.clone(),
            key: key.to_string(),
            detail: error.to_string(),
        })
    }
}
