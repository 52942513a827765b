//! Who may write: a Lease in the operator's namespace.
//!
//! Expiry is judged by changes seen here and by this machine's monotonic clock, never by other machines' clocks.
//! A lease is given up for lost after two thirds of its life, so that the last writes end before anybody else begins.

mod gate;
mod lease;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub use gate::Gate;
use lease::{Seen, Step};

use crate::clock::Clock;
use crate::settings;

/// Whether this operator may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Somebody else writes, or nobody yet.
    Following,
    /// This operator writes, until that moment unless the lease is renewed.
    Leading {
        /// None: without end, since nothing is elected.
        until: Option<Instant>,
    },
    /// The lease was lost: never again in this process.
    Lost,
}

impl Leadership {
    /// Whether a write may begin now.
    #[must_use]
    pub fn may_write(self) -> bool {
        match self {
            // A process that was stopped for a while must not believe what it knew before.
            Self::Leading { until } => until.is_none_or(|until| Instant::now() < until),
            Self::Following | Self::Lost => false,
        }
    }

    /// Whether this operator was elected, and has not lost that since.
    #[must_use]
    pub const fn is_leading(self) -> bool {
        matches!(self, Self::Leading { .. })
    }
}

/// How an election ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// On request.
    Released,
    /// The lease could not be renewed in time, or somebody else took it.
    Lost,
}

/// Takes part in the election.
pub struct Elector {
    leases: Api<Lease>,
    settings: settings::Leader,
    clock: Clock,
    state: Arc<watch::Sender<Leadership>>,
}

impl Elector {
    /// An elector that has not begun. `client` must not be held back by [`Gate`]: the lease comes before the right
    /// to write. Its requests may also fail at once, since they are repeated here.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        settings: settings::Leader,
        state: Arc<watch::Sender<Leadership>>,
    ) -> Self {
        // Wall time, whatever a test does to the operator's clock: other operators are told it.
        Self { leases: Api::namespaced(client, namespace), settings, clock: Clock::system(), state }
    }

    /// Gets the lease and keeps it until `release`, and then gives it back. Without election, leads at once.
    pub async fn run(self, release: CancellationToken) -> Ended {
        if !self.settings.elect {
            self.state.send_replace(Leadership::Leading { until: None });
            release.cancelled().await;
            self.state.send_replace(Leadership::Following);
            return Ended::Released;
        }
        let life = self.settings.lease_duration;
        let mut seen = Seen::default();
        let mut held_until: Option<Instant> = None;
        loop {
            let start = Instant::now();
            let pause = seen.rhythm(life) / 3;
            let patience = held_until.map_or(pause, |until| (until - start).min(pause));
            let attempt = tokio::select! {
                attempt = timeout(patience, self.attempt(&mut seen)) => attempt,
                () = release.cancelled() => return self.release(held_until).await,
            };
            let pause = match attempt {
                Ok(Ok(true)) => {
                    if held_until.is_none() {
                        tracing::info!(identity = self.settings.identity, "leading");
                    }
                    held_until = Some(start + life * 2 / 3);
                    self.state.send_replace(Leadership::Leading { until: held_until });
                    life / 3
                }
                Ok(Ok(false)) if held_until.is_some() => return self.lost("somebody else holds the lease"),
                Ok(Ok(false)) => seen.rhythm(life) / 3,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease could not be read or written; trying again");
                    life / 12
                }
                Err(_) => {
                    tracing::warn!("the API server did not answer about the lease; trying again");
                    life / 12
                }
            };
            let next = start + pause;
            let wake = held_until.map_or(next, |until| until.min(next));
            tokio::select! {
                () = sleep_until(wake) => {}
                () = release.cancelled() => return self.release(held_until).await,
            }
            if held_until.is_some_and(|until| until <= Instant::now()) {
                return self.lost("the lease could not be renewed in time");
            }
        }
    }

    /// One try to get or to keep the lease: whether it is ours then.
    async fn attempt(&self, seen: &mut Seen) -> kube::Result<bool> {
        let name = &self.settings.lease_name;
        let lease = self.leases.get_opt(name).await?;
        let params = PostParams { field_manager: Some("causeway".to_owned()), ..PostParams::default() };
        let now = self.clock.now();
        let written = match lease::decide(lease, &self.settings, seen, Instant::now(), now) {
            Step::Wait => return Ok(false),
            Step::Create(lease) => self.leases.create(&params, &lease).await,
            // The resource version in it makes somebody else's write in between a conflict.
            Step::Replace(lease) => self.leases.replace(name, &params, &lease).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(s)) if s.is_conflict() || s.is_already_exists() => {
                tracing::debug!("somebody else was faster at the lease");
                // A conflict does not say who holds it: the next try will.
                let holder = self.leases.get(name).await?.spec.and_then(|s| s.holder_identity);
                Ok(holder.as_deref() == Some(&self.settings.identity))
            }
            Err(error) => Err(error),
        }
    }

    fn lost(&self, why: &str) -> Ended {
        self.state.send_replace(Leadership::Lost);
        tracing::error!(identity = self.settings.identity, "leadership is lost: {why}");
        Ended::Lost
    }

    /// Lets the next one begin at once.
    async fn release(&self, held_until: Option<Instant>) -> Ended {
        self.state.send_replace(Leadership::Following);
        if held_until.is_some() {
            let limit = self.settings.lease_duration / 3;
            match timeout(limit, self.give_back()).await {
                Ok(Ok(())) => tracing::info!("the lease is given back"),
                Ok(Err(error)) => tracing::info!(%error, "the lease could not be given back; it will expire"),
                Err(_) => tracing::info!("the lease could not be given back in time; it will expire"),
            }
        }
        Ended::Released
    }

    async fn give_back(&self) -> kube::Result<()> {
        let name = &self.settings.lease_name;
        let Some(lease) = self.leases.get_opt(name).await? else { return Ok(()) };
        if let Some(lease) = lease::given_back(lease, &self.settings.identity, self.clock.now()) {
            self.leases.replace(name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}

/// Whole microseconds, as the API keeps them.
fn micro(now: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
