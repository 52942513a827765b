use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::Serialize;

/// One mutation that reached a cloud, whether it was carried out or refused.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Position in the journal, from 1.
    pub seq: u64,
    /// The clouds' time.
    pub time: Timestamp,
    /// As in the counters: `graph`, `sso-admin`, `identitystore`, `organizations`, `iam`, `sts`, `scim`, `login`, `console`.
    pub service: &'static str,
    /// AWS: the operation's name. Graph: method and path template, such as `POST /servicePrincipals/{id}/appRoleAssignedTo`.
    pub operation: String,
    /// Who called: the access key's session or ARN, the client id, `provisioning-service`, `person`.
    pub caller: String,
    /// What was changed, precisely enough to tell two objects apart.
    pub target: String,
    /// `ok`, or the error code.
    pub outcome: String,
    /// The id the cloud gave to the call.
    pub request_id: String,
}

/// All mutations in order of arrival.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<Entry>>);

impl Journal {
    /// Appends one mutation; the sequence number is given here.
    #[allow(clippy::too_many_arguments, reason = "one column of the journal each")]
    pub fn record(
        &self,
        time: Timestamp,
        service: &'static str,
        operation: &str,
        caller: &str,
        target: &str,
        outcome: &str,
        request_id: &str,
    ) {
        let mut all = lock(&self.0);
        let seq = all.len() as u64 + 1;
        all.push(Entry {
            seq,
            time,
            service,
            operation: operation.into(),
            caller: caller.into(),
            target: target.into(),
            outcome: outcome.into(),
            request_id: request_id.into(),
        });
    }

    /// Everything after sequence number `after` (0 for all).
    #[must_use]
    pub fn after(&self, after: u64) -> Vec<Entry> {
        lock(&self.0).iter().filter(|e| e.seq > after).cloned().collect()
    }

    /// The sequence number of the newest entry.
    #[must_use]
    pub fn last(&self) -> u64 {
        lock(&self.0).len() as u64
    }
}

/// One line of the counters.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Counter {
    /// As in the journal.
    pub service: &'static str,
    /// As in the journal; reads too.
    pub operation: String,
    /// `ok`, `throttled`, or the error code.
    pub outcome: String,
    /// How many calls.
    pub calls: u64,
}

/// Calls by service, operation and outcome.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<(&'static str, String, String), u64>>);

impl Counters {
    /// Counts one finished call.
    pub fn add(&self, service: &'static str, operation: &str, outcome: &str) {
        *lock(&self.0).entry((service, operation.into(), outcome.into())).or_default() += 1;
    }

    /// All lines, sorted.
    #[must_use]
    pub fn all(&self) -> Vec<Counter> {
        lock(&self.0)
            .iter()
            .map(|((service, operation, outcome), calls)| Counter {
                service,
                operation: operation.clone(),
                outcome: outcome.clone(),
                calls: *calls,
            })
            .collect()
    }

    /// Back to zero.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// A poisoned lock means that a handler panicked; what it guards is still a consistent list.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
