//! One Identity Center instance: what is known of it, and the only hands that change it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::patience::Patience;
use super::plan_set::ObservedSet;
use super::tracker::{Target, Tracker, Verb, older};
use crate::clients::aws::assignments::{Assignment, PrincipalId};
use crate::clients::aws::identity_store::{IdentityStore, StoredPrincipal};
use crate::clients::aws::organization::{Organization, OrganizationAccount};
use crate::clients::aws::permission_sets::PermissionSet;
use crate::clients::aws::sso_admin::SsoAdmin;
use crate::clients::aws::{AwsClients, Budget};
use crate::clients::{CloudError, CloudErrorKind, Due, Late, Service, Slowed};
use crate::clock::Clock;
use crate::settings::{Limits, Timing};

/// Beyond so many groups, one is looked up by name instead of reading all of them.
const MANY_GROUPS: usize = 2_000;

/// One instance, seen through one identity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(super) sso: SsoAdmin,
    store: IdentityStore,
    pub(super) organization: Organization,
    pub(super) shared: Arc<Shared>,
    pub(super) reads: Arc<Reads>,
    slowed: Slowed,
}

/// The readings of so many identities are kept; an instance is rarely seen through more than one.
const MOST_IDENTITIES: usize = 64;

/// Assignments, and when they were asked for.
pub(super) type Reading = (Timestamp, Arc<Vec<Assignment>>);

/// A role that may not read assignments by principal is asked again after so long.
const DENIED_FOR: Duration = Duration::from_secs(600);

