//! What `merge` may do, tried.

use store::{Condition, Put, Store, StoreError};
use window::ETag;
use window::probe::{self, Action, Trial};

use crate::Merge;

impl<O: Store> Merge<O> {
    pub(crate) async fn trials(&self) -> Vec<Trial> {
        let (read, written) = (self.try_reading().await, self.try_writing().await);
        vec![Trial::new(Action::ReadStaging, read), Trial::new(Action::WriteOutput, written)]
    }

    async fn try_reading(&self) -> Result<Option<String>, StoreError> {
        let Some(key) = self.ours.first("staging/").await? else {
            return Ok(Some("no fragment lies there yet, so none was read".to_owned()));
        };
        self.ours.get(&key, None).await?;
        Ok(Some(format!("`{key}`")))
    }

    /// On a condition that cannot hold: whether it is allowed shows all the same, and nothing is written.
    async fn try_writing(&self) -> Result<Option<String>, StoreError> {
        let key = probe::key(&format!("output/{}", self.config.output_prefix));
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
        Ok(None)
    }
}
