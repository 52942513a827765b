//! What is read from the resources at each scrape.

use std::collections::BTreeMap;
use std::fmt::{Debug, Error};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::families::{self, Family};
use crate::status::Reason;

/// A credential that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// With which Entra provisions into AWS.
    ScimToken,
    /// With which Entra signs what AWS believes.
    SigningCertificate,
}

impl Credential {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ScimToken => "scim-token",
            Self::SigningCertificate => "signing-certificate",
        }
    }
}

/// How a federation stands, with everything that refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// All is as it should be.
    InStep,
    /// What is not waits for people.
    WaitingForPeople,
    /// Something is not as it should be.
    Behind,
}

impl Standing {
    const ALL: [Self; 3] = [Self::InStep, Self::WaitingForPeople, Self::Behind];

    const fn as_str(self) -> &'static str {
        match self {
            Self::InStep => "in_step",
            Self::WaitingForPeople => "waiting_for_people",
            Self::Behind => "behind",
        }
    }
}

/// Account assignments of all bindings together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assignments {
    /// As they should be.
    pub desired: i64,
    /// As they are.
    pub current: i64,
    /// On their way.
    pub pending: i64,
    /// Those that AWS could not make or remove.
    pub failed: i64,
}

/// What the watched resources say about themselves at this moment. A reason that is absent: not looked at yet.
#[derive(Clone, Debug, Default)]
pub struct ResourceState {
    /// How many resources there are, by kind and reason of Ready.
    pub counts: BTreeMap<(&'static str, Option<Reason>), u64>,
    /// Since when the one that is not Ready for longest has not been, by kind and reason.
    pub not_ready_since: BTreeMap<(&'static str, Option<Reason>), Timestamp>,
    /// How many federations stand how.
    pub federations: BTreeMap<Standing, u64>,
    /// For how long the federation that is furthest behind has been so.
    pub behind_seconds: f64,
    /// What ends first, by credential.
    pub expiries: BTreeMap<Credential, Timestamp>,
    /// Assignments.
    pub assignments: Assignments,
    /// The oldest of the connections' newest cycles.
    pub cycle: Option<Timestamp>,
    /// The oldest of the last full checks, by kind.
    pub full_checks: BTreeMap<&'static str, Timestamp>,
    /// How late the latest check is, by kind.
    pub overdue_seconds: BTreeMap<&'static str, f64>,
}

/// Reads the resources whenever somebody asks, so that nothing has to be kept in step.
pub(super) struct Resources(pub(super) Box<dyn Fn() -> ResourceState + Send + Sync>);

impl Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resources")
    }
}

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let state = (self.0)();
        gauge(&mut encoder, &families::RESOURCES, |family| {
            state.counts.iter().try_for_each(|((kind, reason), count)| {
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                let labels = [("kind", *kind), ("reason", word(*reason))];
                ConstGauge::new(count).encode(family.encode_family(&labels)?)
            })
        })?;
        gauge(&mut encoder, &families::NOT_READY_SINCE, |family| {
            state.not_ready_since.iter().try_for_each(|((kind, reason), since)| {
                let labels = [("kind", *kind), ("reason", word(*reason))];
                ConstGauge::new(unix(*since)).encode(family.encode_family(&labels)?)
            })
        })?;
        gauge(&mut encoder, &families::FEDERATIONS, |family| {
            Standing::ALL.iter().try_for_each(|standing| {
                let count = state.federations.get(standing).copied().unwrap_or_default();
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                ConstGauge::new(count).encode(family.encode_family(&[("state", standing.as_str())])?)
            })
        })?;
        gauge(&mut encoder, &families::FEDERATION_BEHIND, |family| {
            family.encode_gauge(&state.behind_seconds)
        })?;
        gauge(&mut encoder, &families::EXPIRY, |family| {
            state.expiries.iter().try_for_each(|(credential, end)| {
                let labels = [("credential", credential.as_str())];
                ConstGauge::new(unix(*end)).encode(family.encode_family(&labels)?)
            })
        })?;
        let Assignments { desired, current, pending, failed } = state.assignments;
        gauge(&mut encoder, &families::ASSIGNMENTS, |family| {
            [("desired", desired), ("current", current), ("pending", pending), ("failed", failed)]
                .into_iter()
                .try_for_each(|(state, count)| {
                    ConstGauge::new(count).encode(family.encode_family(&[("state", state)])?)
                })
        })?;
        gauge(&mut encoder, &families::PROVISIONING_CYCLE, |family| {
            state.cycle.map_or(Ok(()), |end| family.encode_gauge(&unix(end)))
        })?;
        gauge(&mut encoder, &families::FULL_CHECK, |family| {
            state.full_checks.iter().try_for_each(|(kind, at)| {
                ConstGauge::new(unix(*at)).encode(family.encode_family(&[("kind", *kind)])?)
            })
        })?;
        gauge(&mut encoder, &families::OVERDUE, |family| {
            state.overdue_seconds.iter().try_for_each(|(kind, seconds)| {
                ConstGauge::new(*seconds).encode(family.encode_family(&[("kind", *kind)])?)
            })
        })
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    values: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let unit = family.unit();
    values(&mut encoder.encode_descriptor(family.name, family.help, unit.as_ref(), MetricType::Gauge)?)
}

fn word(reason: Option<Reason>) -> &'static str {
    reason.map_or("None", Reason::as_str)
}

pub(super) fn unix(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
