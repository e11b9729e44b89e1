//! Does everything work that Windrow needs, before the first message comes?
//!
//! What a function may do only the function can try: it is called with a probe. Everything else is looked at with the
//! operator's own credentials.

mod functions;
mod wiring;

use serde::Serialize;

use crate::{Outcome, Session};

/// What one check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Bad,
    /// It could not be looked at.
    Unknown,
}

/// One line.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// What to do: which side, what to paste where.
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

impl Finding {
    fn good(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Verdict::Good, detail: detail.into(), remedy: String::new() }
    }

    fn bad(check: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (check, detail, remedy) = (check.into(), detail.into(), remedy.into());
        Self { check, verdict: Verdict::Bad, detail, remedy }
    }

    fn unknown(check: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::bad(check, detail, remedy) }
    }
}

/// Prints a line per check, and below what fails the remedy; `false` if anything failed.
pub(crate) async fn run(session: &Session) -> Outcome {
    let mut report = Report { session, findings: Vec::new() };
    functions::check(session, &mut report).await;
    wiring::check(session, &mut report).await;
    Ok(report.ended())
}

struct Report<'a> {
    session: &'a Session,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, finding: Finding) {
        let style = self.session.style;
        if !style.json {
            let verdict = match finding.verdict {
                Verdict::Good => style.green("good   "),
                Verdict::Bad => style.red("BAD    "),
                Verdict::Unknown => style.yellow("unknown"),
            };
            let detail = if finding.detail.is_empty() { "" } else { ": " };
            println!("{verdict}  {}{detail}{}", finding.check, finding.detail);
            for line in finding.remedy.lines() {
                println!("         {line}");
            }
        }
        self.findings.push(finding);
    }

    fn ended(self) -> bool {
        let count =
            |verdict| self.findings.iter().filter(|finding: &&Finding| finding.verdict == verdict).count();
        let (good, bad, unknown) = (count(Verdict::Good), count(Verdict::Bad), count(Verdict::Unknown));
        if self.session.style.json {
            let stack = &self.session.stack.name;
            println!("{}", serde_json::json!({"stack": stack, "good": bad == 0, "checks": self.findings}));
        } else {
            println!("\n{good} good, {bad} bad, {unknown} unknown");
        }
        bad == 0
    }
}
