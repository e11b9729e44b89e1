//! What `deliver` may do, tried.

use role::Access;
use store::{Condition, Put, Store, StoreError};
use window::ObjectKey;
use window::probe::{self, Action, Trial};

use crate::Deliver;

/// What the object on trial holds.
const CONTENT: &[u8] = b"Written by Windrow to see whether it may. It can be removed.\n";

impl<O: Store, T: Store, R: Access> Deliver<O, T, R> {
    pub(crate) async fn trials(&self) -> Vec<Trial> {
        let mut trials = vec![Trial::new(Action::ReadOutput, self.try_reading().await)];
        let granted = self.role.granted_anew().await;
        let is_granted = granted.is_ok();
        trials.push(Trial::new(Action::AssumeRole, granted.map(|()| None)));
        if !is_granted {
            return trials;
        }
        let destination = probe::key(&self.config.source_prefix.output());
        let written = self.try_writing(&destination).await;
        let is_written = written.is_ok();
        trials.push(Trial::new(Action::WriteDestination, written));
        // Looking at what is not there would fail for another reason.
        if is_written {
            let seen = self.theirs.head(&destination).await;
            trials.push(Trial::new(Action::HeadDestination, seen.map(|_| None)));
        }
        trials
    }

    async fn try_reading(&self) -> Result<Option<String>, StoreError> {
        let first = self.ours.first(&format!("output/{}", self.config.output_prefix)).await?;
        let Some(key) = first else {
            return Ok(Some("no result lies there yet, so none was read".to_owned()));
        };
        self.ours.get(&key, None).await?;
        Ok(Some(format!("`{key}`")))
    }

    async fn try_writing(&self, destination: &ObjectKey) -> Result<Option<String>, StoreError> {
        let put = Put {
            key: destination,
            condition: &Condition::Overwrite,
            bytes: Some(CONTENT.len() as u64),
            content_type: "text/plain",
            metadata: &[],
            acl: self.config.destination_acl.as_deref(),
        };
        self.theirs.put(put, Box::new(CONTENT)).await?;
        Ok(Some(format!("`{destination}` stays there, as Windrow may remove nothing")))
    }
}
