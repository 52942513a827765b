//! Permission sets: reading, editing, deleting, and which accounts are stale.

use std::collections::{BTreeMap, BTreeSet};

use super::instance::{Instance, Parts, locked};
use super::plan_assignments::Grant;
use super::plan_set::{DesiredSet, ObservedSet, SetStep};
use super::tracker::{Target, Verb, older};
use crate::clients::aws::permission_sets::{PermissionSet, SetEdit};
use crate::clients::{CloudError, Service};
use crate::telemetry::Audit;

/// What came of editing a set.
#[derive(Debug)]
pub struct EditedSet {
    /// The set as the steps that were carried out left it.
    pub set: Option<ObservedSet>,
    /// How many steps were carried out.
    pub done: usize,
    /// What stopped the rest.
    pub failure: Option<CloudError>,
}

impl Instance {
    /// The permission set as it is, as far as `desired` manages it, or as a `whole`; none when there is no set of that
    /// name. Many passes within a short while, as when assignments are under way, read it once.
    ///
    /// # Errors
    /// The classified failure, and the ARN when the set is there but could not be read.
    pub async fn observe_set(
        &self,
        desired: &DesiredSet,
        whole: bool,
        hint: Option<&str>,
    ) -> Result<Option<ObservedSet>, (CloudError, Option<String>)> {
        let parts = Parts {
            managed: whole || desired.managed.is_some(),
            references: whole || desired.references.is_some(),
        };
        let known = locked(&self.reads.sets).get(&desired.name).cloned();
        if let Some((set, read, at)) = known
            && read == parts
            && self.shared.is_fresh(at)
        {
            return Ok(Some(set));
        }
        let asked = self.now();
        let Some(set) = self.find_set(&desired.name, hint).await.map_err(|e| (e, None))? else {
            return Ok(None);
        };
        let arn = set.arn.clone();
        let set = self.read_set(set, parts).await.map_err(|e| (e, Some(arn)))?;
        let mut known = locked(&self.reads.sets);
        known.retain(|_, (_, _, at)| self.shared.is_fresh(*at));
        known.insert(desired.name.clone(), (set.clone(), parts, asked));
        Ok(Some(set))
    }

    /// Reads a set with the parts that are asked for. Parts that we edited a moment ago are seen through a stale reading.
    ///
    /// # Errors
    /// The classified failure.
    async fn read_set(&self, set: PermissionSet, parts: Parts) -> Result<ObservedSet, CloudError> {
        let arn = set.arn.clone();
        let mut read = ObservedSet::fresh(set, self.sso.tags(&arn).await?);
        if parts.managed {
            read.managed = self.sso.managed_policies(&arn).await?;
        }
        if parts.references {
            read.references = self.sso.policy_references(&arn).await?;
        }
        read.inline = self.sso.inline_policy(&arn).await?;
        read.boundary = self.sso.boundary(&arn).await?;

        let (grace, now) = (self.shared.timing.creation_grace, self.now());
        let mut memory = locked(&self.shared.memory);
        let Some(edits) = memory.edits.get_mut(&arn) else { return Ok(read) };
        edits.retain(|(_, _, at)| !older(*at, grace, now));
        if edits.last().is_none_or(|(_, after, _)| *after == read) {
            memory.edits.remove(&arn);
            return Ok(read);
        }
        Ok(read.despite_lag(edits.iter().map(|(before, after, _)| (before, after))))
    }

    /// Carries out steps one after the other, and stops at the first that fails.
    pub(crate) async fn edit_set(
        &self,
        observed: Option<ObservedSet>,
        steps: &[SetStep],
        audit: &Audit,
    ) -> EditedSet {
        let mut edited = EditedSet { set: observed, done: 0, failure: None };
        if let Some(set) = &edited.set {
            locked(&self.reads.sets).remove(&set.set.name);
            locked(&self.reads.stale).remove(&set.set.arn);
        }
        // A set that is made now is on no account yet.
        let fresh = edited.set.is_none();
        for step in steps {
            if let Err(error) = self.carry_out(step, &mut edited.set, fresh, audit).await {
                edited.failure = Some(error);
                break;
            }
            edited.done += 1;
        }
        edited
    }

    async fn carry_out(
        &self,
        step: &SetStep,
        state: &mut Option<ObservedSet>,
        fresh: bool,
        audit: &Audit,
    ) -> Result<(), CloudError> {
        match (step, state.as_mut()) {
            (SetStep::Create { name, settings, tags }, None) => {
                let attempt = audit.attempt(Service::SsoAdmin, "CreatePermissionSet", name);
                let written = self.sso.create_permission_set(name, settings, tags).await;
                let call = written.as_ref().ok().and_then(|(_, call)| call.clone());
                attempt.ended(&written, call.as_deref());
                if written.is_err() {
                    // It may be there for all that, or somebody else's.
                    self.reads.listing.forget().await;
                }
                let (set, _) = written?;
                locked(&self.shared.memory).created.insert(name.clone(), (set.clone(), self.now()));
                // As we asked for it: what the answer leaves out is there all the same.
                let set = PermissionSet { settings: settings.clone(), ..set };
                *state = Some(ObservedSet::fresh(set, tags.clone()));
                Ok(())
            }
            (SetStep::Edit(edit), Some(before)) => {
                let arn = before.set.arn.clone();
                let attempt = audit.attempt(Service::SsoAdmin, edit.operation(), &arn);
                let written = self.sso.edit_permission_set(&arn, edit).await;
                let call = written.as_ref().ok().and_then(|(_, call)| call.clone());
                attempt.ended(&written, call.as_deref());
                written?;
                let now = self.now();
                if !fresh && !matches!(edit, SetEdit::Tag(_) | SetEdit::Untag(_)) {
                    self.shared.tracker().edited(&arn, now);
                }
                let after = before.clone().after(edit);
                let memory = &mut *locked(&self.shared.memory);
                memory.edits.entry(arn).or_default().push((before.clone(), after.clone(), now));
                *before = after;
                Ok(())
            }
            // A plan creates first and once.
            (SetStep::Create { .. }, Some(_)) | (SetStep::Edit(_), None) => Ok(()),
        }
    }

