//! What Entra's provisioning service says in its own words, or in the connector's: it may quote the token (design
//! rule 6), and it may be long. Everything passes through here before it gets to status, Events or logs.

use crate::clients::CloudError;
use crate::clients::entra::synchronization::{ExecutionError, Job, OnDemand};
use crate::secret::{Sensitive, redact, redact_tokens};

/// Longest text of Entra's that goes into a status.
const MAX_TEXT: usize = 300;

/// Cleans foreign text.
#[derive(Clone, Debug, Default)]
pub struct Foreign(Option<Sensitive>);

impl Foreign {
    /// `token`: what is looked for in any form. Entra may quote an older one, or one that nobody here knows: what
    /// looks like a token goes too.
    #[must_use]
    pub const fn new(token: Option<Sensitive>) -> Self {
        Self(token)
    }

    /// One line of bounded length, without a token.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let known = self.0.as_ref().map_or_else(|| text.to_owned(), |token| redact(text, token.expose()));
        bounded(&redact_tokens(&known))
    }

    /// A failure as it may be told.
    #[must_use]
    pub fn error(&self, mut error: CloudError) -> CloudError {
        error.code = self.text(&error.code);
        error.message = self.text(&error.message);
        error
    }

    /// A job with everything clean that is shown of it.
    #[must_use]
    pub fn job(&self, mut job: Job) -> Job {
        let Some(status) = &mut job.status else { return job };
        self.clean(&mut status.code);
        if let Some(execution) = &mut status.last_execution {
            self.clean(&mut execution.state);
            self.clean_error(execution.error.as_mut());
        }
        if let Some(quarantine) = &mut status.quarantine {
            self.clean(&mut quarantine.reason);
            self.clean_error(quarantine.error.as_mut());
        }
        job
    }

    /// The outcome of a provision on demand.
    #[must_use]
    pub fn on_demand(&self, answer: &OnDemand) -> OnDemand {
        OnDemand {
            result: self.text(&answer.result),
            message: answer.message.as_deref().map(|message| self.text(message)),
        }
    }

    fn clean(&self, text: &mut Option<String>) {
        if let Some(text) = text {
            *text = self.text(text);
        }
    }

    fn clean_error(&self, error: Option<&mut ExecutionError>) {
        if let Some(error) = error {
            self.clean(&mut error.code);
            self.clean(&mut error.message);
        }
    }
}

/// At most [`MAX_TEXT`] characters, on one line.
#[must_use]
pub fn bounded(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_TEXT {
        return line;
    }
    line.chars().take(MAX_TEXT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::super::calls::tests::error;
    use super::super::status::Draft;
    use super::*;
    use crate::api::v1alpha1::Scope;
    use crate::clients::CloudErrorKind;

    const TOKEN: &str = "scim/Token+of=acme-0123456789";
    /// Handed over before this one was.
    const OLD: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c";

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded(&"ä".repeat(500)).chars().count(), 300);
    }

    #[test]
    fn whatever_entra_quotes_no_token_gets_to_status_or_events() {
        let foreign = Foreign::new(Some(Sensitive::new(TOKEN)));
        let encoded = STANDARD.encode(format!("Bearer {TOKEN}"));
        let said = format!("401 for \"Bearer {TOKEN}\", {encoded} and before that {OLD}\nat last");
        let job = serde_json::from_value(json!({"id": "j", "schedule": {"state": "Active"}, "status": {
            "code": "Quarantine",
            "lastExecution": {"state": "Failed", "timeEnded": "2026-05-01T11:00:00Z", "error": {"code": TOKEN, "message": said}},
            "quarantine": {"reason": said, "error": {"code": "X", "message": said}}}}))
        .unwrap();
        let mut draft = Draft::new(None, 1, "2026-05-01T12:00:00Z".parse().unwrap());
        draft.job(&foreign.job(job), Scope::Assigned, true);
        let outcome = draft.finish(Ok(()), Scope::Assigned, true);
        let on_demand = foreign.on_demand(&OnDemand { result: TOKEN.into(), message: Some(said.repeat(9)) });
        assert!(on_demand.message.as_ref().is_some_and(|m| m.chars().count() <= MAX_TEXT));
        let mut failed = error(400, CloudErrorKind::Invalid, TOKEN);
        failed.message.clone_from(&said);
        let shown = format!("{outcome:?} {on_demand:?} {:?}", foreign.error(failed));
        for secret in [TOKEN, OLD, &encoded, &encoded[12..40], &TOKEN[..14]] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert!(shown.contains("401 for") && shown.contains("at last"), "{shown}");
    }
}
