//! How far a long command is, and whether it shall stop.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::aws::Error;
use crate::report::Style;

/// One line on standard error, written over and over; nothing where that is no terminal.
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    pub(crate) fn new(style: Style) -> Self {
        Self { shown: style.progress }
    }

    pub(crate) fn say(&self, text: &str) {
        self.write(&format!("\r\u{1b}[2K{text}"));
    }

    /// Makes room for what stays.
    pub(crate) fn clear(&self) {
        self.write("\r\u{1b}[2K");
    }

    fn write(&self, text: &str) {
        if self.shown {
            let mut terminal = std::io::stderr();
            // Who cannot be told how far it is, is told nothing.
            let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
        }
    }
}

/// Ctrl-C, or a request to end: what is under way is finished first, and what is left is told. A second one ends at once.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, Error> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first one finds the flag down, and puts it up.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
                .map_err(|error| Error::Other(format!("listening for Ctrl-C: {error}")))?;
        }
        Ok(Self(asked))
    }

    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits so long, or until it is asked.
    pub(crate) async fn pause(&self, duration: Duration) {
        let step = Duration::from_millis(100);
        let end = tokio::time::Instant::now() + duration;
        while !self.asked() && tokio::time::Instant::now() < end {
            let rest = end - tokio::time::Instant::now();
            tokio::time::sleep(rest.min(step)).await;
        }
    }
}
