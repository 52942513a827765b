//! One Identity Center instance: what is known of it, and the only hands that change it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::patience::Patience;
use super::plan_set::ObservedSet;
use super::tracker::{Tracker, older};
use crate::clients::aws::identity_store::IdentityStore;
use crate::clients::aws::organization::{Organization, OrganizationAccount};
use crate::clients::aws::permission_sets::PermissionSet;
use crate::clients::aws::sso_admin::SsoAdmin;
use crate::clients::aws::{AwsClients, Budget};
use crate::clients::{CloudError, CloudErrorKind, Slowed};
use crate::clock::Clock;
use crate::settings::{Limits, Timing};

/// One instance, seen through one identity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(super) sso: SsoAdmin,
    pub(super) store: IdentityStore,
    pub(super) organization: Organization,
    pub(super) shared: Arc<Shared>,
    pub(super) reads: Arc<Reads>,
    slowed: Slowed,
}

/// The readings of so many identities are kept; an instance is rarely seen through more than one.
const MOST_IDENTITIES: usize = 64;

/// What we did is believed for so many polls against readings that do not show it yet, where AWS's own word is weak.
const LAG_POLLS: u32 = 20;
/// At most for so long: readings follow within seconds (contract aws 1.11).
const LAG: Duration = Duration::from_secs(60);

/// What everybody on the instance shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    pub timing: Timing,
    pub clock: Clock,
    tracker: Mutex<Tracker>,
    /// Held while somebody looks at what runs, so that many need only one look. When that was, if at all.
    pub looking: tokio::sync::Mutex<Option<Timestamp>>,
    pub memory: Mutex<Memory>,
    patience: Mutex<Patience>,
    reads: Mutex<HashMap<(u64, String), Arc<Reads>>>,
    /// What the calls of all identities are counted against.
    budget: OnceLock<Budget>,
}

/// What was read, kept for a short while for everybody with the same credentials: what one identity may read is not
/// for another one, and what it may not is not missing for the others.
#[derive(Debug, Default)]
pub(super) struct Reads {
    names: Mutex<BTreeMap<String, String>>,
    pub listing: Kept<BTreeSet<String>>,
    naming: tokio::sync::Mutex<()>,
    /// Sets by name, and which parts of them were read.
    pub sets: Mutex<BTreeMap<String, (ObservedSet, Parts, Timestamp)>>,
    /// Out-of-date accounts by set.
    pub stale: Mutex<BTreeMap<String, (BTreeSet<String>, Timestamp)>>,
    pub people: super::people::People,
    accounts: Kept<BTreeMap<String, OrganizationAccount>>,
    /// Where accounts are and what units are called: read only when rules ask for it.
    pub places: super::places::PlaceReads,
    pub assignments: super::readings::Kept,
    /// What others have, by set.
    pub surveys: Mutex<BTreeMap<String, super::survey::Survey>>,
}

/// What we did and what readings may not show yet.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Sets that were created, by name.
    pub created: BTreeMap<String, (PermissionSet, Timestamp)>,
    /// Edits of sets by ARN, oldest first: the state before, the state after, when.
    pub edits: BTreeMap<String, Vec<(ObservedSet, ObservedSet, Timestamp)>>,
    /// Where a search for strangers found none, by set.
    pub searched: BTreeMap<String, super::strangers::Searched>,
}

/// The parts of a set that are read only when they are managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub managed: bool,
    pub references: bool,
}

/// One complete reading, kept for a short while; many who ask at once read it once.
#[derive(Debug)]
pub(super) struct Kept<T>(tokio::sync::Mutex<Option<(Timestamp, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }
}

impl<T> Kept<T> {
    pub(super) async fn get<F>(&self, clock: &Clock, keep: Duration, read: F) -> Result<Arc<T>, CloudError>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let mut kept = self.0.lock().await;
        if let Some((at, value)) = kept.as_ref()
            && !older(*at, keep, clock.now())
        {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(read.await?);
        *kept = Some((clock.now(), Arc::clone(&value)));
        Ok(value)
    }

    /// Whoever asks next reads anew.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(limits: Limits, timing: Timing, clock: Clock) -> Self {
        Self {
            limits,
            timing,
            clock,
            tracker: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            memory: Mutex::default(),
            patience: Mutex::default(),
            reads: Mutex::default(),
            budget: OnceLock::new(),
        }
    }

    /// What one identity read of one identity store.
    fn reads_of(&self, identity: u64, store_id: &str) -> Arc<Reads> {
        let mut reads = locked(&self.reads);
        let key = (identity, store_id.to_owned());
        if reads.len() >= MOST_IDENTITIES && !reads.contains_key(&key) {
            // Credentials that were rotated; who is still there reads anew.
            reads.retain(|_, r| Arc::strong_count(r) > 1);
        }
        Arc::clone(reads.entry(key).or_default())
    }

    pub(super) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        locked(&self.tracker)
    }

    pub(super) fn patience(&self) -> MutexGuard<'_, Patience> {
        locked(&self.patience)
    }

    /// Forgets a binding that is gone. What others need to know of its set is read anew.
    pub(super) fn forget(&self, owner: &str, set_arn: Option<&str>) {
        self.patience().forget(owner);
        let Some(arn) = set_arn else { return };
        locked(&self.memory).searched.remove(arn);
        for reads in locked(&self.reads).values() {
            locked(&reads.surveys).remove(arn);
            locked(&reads.stale).remove(arn);
        }
    }

    /// How long readings may lag behind what we did.
    pub(super) fn lag(&self) -> Duration {
        self.timing.poll.saturating_mul(LAG_POLLS).min(LAG).min(self.timing.creation_grace)
    }

    /// How long a reading serves everybody: short beside the resync, so that each resync sees the truth.
    pub(super) fn keep(&self) -> Duration {
        (self.timing.resync / 10).min(Duration::from_secs(30))
    }

    /// Whether what was read at that moment still serves.
    pub(super) fn is_fresh(&self, at: Timestamp) -> bool {
        !older(at, self.keep(), self.clock.now())
    }
}