    /// The accounts whose role is older than the set, without those that were just brought up to date.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn stale_accounts(&self, set_arn: &str) -> Result<BTreeSet<String>, CloudError> {
        let known = locked(&self.reads.stale).get(set_arn).cloned();
        let settling = self.is_settling(set_arn);
        let mut stale = match known.filter(|(_, at)| !settling && self.shared.is_fresh(*at)) {
            Some((stale, _)) => stale,
            None => self.read_stale(set_arn).await?,
        };
        let mut tracker = self.shared.tracker();
        let outcomes: Vec<(Target, bool)> = tracker
            .outcomes_for(set_arn)
            .filter(|(_, o)| o.verb == Verb::Provision)
            .map(|(target, o)| (target.clone(), o.failure.is_some()))
            .collect();
        let now = self.now();
        for (target, failed) in outcomes {
            match (stale.contains(&target.account), failed) {
                (true, false) => _ = stale.remove(&target.account),
                (false, true) => tracker.forget(&target),
                (false, false) => tracker.seen(&target, now),
                (true, true) => {}
            }
        }
        Ok(stale)
    }

    /// Whether a set was edited so shortly before that no reading has shown yet which accounts that made stale.
    #[must_use]
    pub fn is_settling(&self, set_arn: &str) -> bool {
        let tracker = self.shared.tracker();
        let Some(edited) = tracker.edited_at(set_arn) else { return false };
        let running = tracker.running_for(set_arn).any(|(verb, _)| verb == Verb::Provision);
        let shown = running
            || tracker.outcomes_for(set_arn).any(|(_, o)| o.verb == Verb::Provision && o.at >= edited);
        !shown && !older(edited, self.shared.lag(), self.now())
    }

    async fn read_stale(&self, set_arn: &str) -> Result<BTreeSet<String>, CloudError> {
        let asked = self.now();
        let mut stale = self.sso.provisioned_accounts(set_arn, true).await?;
        if !stale.is_empty() {
            // Never provision an account that holds no role: that would create one for nobody (contract aws 1.5).
            let provisioned = self.sso.provisioned_accounts(set_arn, false).await?;
            stale.retain(|account| provisioned.contains(account));
        }
        let mut known = locked(&self.reads.stale);
        known.retain(|_, (_, at)| self.shared.is_fresh(*at));
        known.insert(set_arn.to_owned(), (stale.clone(), asked));
        Ok(stale)
    }

    /// The accounts that hold a role of the set.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn provisioned_accounts(&self, set_arn: &str) -> Result<BTreeSet<String>, CloudError> {
        self.sso.provisioned_accounts(set_arn, false).await
    }

    /// The assignments of a set on an account as AWS shows them now, whoever made them.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn assignments_on(&self, set_arn: &str, account: &str) -> Result<BTreeSet<Grant>, CloudError> {
        let all = self.sso.assignments_of_pair(set_arn, account).await?;
        Ok(all.into_iter().map(|a| Grant { account: a.account, principal: a.principal }).collect())
    }

    /// Whether anybody has the set on an account, but for those of whom we know that they have just lost it. Others may
    /// have lost it within the last moments: readings serve for a short while.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn has_assignments(&self, set_arn: &str, account: &str) -> Result<bool, CloudError> {
        let (_, all) = self.by_pair(set_arn, account, None).await?;
        let tracker = self.shared.tracker();
        let lost: BTreeSet<&Target> = tracker
            .outcomes_for(set_arn)
            .filter(|(_, o)| o.verb == Verb::Delete && o.failure.is_none())
            .map(|(target, _)| target)
            .collect();
        Ok(all.iter().any(|a| !lost.contains(&Target::from(a.clone()))))
    }

    /// The set with that ARN, as it is now.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn set_at(&self, set_arn: &str) -> Result<PermissionSet, CloudError> {
        self.sso.describe_permission_set(set_arn).await
    }

    /// The tags of a set.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn set_tags(&self, set_arn: &str) -> Result<BTreeMap<String, String>, CloudError> {
        self.sso.tags(set_arn).await
    }

    /// Deletes a set.
    ///
    /// # Errors
    /// Conflict while it is still provisioned somewhere (contract aws 1.7); a set that is gone is none.
    pub(crate) async fn delete_set(&self, set: &PermissionSet, audit: &Audit) -> Result<(), CloudError> {
        let attempt = audit.attempt(Service::SsoAdmin, "DeletePermissionSet", &set.arn);
        let written = self.sso.delete_permission_set(&set.arn).await;
        let call = written.as_ref().ok().and_then(|(_, call)| call.clone());
        attempt.ended(&written, call.as_deref());
        match written {
            Err(e) if !e.is_not_found() => return Err(e),
            _ => {}
        }
        let memory = &mut *locked(&self.shared.memory);
        memory.created.remove(&set.name);
        memory.edits.remove(&set.arn);
        locked(&self.reads.sets).remove(&set.name);
        locked(&self.reads.stale).remove(&set.arn);
        locked(&self.reads.surveys).remove(&set.arn);
        Ok(())
    }
}
