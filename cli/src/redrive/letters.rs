//! Dead letters, each replayed by its kind.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{Fate, Line, Redrive};
use crate::aws::Error;
use crate::events::{Answer, Function, announcement, now};

/// For how long the letters are ours alone. A longer replay does no harm: it only shows them to others meanwhile.
const HELD_SECONDS: i32 = 15 * 60;
/// Files of letters in one message.
const KEYS_PER_MESSAGE: usize = 100;
/// Events that are replayed at once.
const AT_ONCE: usize = 8;

/// A letter, and what can be done about it.
#[derive(Debug)]
struct Letter {
    id: String,
    about: String,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// Messages that `start` did not get, or failed on: their texts.
    Messages(Vec<String>),
    /// An event that `deliver` failed on.
    Event(Value),
    /// A file that could not be staged.
    File(File),
    /// Anything else.
    Unknown,
}

/// In this order, the files of a window stand together, and become one execution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    bucket: String,
    window: String,
    key: String,
}

/// Replays every letter of the queue, and deletes those for which that was accepted.
pub(super) async fn replay(redrive: &Redrive<'_>, lines: &mut Vec<Line>) -> Result<(), Error> {
    let mut queue = Queue {
        redrive,
        client: redrive.session.aws.sqs(),
        url: redrive.session.stack.output("DeadLettersUrl")?,
        held: HashMap::new(),
    };
    let outcome = match queue.receive().await {
        Ok(letters) => replay_all(&mut queue, letters, lines).await,
        Err(error) => Err(error),
    };
    // Those that stay are there for the alarm, and for whoever looks next, at once.
    queue.give_back().await;
    outcome
}

async fn replay_all(queue: &mut Queue<'_>, letters: Vec<Letter>, lines: &mut Vec<Line>) -> Result<(), Error> {
    let redrive = queue.redrive;
    let (mut events, mut files) = (Vec::new(), BTreeMap::<File, Vec<Letter>>::new());
    for letter in letters {
        match &letter.kind {
            Kind::Unknown => {
                let reason =
                    "it is no letter of SNS, of Lambda or of Windrow's state machine: look at it by hand";
                redrive.note(lines, letter.line(Fate::Left, reason));
            }
            _ if redrive.dry_run => redrive.note(lines, letter.line(Fate::Planned, "")),
            Kind::File(file) => files.entry(file.clone()).or_default().push(letter),
            Kind::Messages(_) | Kind::Event(_) => events.push(letter),
        }
    }
    replay_events(queue, events, lines).await?;
    replay_files(queue, files.into_iter().collect(), lines).await
}

async fn replay_events(
    queue: &mut Queue<'_>,
    letters: Vec<Letter>,
    lines: &mut Vec<Line>,
) -> Result<(), Error> {
    let redrive = queue.redrive;
    let (all, mut done) = (letters.len(), 0);
    let mut answers = stream::iter(letters)
        .take_while(|_| std::future::ready(!redrive.interrupt.asked()))
        .map(async |letter| {
            let answer = hand_over(redrive, &letter.kind).await;
            (letter, answer)
        })
        .buffered(AT_ONCE);
    while let Some((letter, answer)) = answers.next().await {
        queue.settle(&letter, &answer?, lines).await?;
        done += 1;
        redrive.progress.say(&format!("letters of messages and deliveries: {done} of {all}"));
    }
    Ok(())
}

async fn hand_over(redrive: &Redrive<'_>, kind: &Kind) -> Result<Answer, Error> {
    match kind {
        Kind::Event(event) => redrive.caller.call(Function::Deliver, event).await,
        Kind::Messages(texts) => {
            let topic = redrive.session.stack.parameter("SourceTopicArn");
            redrive.caller.call(Function::Start, &announcement(topic, texts.clone(), now())).await
        }
        Kind::File(File { bucket, key, .. }) => redrive.caller.announce(bucket, [key.as_str()]).await,
        Kind::Unknown => Ok(Ok(Value::Null)),
    }
}

