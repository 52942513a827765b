//! All metrics, in one list: the registry, `docs/metrics.md` and the checks of alerts and dashboard come from it.

use prometheus_client::registry::Unit;

/// The prefix of every name.
pub const PREFIX: &str = "causeway";

/// Our kinds, as labels name them.
pub const KINDS: [&str; 3] = ["IdentityFederation", "ScimConnection", "PermissionSetBinding"];

/// What kind of metric it is, in OpenMetrics' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// A constant 1 whose labels say something.
    Info,
}

/// A label, and where its values come from. There are only so many: never a name, an id or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label's name.
    pub name: &'static str,
    /// Its values, in words.
    pub values: &'static str,
}

/// One family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Without prefix, unit and suffix.
    pub name: &'static str,
    /// What it is.
    pub kind: Type,
    /// The unit is seconds.
    pub seconds: bool,
    /// One line, which a scrape shows too.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// How to read it.
    pub meaning: &'static str,
}

impl Family {
    /// The family's name, as `# TYPE` says it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = if self.seconds { "_seconds" } else { "" };
        format!("{PREFIX}_{}{unit}", self.name)
    }

    /// The names under which queries find its values.
    #[must_use]
    pub fn samples(&self) -> Vec<String> {
        let name = self.full_name();
        match self.kind {
            Type::Counter => vec![format!("{name}_total")],
            Type::Gauge => vec![name],
            Type::Info => vec![format!("{name}_info")],
            Type::Histogram => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).into(),
        }
    }

    pub(super) fn unit(&self) -> Option<Unit> {
        self.seconds.then_some(Unit::Seconds)
    }
}

const KIND: Label =
    Label { name: "kind", values: "`IdentityFederation`, `ScimConnection`, `PermissionSetBinding`" };
const REASON: Label = Label {
    name: "reason",
    values: "the reason of Ready (`docs/reference/reasons.md`); `None` before the first look",
};
const RESULT: Label = Label {
    name: "result",
    values: "`ok`, `invalid`, `blocked`, `denied`, `throttled`, `transient`, `pending`, `conflict`, `guarded`",
};
const SERVICE: Label = Label {
    name: "service",
    values: "`graph`, `login`, `sso-admin`, `identitystore`, `organizations`, `sts`, `kubernetes`",
};
const OPERATION: Label = Label {
    name: "operation",
    values: "the service's own word with `{id}` for ids: those of `docs/faults.md`, and verb and resource of the API server",
};

/// A counter, a histogram or an info.
const fn family(
    name: &'static str,
    kind: Type,
    labels: &'static [Label],
    help: &'static str,
    meaning: &'static str,
) -> Family {
    Family { name, kind, seconds: false, help, labels, meaning }
}

const fn in_seconds(
    name: &'static str,
    kind: Type,
    labels: &'static [Label],
    help: &'static str,
    meaning: &'static str,
) -> Family {
    Family { name, kind, seconds: true, help, labels, meaning }
}

