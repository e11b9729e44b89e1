//! The stable names under which failures are seen: `errorType` of a Lambda function, and what the state machine matches.

use std::fmt;

/// What the state machine does about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Will pass: tried again with back-off and jitter for minutes.
    Transient,
    /// May pass soon, for permissions and objects take a moment to be seen everywhere: three tries within 30 s.
    Unsettled,
    /// Will not pass by itself: caught at once.
    Permanent,
}

macro_rules! failures {
    ($($(#[$doc:meta])+ $name:ident: $class:ident,)+) => {
        /// The name of a failure. A name that is written here is relied upon: none is ever changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failure {
            $($(#[$doc])+ $name,)+
        }

        impl Failure {
            /// Every name.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// As it stands in `errorType` and in `ErrorEquals`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What is done about it.
            pub const fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)+
                }
            }
        }
    };
}

failures! {
    /// `start`: the message is not what was agreed upon.
    InvalidMessage: Permanent,
    /// `start`: the message names another bucket than the source's.
    WrongBucket: Permanent,
    /// `start`: some files of the message were refused; the others were started.
    RefusedFiles: Permanent,
    /// `start`: Step Functions did not take some executions.
    ExecutionsNotStarted: Transient,

    /// `stage`: the object is not there, under either form of its key.
    SourceMissing: Unsettled,
    /// `stage`: the source bucket answers 403: the object is absent, or we may not read it.
    SourceDenied: Unsettled,
    /// `stage`, `deliver`: the publisher's role cannot be assumed.
    RoleDenied: Unsettled,
    /// `stage`: the source bucket does not answer.
    SourceUnavailable: Transient,
    /// `stage`, `deliver`: STS does not answer.
    RoleUnavailable: Transient,
    /// `stage`: the object is no CSV.
    NotCsv: Permanent,
    /// `stage`: each time that the object was read, it or its fragment had been written anew meanwhile.
    SourceKeepsChanging: Transient,

    /// `merge`: other writers of the same window kept getting ahead.
    WindowChanged: Transient,
    /// `merge`: the window was written with another `WindowMinutes`.
    WindowLengthChanged: Permanent,
    /// `merge`: a fragment that this execution staged is neither staged any more nor in the window's object.
    FragmentMissing: Permanent,
    /// `merge`: an object that Windrow wrote cannot be read as such.
    CorruptObject: Permanent,

    /// `deliver`: the event is no S3 notification.
    InvalidEvent: Permanent,
    /// `deliver`: some records of the event could not be delivered; the others were.
    RecordsNotDelivered: Transient,

    /// Our own bucket does not answer.
    StorageUnavailable: Transient,
    /// Our own bucket refuses what the function's role should be allowed.
    StorageDenied: Permanent,
    /// The step was called with something else than its payload.
    InvalidInput: Permanent,
    /// What nobody foresaw.
    Internal: Transient,
}

impl Failure {
    /// How often the state machine tries a file again that failed so.
    pub const fn retries(self) -> u32 {
        match (self, self.class()) {
            (_, Class::Permanent) => 0,
            (Self::Internal, _) | (_, Class::Unsettled) => 2,
            (_, Class::Transient) => 6,
        }
    }

    /// Whether a file that failed so, after so many retries, is given up: to count it, for the state machine decides.
    pub const fn is_given_up(self, retries: u32) -> bool {
        retries >= self.retries()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An error's text and those of its sources, which it does not repeat, joined by colons.
pub fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