impl Instance {
    pub(super) fn new(arn: &str, store_id: &str, clients: &AwsClients, shared: Arc<Shared>) -> Self {
        // AWS counts what comes to an instance, whoever calls (contract aws 1.9).
        clients.budget.join(shared.budget.get_or_init(|| clients.budget.clone()));
        Self {
            sso: SsoAdmin::new(clients.ssoadmin.clone(), arn),
            store: IdentityStore::new(clients.identitystore.clone(), store_id),
            organization: Organization::new(clients.organizations.clone()),
            reads: shared.reads_of(clients.identity, store_id),
            slowed: clients.slowed.clone(),
            shared,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// When AWS last asked the identity that it is seen through to slow down.
    #[must_use]
    pub const fn slowed(&self) -> &Slowed {
        &self.slowed
    }

    /// The identity store, for single look-ups.
    #[must_use]
    pub const fn identity_store(&self) -> &IdentityStore {
        &self.store
    }

    /// The organization's accounts.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn accounts(&self) -> Result<Arc<BTreeMap<String, OrganizationAccount>>, CloudError> {
        self.reads.accounts.get(&self.shared.clock, self.shared.keep(), self.organization.accounts()).await
    }

    /// The permission set of that name. `hint` is an ARN that it may have: names never change, so a set that is
    /// there and has the name is the one. That there is none may have been read a short while ago: AWS refuses to make
    /// a second one.
    ///
    /// # Errors
    /// The classified failure: a set that could not be looked for is not a set that does not exist.
    pub async fn find_set(
        &self,
        name: &str,
        hint: Option<&str>,
    ) -> Result<Option<PermissionSet>, CloudError> {
        let known = locked(&self.reads.names).iter().find(|(_, n)| *n == name).map(|(arn, _)| arn.clone());
        let candidates: Vec<&str> = known.as_deref().into_iter().chain(hint).collect();
        for arn in candidates {
            match self.sso.describe_permission_set(arn).await {
                Ok(set) if set.name == name => {
                    locked(&self.reads.names).insert(set.arn.clone(), set.name.clone());
                    return Ok(Some(set));
                }
                Ok(_) => {}
                // A hint out of a status may be anything.
                Err(e) if e.is_not_found() || (known.is_none() && e.kind == CloudErrorKind::Invalid) => {
                    locked(&self.reads.names).remove(arn);
                }
                Err(e) => return Err(e),
            }
        }
        // One at a time: the next one finds the names that this one reads.
        let _turn = self.reads.naming.lock().await;
        let listing = self.sso.list_permission_sets();
        let listing = Box::pin(async { Ok(listing.await?.into_iter().collect()) });
        let arns = self.reads.listing.get(&self.shared.clock, self.shared.keep(), listing).await?;
        locked(&self.reads.names).retain(|arn, _| arns.contains(arn));
        for arn in arns.iter() {
            let known = locked(&self.reads.names).get(arn).cloned();
            if known.as_deref().is_some_and(|known| known != name) {
                continue;
            }
            match self.sso.describe_permission_set(arn).await {
                Ok(set) => {
                    locked(&self.reads.names).insert(arn.clone(), set.name.clone());
                    if set.name == name {
                        return Ok(Some(set));
                    }
                }
                Err(e) if e.is_not_found() => {}
                Err(e) => return Err(e),
            }
        }
        let (grace, now) = (self.shared.timing.creation_grace, self.now());
        let mut memory = locked(&self.shared.memory);
        memory.created.retain(|_, (_, at)| !older(*at, grace, now));
        Ok(memory.created.get(name).map(|(set, _)| set.clone()))
    }

    /// The same, as it is now.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn find_set_anew(
        &self,
        name: &str,
        hint: Option<&str>,
    ) -> Result<Option<PermissionSet>, CloudError> {
        self.reads.listing.forget().await;
        self.find_set(name, hint).await
    }

    /// A person asked to look anew: nothing that was read before counts.
    pub async fn refresh(&self) {
        self.reads.assignments.forget();
        locked(&self.reads.sets).clear();
        locked(&self.reads.stale).clear();
        locked(&self.reads.surveys).clear();
        locked(&self.shared.memory).searched.clear();
        self.reads.listing.forget().await;
        self.reads.people.forget().await;
        self.reads.accounts.forget().await;
        self.reads.places.forget().await;
    }
}