/// Files are announced together. Where `start` does not take all of them, each by itself: so each letter has its own
/// fate, and a file that is announced twice is staged twice, which changes nothing.
async fn replay_files(
    queue: &mut Queue<'_>,
    files: Vec<(File, Vec<Letter>)>,
    lines: &mut Vec<Line>,
) -> Result<(), Error> {
    let redrive = queue.redrive;
    let (all, mut done) = (files.len(), 0);
    for of_bucket in files.chunk_by(|(one, _), (other, _)| one.bucket == other.bucket) {
        for part in of_bucket.chunks(KEYS_PER_MESSAGE) {
            if redrive.interrupt.asked() {
                return Ok(());
            }
            redrive.progress.say(&format!("letters of files: {done} of {all}"));
            let bucket = part.first().map_or("", |(file, _)| &file.bucket);
            let together =
                redrive.caller.announce(bucket, part.iter().map(|(file, _)| file.key.as_str())).await?;
            for (_, letters) in part {
                let answer = match letters.first() {
                    Some(letter) if together.is_err() && part.len() > 1 => {
                        hand_over(redrive, &letter.kind).await?
                    }
                    _ => together.clone(),
                };
                for letter in letters {
                    queue.settle(letter, &answer, lines).await?;
                }
                done += 1;
            }
        }
    }
    Ok(())
}

/// The queue, and what was received from it.
struct Queue<'a> {
    redrive: &'a Redrive<'a>,
    client: aws_sdk_sqs::Client,
    url: &'a str,
    /// Receipts of what is not deleted yet, by the letter's id.
    held: HashMap<String, String>,
}

impl Queue<'_> {
    /// All letters, which nobody else sees for a while.
    async fn receive(&mut self) -> Result<Vec<Letter>, Error> {
        let mut letters = Vec::new();
        loop {
            let answer = self
                .client
                .receive_message()
                .queue_url(self.url)
                .max_number_of_messages(10)
                .visibility_timeout(HELD_SECONDS)
                // With a wait, all of the queue's servers are asked: without one, an empty answer may be none.
                .wait_time_seconds(1)
                .send()
                .await
                .map_err(|error| self.redrive.session.aws.failed("sqs:ReceiveMessage", &error))?;
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() || self.redrive.interrupt.asked() {
                return Ok(letters);
            }
            for message in messages {
                let (Some(id), Some(receipt)) = (message.message_id, message.receipt_handle) else {
                    continue;
                };
                // The queue may hand out a letter twice: the later receipt counts.
                if self.held.insert(id.clone(), receipt).is_none() {
                    let (kind, about) = read(&message.body.unwrap_or_default());
                    letters.push(Letter { about: format!("{about} ({id})"), id, kind });
                }
            }
            self.redrive.progress.say(&format!("letters received: {}", letters.len()));
        }
    }

    /// Deletes a letter whose replay was accepted, and notes what became of it.
    async fn settle(&mut self, letter: &Letter, answer: &Answer, lines: &mut Vec<Line>) -> Result<(), Error> {
        let redrive = self.redrive;
        if let Err(failed) = answer {
            redrive.note(lines, letter.line(Fate::FailedAgain, &failed.to_string()));
            return Ok(());
        }
        redrive.note(lines, letter.line(Fate::Replayed, ""));
        let Some(receipt) = self.held.remove(&letter.id) else { return Ok(()) };
        let deleted = self.client.delete_message().queue_url(self.url).receipt_handle(receipt).send().await;
        deleted.map(|_| ()).map_err(|error| redrive.session.aws.failed("sqs:DeleteMessage", &error))
    }

    async fn give_back(&self) {
        for receipt in self.held.values() {
            // Where this fails, the letter is seen again a quarter of an hour later.
            let _ = self
                .client
                .change_message_visibility()
                .queue_url(self.url)
                .receipt_handle(receipt)
                .visibility_timeout(0)
                .send()
                .await;
        }
    }
}

impl Letter {
    fn line(&self, fate: Fate, reason: &str) -> Line {
        Line { id: self.id.clone(), about: self.about.clone(), fate, reason: reason.to_owned() }
    }
}