/// What was read about some principals.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// What exists.
    pub seen: BTreeSet<Assignment>,
    /// When each was asked about that could be read.
    pub asked: BTreeMap<PrincipalId, Timestamp>,
    /// Those that could not be read, and why.
    pub failed: BTreeMap<PrincipalId, CloudError>,
}

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
    groups: Kept<Vec<StoredPrincipal>>,
    accounts: Kept<BTreeMap<String, OrganizationAccount>>,
    /// Where accounts are and what units are called: read only when rules ask for it.
    pub places: super::places::PlaceReads,
    many_groups: AtomicBool,
    users: Mutex<HashMap<String, (StoredPrincipal, Timestamp)>>,
    by_principal: Mutex<HashMap<PrincipalId, Reading>>,
    by_pair: Mutex<HashMap<(String, String), Reading>>,
    /// What others have, by set.
    pub surveys: Mutex<BTreeMap<String, super::survey::Survey>>,
    /// Reading by principal is for the management account (contract aws 1.6): when it was denied.
    pairs_only: Mutex<Option<Timestamp>>,
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

    /// All groups of the identity store, read once for everybody who asks within a short while.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn groups(&self) -> Result<Arc<Vec<StoredPrincipal>>, CloudError> {
        let groups =
            self.reads.groups.get(&self.shared.clock, self.shared.keep(), self.store.groups()).await?;
        self.reads.many_groups.store(groups.len() > MANY_GROUPS, Ordering::Relaxed);
        Ok(groups)
    }

    /// The group of that display name.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn group_named(&self, name: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        if self.reads.many_groups.load(Ordering::Relaxed) {
            return self.store.group_by_name(name).await;
        }
        Ok(self.groups().await?.iter().find(|g| g.name == name).cloned())
    }

    /// The user of that user name. Only who is there is remembered for a short while.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn user_named(&self, name: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        let known = locked(&self.reads.users).get(name).cloned();
        if let Some((user, _)) = known.filter(|(_, at)| self.shared.is_fresh(*at)) {
            return Ok(Some(user));
        }
        let found = self.store.user_by_name(name).await?;
        let mut users = locked(&self.reads.users);
        users.retain(|_, (_, at)| self.shared.is_fresh(*at));
        users.extend(found.clone().map(|user| (name.to_owned(), (user, self.now()))));
        Ok(found)
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

    /// The assignments of a permission set that concern the given principals, as AWS shows them. Principals whose
    /// assignments could not be read come with the failure; so do those that it was too late for (`until`).
    /// `accounts` are where to look when reading by principal is not possible. `after` makes it read anew what was
    /// read before that moment.
    pub(super) async fn read_assignments(
        &self,
        set_arn: &str,
        principals: &BTreeSet<PrincipalId>,
        accounts: &BTreeSet<String>,
        after: Option<Timestamp>,
        until: Option<&Due>,
    ) -> Readings {
        let mut readings = Readings::default();
        for principal in principals {
            let reading = self.read_principal(set_arn, principal, accounts, after);
            let read = match until {
                None => reading.await,
                Some(until) => until.meet(reading).await.unwrap_or_else(|late| Err(too_late(late))),
            };
            match read {
                Ok((asked, found)) => {
                    readings.asked.insert(principal.clone(), asked);
                    readings.seen.extend(found);
                }
                Err(e) => _ = readings.failed.insert(principal.clone(), e),
            }
        }
        readings
    }

    /// The assignments of a set that one principal has, and when they were asked for.
    async fn read_principal(
        &self,
        set_arn: &str,
        principal: &PrincipalId,
        accounts: &BTreeSet<String>,
        after: Option<Timestamp>,
    ) -> Result<(Timestamp, Vec<Assignment>), CloudError> {
        if let Some((asked, all)) = self.by_principal(principal, after).await? {
            return Ok((asked, all.iter().filter(|a| a.set_arn == set_arn).cloned().collect()));
        }
        let mut oldest = self.now();
        let mut found = Vec::new();
        for account in accounts {
            let (asked, all) = self.by_pair(set_arn, account, after).await?;
            oldest = oldest.min(asked);
            found.extend(all.iter().filter(|a| a.principal == *principal).cloned());
        }
        Ok((oldest, found))
    }

    /// All assignments of a principal; none when they must be read by pair.
    async fn by_principal(
        &self,
        principal: &PrincipalId,
        after: Option<Timestamp>,
    ) -> Result<Option<Reading>, CloudError> {
        let denied = *locked(&self.reads.pairs_only);
        if denied.is_some_and(|at| !older(at, DENIED_FOR, self.now())) {
            return Ok(None);
        }
        let kept = locked(&self.reads.by_principal).get(principal).cloned();
        if let Some(reading) = self.still_good(kept, after) {
            return Ok(Some(reading));
        }
        let asked = self.now();
        match self.sso.assignments_of_principal(principal).await {
            Ok(all) => {
                let reading = (asked, Arc::new(all));
                self.keep_reading(&self.reads.by_principal, principal.clone(), reading.clone());
                Ok(Some(reading))
            }
            Err(e) if e.kind == CloudErrorKind::Denied => {
                *locked(&self.reads.pairs_only) = Some(self.now());
                Ok(None)
            }
            // A principal that left the store: its assignments may be there all the same (contract aws 2.2).
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All assignments of a set on an account, whoever has them.
    pub(super) async fn by_pair(
        &self,
        set_arn: &str,
        account: &str,
        after: Option<Timestamp>,
    ) -> Result<Reading, CloudError> {
        let key = (set_arn.to_owned(), account.to_owned());
        let kept = locked(&self.reads.by_pair).get(&key).cloned();
        if let Some(reading) = self.still_good(kept, after) {
            return Ok(reading);
        }
        let asked = self.now();
        let all = match self.sso.assignments_of_pair(set_arn, account).await {
            Ok(all) => Arc::new(all),
            // Neither set nor account: nothing is assigned there.
            Err(e) if e.is_not_found() => Arc::default(),
            Err(e) => return Err(e),
        };
        self.keep_reading(&self.reads.by_pair, key, (asked, Arc::clone(&all)));
        Ok((asked, all))
    }

    /// The assignments of a set on an account, if they were read a moment ago.
    pub(super) fn pair_at_hand(&self, set_arn: &str, account: &str) -> Option<Reading> {
        let kept = locked(&self.reads.by_pair).get(&(set_arn.to_owned(), account.to_owned())).cloned();
        self.still_good(kept, None)
    }

    /// What a group is called, if the groups were read.
    pub(super) fn group_at_hand(&self, id: &str) -> Option<String> {
        let kept = self.reads.groups.0.try_lock().ok()?;
        let (_, groups) = kept.as_ref()?;
        groups.iter().find(|g| g.id == id).map(|g| g.name.clone())
    }

    /// What a person is called who was looked up.
    pub(super) fn user_at_hand(&self, id: &str) -> Option<String> {
        locked(&self.reads.users).values().find(|(u, _)| u.id == id).map(|(u, _)| u.name.clone())
    }

    /// Names of groups that differ from that one in nothing but upper and lower case, where all groups are read anyway.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn groups_spelt_otherwise(&self, name: &str) -> Result<Vec<String>, CloudError> {
        if self.reads.many_groups.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let wanted = name.to_lowercase();
        let groups = self.groups().await?;
        let same = groups.iter().filter(|g| g.name != name && g.name.to_lowercase() == wanted);
        Ok(same.map(|g| g.name.clone()).collect())
    }

    /// Keeps a reading, and no others that serve nobody any more.
    fn keep_reading<K: Eq + Hash>(&self, readings: &Mutex<HashMap<K, Reading>>, key: K, reading: Reading) {
        let mut readings = locked(readings);
        readings.retain(|_, (at, _)| self.shared.is_fresh(*at));
        readings.insert(key, reading);
    }

    fn still_good(&self, kept: Option<Reading>, after: Option<Timestamp>) -> Option<Reading> {
        kept.filter(|(at, _)| self.shared.is_fresh(*at) && after.is_none_or(|after| *at >= after))
    }

    /// What was read about this target is out of date.
    pub(super) fn forget_reading(&self, verb: Verb, target: &Target) {
        if let Some(principal) = &target.principal {
            locked(&self.reads.by_principal).remove(principal);
        }
        locked(&self.reads.by_pair).remove(&(target.set_arn.clone(), target.account.clone()));
        if verb == Verb::Delete {
            // The last assignment of an account takes the role with it.
            locked(&self.reads.stale).remove(&target.set_arn);
        }
    }

    /// A person asked to look anew: nothing that was read before counts.
    pub async fn refresh(&self) {
        locked(&self.reads.by_principal).clear();
        locked(&self.reads.by_pair).clear();
        locked(&self.reads.users).clear();
        locked(&self.reads.sets).clear();
        locked(&self.reads.stale).clear();
        locked(&self.reads.surveys).clear();
        locked(&self.shared.memory).searched.clear();
        *locked(&self.reads.pairs_only) = None;
        self.reads.listing.forget().await;
        self.reads.groups.forget().await;
        self.reads.accounts.forget().await;
        self.reads.places.forget().await;
    }
}

/// There was no time left to read it.
fn too_late(late: Late) -> CloudError {
    CloudError {
        service: Service::SsoAdmin,
        operation: "ListAccountAssignmentsForPrincipal",
        kind: match late {
            Late::Slowed => CloudErrorKind::Throttled { retry_after: None },
            Late::Silent => CloudErrorKind::Transient,
        },
        status: 0,
        code: String::new(),
        message: "no answer in time".to_owned(),
        request_id: None,
    }
}
