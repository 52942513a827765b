//! Who is in the identity store: all groups where there are few, else one by one.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::instance::{Instance, locked};
use super::tracker::older;
use crate::clients::aws::assignments::PrincipalKind;
use crate::clients::aws::identity_store::StoredPrincipal;
use crate::clients::{CloudError, CloudErrorKind};

/// Beyond so many groups, one is looked up by name instead of reading all of them.
const MANY_GROUPS: usize = 2_000;
/// A listing that was cut off goes on where it was within this time.
const REMEMBERED: Duration = Duration::from_secs(600);
/// A listing serves so many times as long as it took: else it would be all that is done.
const WORTH: i32 = 10;
/// Who was looked up alone serves so many times as long as what is read for everybody: a pass that is cut off has many
/// such look-ups behind it.
const ALONE: u32 = 4;

/// What was read of people and groups.
#[derive(Debug, Default)]
pub(super) struct People {
    groups: tokio::sync::Mutex<Groups>,
    many: AtomicBool,
    named: Mutex<HashMap<(PrincipalKind, String), (StoredPrincipal, Timestamp)>>,
}

#[derive(Debug, Default)]
struct Groups {
    /// All of them: when they were there, and how long that serves.
    all: Option<(Timestamp, Duration, Arc<Vec<StoredPrincipal>>)>,
    /// A listing that is not at its end.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    at: Timestamp,
    groups: Vec<StoredPrincipal>,
    next: String,
    followed: BTreeSet<String>,
}

impl People {
    pub(super) async fn forget(&self) {
        *self.groups.lock().await = Groups::default();
        locked(&self.named).clear();
    }
}

impl Instance {
    /// All groups of the identity store, read once for everybody who asks within a short while.
    ///
    /// # Errors
    /// The classified failure. A listing that is cut off goes on where it was when somebody asks again.
    pub async fn groups(&self) -> Result<Arc<Vec<StoredPrincipal>>, CloudError> {
        let all = self.listed_groups(usize::MAX).await?;
        // There are no more groups than that.
        Ok(all.unwrap_or_default())
    }

    /// All groups; none when there are more than `most`.
    async fn listed_groups(&self, most: usize) -> Result<Option<Arc<Vec<StoredPrincipal>>>, CloudError> {
        let people = &self.reads.people;
        let mut groups = people.groups.lock().await;
        if let Some((at, serves, all)) = &groups.all
            && !older(*at, *serves, self.now())
        {
            return Ok(Some(Arc::clone(all)));
        }
        groups.begun.take_if(|begun| older(begun.at, REMEMBERED, self.now()));
        let began = groups.begun.as_ref().map_or_else(|| self.now(), |begun| begun.at);
        loop {
            let next = groups.begun.as_ref().map(|begun| begun.next.clone());
            let goes_on = next.is_some();
            // Whoever is cut off here has lost one page.
            let (page, next) = match self.store.groups_page(next).await {
                Ok(page) => page,
                Err(e) => {
                    // A place in a listing may not be good for ever.
                    if goes_on && e.kind == CloudErrorKind::Invalid {
                        groups.begun = None;
                    }
                    return Err(e);
                }
            };
            let begun = groups.begun.get_or_insert_with(|| Begun {
                at: began,
                groups: Vec::new(),
                next: String::new(),
                followed: BTreeSet::new(),
            });
            begun.groups.extend(page);
            let many = begun.groups.len() > MANY_GROUPS;
            if many {
                people.many.store(true, Ordering::Relaxed);
            }
            match next {
                Some(next) if !begun.followed.insert(next.clone()) => {
                    groups.begun = None;
                    return Err(endless());
                }
                Some(next) => begun.next = next,
                None => {
                    people.many.store(many, Ordering::Relaxed);
                    let all = Arc::new(std::mem::take(&mut begun.groups));
                    let (now, keep) = (self.now(), self.shared.keep());
                    let took = now.duration_since(began).saturating_mul(WORTH).unsigned_abs();
                    groups.begun = None;
                    groups.all =
                        Some((now, took.clamp(keep, self.shared.timing.resync.max(keep)), Arc::clone(&all)));
                    return Ok(Some(all));
                }
            }
            if begun.groups.len() > most {
                return Ok(None);
            }
        }
    }

    /// The group of that display name.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn group_named(&self, name: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        if !self.reads.people.many.load(Ordering::Relaxed)
            && let Some(groups) = self.listed_groups(MANY_GROUPS).await?
        {
            return Ok(groups.iter().find(|g| g.name == name).cloned());
        }
        self.alone(PrincipalKind::Group, name, self.store.group_by_name(name)).await
    }

    /// The user of that user name.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn user_named(&self, name: &str) -> Result<Option<StoredPrincipal>, CloudError> {
        self.alone(PrincipalKind::User, name, self.store.user_by_name(name)).await
    }

    /// Somebody who is looked up alone. Only who is there is remembered for a short while.
    async fn alone(
        &self,
        kind: PrincipalKind,
        name: &str,
        look: impl Future<Output = Result<Option<StoredPrincipal>, CloudError>>,
    ) -> Result<Option<StoredPrincipal>, CloudError> {
        let serves = self.shared.keep().saturating_mul(ALONE);
        let key = (kind, name.to_owned());
        let known = locked(&self.reads.people.named).get(&key).cloned();
        if let Some((found, _)) = known.filter(|(_, at)| !older(*at, serves, self.now())) {
            return Ok(Some(found));
        }
        let found = look.await?;
        let now = self.now();
        let mut named = locked(&self.reads.people.named);
        named.retain(|_, (_, at)| !older(*at, serves, now));
        named.extend(found.clone().map(|found| (key, (found, now))));
        Ok(found)
    }

    /// What a group is called, if that was read.
    pub(super) fn group_at_hand(&self, id: &str) -> Option<String> {
        if let Ok(groups) = self.reads.people.groups.try_lock()
            && let Some((_, _, all)) = &groups.all
            && let Some(group) = all.iter().find(|g| g.id == id)
        {
            return Some(group.name.clone());
        }
        self.named_at_hand(PrincipalKind::Group, id)
    }

    /// What a person is called who was looked up.
    pub(super) fn user_at_hand(&self, id: &str) -> Option<String> {
        self.named_at_hand(PrincipalKind::User, id)
    }

    fn named_at_hand(&self, kind: PrincipalKind, id: &str) -> Option<String> {
        let named = locked(&self.reads.people.named);
        named.iter().find(|((k, _), (p, _))| *k == kind && p.id == id).map(|(_, (p, _))| p.name.clone())
    }

    /// Names of groups that differ from that one in nothing but upper and lower case, where all groups are read anyway.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn groups_spelt_otherwise(&self, name: &str) -> Result<Vec<String>, CloudError> {
        if self.reads.people.many.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let wanted = name.to_lowercase();
        let Some(groups) = self.listed_groups(MANY_GROUPS).await? else { return Ok(Vec::new()) };
        let same = groups.iter().filter(|g| g.name != name && g.name.to_lowercase() == wanted);
        Ok(same.map(|g| g.name.clone()).collect())
    }
}

fn endless() -> CloudError {
    CloudError {
        service: crate::clients::Service::IdentityStore,
        operation: "ListGroups",
        kind: CloudErrorKind::Transient,
        status: 200,
        code: String::new(),
        message: "the listing does not end".to_owned(),
        request_id: None,
    }
}