pub(super) const RESOURCES: Family = family(
    "resources",
    Type::Gauge,
    &[KIND, REASON],
    "Resources, by reason of their Ready condition",
    "How many resources there are and what they say. Read from the watched resources at each scrape. Resources that do \
     not fit their schema are not among them: see `causeway_undecodable_objects_total`.",
);
pub(super) const NOT_READY_SINCE: Family = in_seconds(
    "not_ready_since_timestamp",
    Type::Gauge,
    &[KIND, REASON],
    "Since when the resource that is not Ready for longest has not been, as Unix time",
    "The oldest of the resources of that kind that are not Ready and give that reason today. The time is that of the last \
     change of Ready between True, False and Unknown: a resource that goes from one trouble to the next keeps it. No value where every \
     resource is Ready.",
);
pub(super) const FEDERATIONS: Family = family(
    "federations",
    Type::Gauge,
    &[Label { name: "state", values: "`in_step`, `waiting_for_people`, `behind`" }],
    "Federations with all that refers to them, by state",
    "A federation, its connection and its bindings count as one here. In step: all are Ready. Waiting for people: what is \
     not Ready waits for a hand-off, is suspended or only observed. Behind: anything else.",
);
pub(super) const FEDERATION_BEHIND: Family = in_seconds(
    "federation_behind",
    Type::Gauge,
    &[],
    "For how long the federation that is furthest behind has been so",
    "Zero when no federation is behind (see `causeway_federations`); else since when anything of it has not been Ready for \
     a reason that is not a person's to wait for. What is in Git has not been in force in full for that long.",
);
pub(super) const EXPIRY: Family = in_seconds(
    "credential_expiry_timestamp",
    Type::Gauge,
    &[Label {
        name: "credential",
        values: "`scim-token` (of connections), `signing-certificate` (the active one of federations)",
    }],
    "When the credential that ends first does, as Unix time",
    "The earliest end among all resources: labels name no resources, so `kubectl get scim -A` or `kubectl describe idf -A` \
     tells which. Once that one is renewed the value is the next one's, so an alert lasts until all are. No value when no \
     end is known. `(causeway_credential_expiry_timestamp_seconds - time()) / 86400` is the days that are left.",
);
pub(super) const ASSIGNMENTS: Family = family(
    "assignments",
    Type::Gauge,
    &[Label { name: "state", values: "`desired`, `current`, `pending`, `failed`" }],
    "Account assignments of all bindings, by state",
    "The sums of `status.desired`, `current`, `pending` and `failed` of all bindings.",
);
pub(super) const PROVISIONING_CYCLE: Family = in_seconds(
    "provisioning_cycle_timestamp",
    Type::Gauge,
    &[],
    "When the newest cycle of the connection whose newest cycle is oldest ended, as Unix time",
    "Entra runs a cycle every 40 minutes or so; who joined or left since is not in AWS yet. The oldest of all connections \
     (`status.lastCycle.endedAt`); no value before the first cycle.",
);
pub(super) const FULL_CHECK: Family = in_seconds(
    "full_check_timestamp",
    Type::Gauge,
    &[KIND],
    "Since when every resource of this kind was checked in full, as Unix time",
    "The oldest of the resources' last complete checks. A check is complete when it was not cut short by a cloud or an API \
     server that fails, throttles or denies; that a resource is wrong, or waits, is a result. A resource that was not \
     checked since this operator began to lead counts from then. `causeway_last_success_timestamp_seconds` moves as long as \
     one resource is well, this one only when all are checked.",
);
pub(super) const OVERDUE: Family = in_seconds(
    "check_overdue",
    Type::Gauge,
    &[KIND],
    "How late the resource of this kind is whose check is most overdue",
    "Zero when the operator keeps up. A pass that runs counts as late only once it takes longer than `--reconcile-timeout`.",
);
pub(super) const QUEUE: Family = in_seconds(
    "queue_delay",
    Type::Histogram,
    &[KIND],
    "How long after it was due a pass over a resource began",
    "Waiting for a free place among `--concurrency`.",
);
pub(super) const RECONCILES: Family = family(
    "reconciles",
    Type::Counter,
    &[KIND, RESULT],
    "Passes over a resource, by result",
    "The result is `ok` or the class of the problem that ended the pass.",
);
pub(super) const RECONCILE_SECONDS: Family = in_seconds(
    "reconcile_duration",
    Type::Histogram,
    &[KIND],
    "How long a pass over a resource took",
    "With all its calls and their repetitions, and the budget that they wait for.",
);
pub(super) const LAST_SUCCESS: Family = in_seconds(
    "last_success_timestamp",
    Type::Gauge,
    &[KIND],
    "When a pass over a resource of this kind last succeeded, as Unix time",
    "Of any resource of the kind, by this process. No value before the first success.",
);
pub(super) const UNDECODABLE: Family = family(
    "undecodable_objects",
    Type::Counter,
    &[KIND],
    "Passes over resources that do not fit their schema",
    "Grows as long as such a resource exists: it was stored under another schema. The log names it.",
);
pub(super) const CHANGES: Family = family(
    "changes",
    Type::Counter,
    &[
        KIND,
        Label { name: "service", values: "`graph`, `sso-admin`, `identitystore`, `organizations`" },
        Label { name: "verb", values: "`create`, `update`, `delete`, `run`" },
    ],
    "Writing calls to the clouds, each a step of a plan",
    "Counted whether or not they succeed; `causeway_remote_calls_total` tells how they ended and the audit log what they \
     did. Nothing to do is no change: it is still at rest. In Observe mode it stays at zero.",
);
pub(super) const CALLS: Family = family(
    "remote_calls",
    Type::Counter,
    &[
        SERVICE,
        OPERATION,
        Label { name: "status", values: "`2xx`, `3xx`, `4xx`, `429`, `5xx`, `none` (no answer)" },
    ],
    "Calls to other services, by class of answer",
    "Each try counts. AWS throttles with 400 too, so look at `causeway_throttles_total` for that.",
);
pub(super) const CALL_SECONDS: Family = in_seconds(
    "remote_call_duration",
    Type::Histogram,
    &[SERVICE],
    "How long calls to other services took",
    "One try each. A watch counts until its answer begins.",
);
pub(super) const THROTTLES: Family = family(
    "throttles",
    Type::Counter,
    &[SERVICE, OPERATION],
    "Answers that asked to slow down",
    "A delay, never a condition of a resource. An operation that was called and never throttled is there with 0.",
);
pub(super) const LEADER: Family = family(
    "leader",
    Type::Gauge,
    &[],
    "1 while this operator may write",
    "All others are 0: they wait, and have no values about resources.",
);
pub(super) const OBSERVING: Family = family(
    "observing",
    Type::Gauge,
    &[],
    "1 when this operator only plans",
    "The setting `--mode=observe`: nothing outside of the cluster is written, whatever resources say.",
);
pub(super) const BUILD: Family = family(
    "build",
    Type::Info,
    &[Label { name: "version", values: "the operator's version" }],
    "The operator's version",
    "Always 1.",
);

/// All of them, in the order of the page.
pub const FAMILIES: &[&Family] = &[
    &RESOURCES,
    &NOT_READY_SINCE,
    &FEDERATIONS,
    &FEDERATION_BEHIND,
    &EXPIRY,
    &ASSIGNMENTS,
    &PROVISIONING_CYCLE,
    &FULL_CHECK,
    &OVERDUE,
    &QUEUE,
    &RECONCILES,
    &RECONCILE_SECONDS,
    &LAST_SUCCESS,
    &UNDECODABLE,
    &CHANGES,
    &CALLS,
    &CALL_SECONDS,
    &THROTTLES,
    &LEADER,
    &OBSERVING,
    &BUILD,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_family_is_documented_and_no_name_is_used_twice() {
        let names: BTreeSet<String> = FAMILIES.iter().map(|f| f.full_name()).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for family in FAMILIES {
            assert!(!family.help.is_empty() && !family.help.ends_with('.'), "{family:?}");
            assert!(family.meaning.ends_with('.'), "{family:?}");
            // OpenMetrics: a unit is part of the name, and a counter's suffix is not.
            let plain = !family.name.ends_with("_seconds") && !family.name.ends_with("_total");
            assert!(plain, "{family:?}");
            let time = family.name.ends_with("timestamp");
            assert_eq!(time, family.help.ends_with("as Unix time"), "{family:?}");
        }
    }
}