/// What a letter is, and what it is about.
fn read(body: &str) -> (Kind, String) {
    let letter: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |member: &str| letter.get(member).and_then(Value::as_str);
    if let (Some("Notification"), Some(message)) = (text("Type"), text("Message")) {
        let about =
            format!("message {} that SNS could not hand over", text("MessageId").unwrap_or("without id"));
        return (Kind::Messages(vec![message.to_owned()]), about);
    }
    if let (Some("rejected-file"), Some(window), Some(bucket), Some(key)) =
        (text("kind"), text("window"), text("bucket"), text("key"))
    {
        let about = format!("file {key}, {}", text("error").unwrap_or("without a reason"));
        let [bucket, window, key] = [bucket, window, key].map(str::to_owned);
        return (Kind::File(File { bucket, window, key }), about);
    }
    // Lambda's record wraps the event. By itself it is one that was never handed over.
    let event = letter.get("requestPayload").unwrap_or(&letter);
    let records = event.get("Records").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let all = |pointer: &str| -> Option<Vec<String>> {
        records.iter().map(|record| Some(record.pointer(pointer)?.as_str()?.to_owned())).collect()
    };
    let error = letter.pointer("/responsePayload/errorType").and_then(Value::as_str).unwrap_or("no answer");
    match (records, all("/Sns/Message"), all("/s3/object/key")) {
        ([_, ..], Some(texts), _) => {
            let ids = all("/Sns/MessageId").unwrap_or_default().join(", ");
            (Kind::Messages(texts), format!("message {ids} that start failed on, {error}"))
        }
        ([_, ..], _, Some(keys)) => (
            Kind::Event(event.clone()),
            format!("result {} that deliver failed on, {error}", keys.join(", ")),
        ),
        _ => (Kind::Unknown, "letter".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(letter: &Value) -> Kind {
        read(&letter.to_string()).0
    }

    #[test]
    fn a_letter_is_known_by_its_form() {
        let of_sns = json!({"Type": "Notification", "MessageId": "m", "Message": "{}"});
        assert_eq!(kind(&of_sns), Kind::Messages(vec!["{}".to_owned()]));
        let event = json!({"Records": [{"Sns": {"MessageId": "m", "Message": "text"}}]});
        assert_eq!(kind(&event), Kind::Messages(vec!["text".to_owned()]));
        let of_start = json!({"requestPayload": event, "responsePayload": {"errorType": "WrongBucket"}});
        assert_eq!(kind(&of_start), Kind::Messages(vec!["text".to_owned()]));
        assert_eq!(read(&of_start.to_string()).1, "message m that start failed on, WrongBucket");
        let event = json!({"Records": [{"s3": {"object": {"key": "output/a.parquet"}}}]});
        let of_deliver = json!({"requestPayload": event, "responsePayload": null});
        assert_eq!(kind(&of_deliver), Kind::Event(event));
        let of_a_file =
            json!({"kind": "rejected-file", "window": "w", "key": "k", "bucket": "b", "error": "NotCsv"});
        let [bucket, window, key] = ["b", "w", "k"].map(str::to_owned);
        assert_eq!(kind(&of_a_file), Kind::File(File { bucket, window, key }));
    }

    #[test]
    fn what_has_no_such_form_is_left_alone() {
        for letter in [
            json!(null),
            json!("text"),
            json!({}),
            json!({"Type": "SubscriptionConfirmation", "Message": "m"}),
            json!({"Type": "Notification"}),
            json!({"kind": "rejected-file", "window": "w"}),
            json!({"requestPayload": {"Records": []}}),
            json!({"Records": []}),
            json!({"requestPayload": {"Records": [{"Sns": {"Message": "m"}}, {}]}}),
            json!({"requestPayload": "text"}),
        ] {
            assert_eq!(kind(&letter), Kind::Unknown, "{letter}");
        }
        assert_eq!(read("no JSON").0, Kind::Unknown);
    }
}
