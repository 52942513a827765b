//! Other bindings that claim the same permission set, and whose it is then.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, ResourceExt};

use super::crowd::{self, Look};
use super::ledger::Ledger;
use super::resolve::Resolved;
use super::{guard, rules};
use crate::api::v1alpha1::{Definition, FederationRef, IdentityFederation, PermissionSetBinding};
use crate::controllers::context::Context;
use crate::controllers::{commands, marks};
use crate::engine::plan_assignments::Grant;
use crate::engine::plan_set::OWNER_TAG;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// The others that claim a permission set.
#[derive(Debug, Default)]
pub struct Rivals {
    /// Of the same namespace.
    pub here: Vec<PermissionSetBinding>,
    /// Of all namespaces.
    all: Vec<Claimant>,
    /// The one that asks.
    own: Claimant,
}

/// A binding that claims a permission set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimant {
    /// How messages name it.
    name: String,
    /// Its owner mark.
    mark: String,
    /// When it was made, and then namespace and name.
    age: (Option<Timestamp>, String, String),
    /// Whether it is being deleted.
    is_leaving: bool,
}

impl Claimant {
    fn of<K: ResourceExt>(object: &K, beside: &str, context: &Context) -> Self {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        Self {
            name: if namespace == beside { name.clone() } else { format!("{namespace}/{name}") },
            mark: context.owner_mark(&namespace, &name),
            age: (object.creation_timestamp().map(|t| t.0), namespace, name),
            is_leaving: object.meta().deletion_timestamp.is_some(),
        }
    }
}

impl Rivals {
    /// Whose a permission set is, if it is another claimant's: whose `mark` it carries, and as long as it carries none,
    /// or does not exist, whoever was there first. All claimants come to the same answer, so one writes at most; and
    /// whoever does not know of the others yet is stopped by the mark.
    #[must_use]
    pub fn before(&self, mark: Option<&str>) -> Option<&Claimant> {
        match mark {
            Some(mark) => self.all.iter().find(|c| c.mark == mark),
            None => self.all.iter().min_by_key(|c| &c.age).filter(|c| c.age < self.own.age),
        }
    }

    /// What of a ledger also stands in the ledger of one of them. The word of a ledger in another namespace would keep
    /// access alive that is to end here.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub async fn hold(&self, ledger: &Ledger, context: &Context) -> Result<BTreeSet<Grant>, Problem> {
        let mut held = BTreeSet::new();
        for rival in self.here.iter().filter(|_| !ledger.grants.is_empty()) {
            let theirs = Ledger::read(rival, context).await?;
            if theirs.set_arn == ledger.set_arn {
                held.extend(theirs.grants);
            }
        }
        Ok(held)
    }
}

/// What is said of a permission set that is another claimant's.
#[must_use]
pub fn claimed_twice(set: &str, other: &Claimant) -> Problem {
    let name = &other.name;
    let message = if other.is_leaving {
        format!(
            "permission set {set} is that of PermissionSetBinding {name}, which is being deleted: this binding goes on when that is gone; until then nothing is given through it"
        )
    } else {
        format!(
            "permission set {set} is that of PermissionSetBinding {name}, which goes before this one; nothing is given through this binding: delete this one, which takes nothing from anybody, and bind under another spec.permissionSet.name. Or delete {name}: what it gave goes with it, and this one goes on when that is gone"
        )
    };
    Problem::new(Class::Blocked, Reason::ClaimedTwice, message)
}

/// A permission set that carries the mark of somebody who claims nothing here.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'a> {
    /// The instance.
    pub instance_arn: &'a str,
    /// The set.
    pub arn: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The mark.
    pub owner: &'a str,
}

impl Foreign<'_> {
    /// Whether the mark is that of a binding of this namespace that does not exist (any more).
    ///
    /// # Errors
    /// API server trouble.
    pub async fn is_forsaken(
        &self,
        object: &PermissionSetBinding,
        context: &Context,
    ) -> Result<bool, Problem> {
        let namespace = object.namespace().unwrap_or_default();
        let prefix = context.owner_mark(&namespace, "");
        let Some(name) = self.owner.strip_prefix(&prefix) else { return Ok(false) };
        let bindings = Api::<PermissionSetBinding>::namespaced(context.kube.clone(), &namespace);
        Ok(bindings.get_metadata_opt(name).await?.is_none())
    }

    /// What is said of it. `every`: how often it is looked at.
    #[must_use]
    pub fn told(&self, own: &str, is_forsaken: bool, every: Duration) -> Problem {
        let Self { instance_arn, arn, name, owner } = self;
        let every = commands::seconds(every);
        let belongs = format!("permission set {name} belongs to {owner} (its tag {OWNER_TAG})");
        let (class, message) = match marks::of_another_installation(own, owner) {
            Some(advice) => (Class::Guarded, format!("{belongs}: {advice}")),
            // AWS shows for a while what was deleted (contract aws 1.11).
            None if is_forsaken => (
                Class::Blocked,
                format!(
                    "{belongs}, which does not exist any more. If it was deleted a moment ago, wait: AWS shows its set a little longer. If it left the set (deletionPolicy Retain), create it again; or have this binding take the set over: aws sso-admin untag-resource --instance-arn {instance_arn} --resource-arn {arn} --tag-keys {OWNER_TAG}, and set spec.permissionSet.adopt to true. It is looked at every {every}"
                ),
            ),
            None => (
                Class::Guarded,
                format!(
                    "{belongs}: choose another name, or delete that owner's binding first; it is looked at every {every}"
                ),
            ),
        };
        Problem::new(class, Reason::OwnedByOther, message)
    }
}

/// That no other binding goes before this one, as of now. Asked before a write that says whose a set is: of two bindings
/// that were created at once, the watch may not have told yet.
///
/// # Errors
/// `ClaimedTwice`; API server trouble.
pub async fn first_claim(
    object: &PermissionSetBinding,
    resolved: &Resolved,
    context: &Context,
) -> Result<(), Problem> {
    let rivals = rivals(object, resolved, Look::Anew, context).await?;
    match rivals.before(None) {
        Some(other) => Err(claimed_twice(&object.spec.permission_set.name, other)),
        None => Ok(()),
    }
}

/// The other bindings that claim this binding's permission set. Two that claim one do not fight: the set is one's, and the
/// other gives nobody anything ([`Rivals::before`]). One that is being deleted claims it until it is gone. Who only uses a
/// set claims nothing, and neither does who may not have the name by the rules: else anybody could stop anybody.
///
/// # Errors
/// API server trouble.
pub async fn rivals(
    object: &PermissionSetBinding,
    resolved: &Resolved,
    look: Look,
    context: &Context,
) -> Result<Rivals, Problem> {
    let (own, home) = (object.namespace().unwrap_or_default(), resolved.federation.namespace());
    let mut rivals = Rivals { own: Claimant::of(object, &own, context), ..Rivals::default() };
    let name = &object.spec.permission_set.name;
    let shared = guard::rules_of(&resolved.federation);
    if object.spec.permission_set.definition == Definition::Elsewhere
        || !rules::may_claim(shared, &home.unwrap_or_default(), &own, &resolved.labels, name)
    {
        return Ok(rivals);
    }
    let mut judge = Judge { context, instance_arn: &resolved.instance_arn, federations: HashMap::new() };
    for other in crowd::naming(name, Some(&own), look, context).await? {
        let set = &other.spec.permission_set;
        if other.uid() == object.uid() || set.definition == Definition::Elsewhere {
            continue;
        }
        if judge.claims(&own, &other.spec.federation_ref, name).await? {
            rivals.all.push(Claimant::of(&other, &own, context));
            rivals.here.push(other);
        }
    }
    let shared = shared.is_some_and(|rules| rules.iter().any(|rule| rule.namespaces.is_some()));
    if !shared && !guard::is_foreign(object, &resolved.federation) {
        return Ok(rivals);
    }
    for other in crowd::naming(name, None, look, context).await? {
        let namespace = other.namespace().unwrap_or_default();
        if namespace != own
            && other.spec.permission_set.definition == Definition::Here
            && judge.claims(&namespace, &other.spec.federation_ref, name).await?
        {
            rivals.all.push(Claimant::of(&other, &own, context));
        }
    }
    Ok(rivals)
}

/// Says whether a binding may claim a set of one instance. A federation is read once.
struct Judge<'a> {
    context: &'a Context,
    instance_arn: &'a str,
    federations: HashMap<(String, String), Option<IdentityFederation>>,
}

impl Judge<'_> {
    async fn claims(
        &mut self,
        namespace: &str,
        reference: &FederationRef,
        set_name: &str,
    ) -> Result<bool, Problem> {
        let own = reference.namespace.as_deref().unwrap_or(namespace);
        // What the operator may not read gives nothing to anybody.
        if !self.context.settings.watches(own) {
            return Ok(false);
        }
        let key = (own.to_owned(), reference.name.clone());
        if !self.federations.contains_key(&key) {
            let api = Api::<IdentityFederation>::namespaced(self.context.kube.clone(), own);
            let found = api.get_opt(&reference.name).await?;
            self.federations.insert(key.clone(), found);
        }
        let Some(Some(federation)) = self.federations.get(&key) else { return Ok(false) };
        let instance = federation.status.as_ref().and_then(|s| Some(&s.aws.as_ref()?.instance_arn));
        if instance.map(String::as_str) != Some(self.instance_arn) {
            return Ok(false);
        }
        let rules = guard::rules_of(federation);
        let labels = guard::labels(rules, namespace, self.context).await?;
        Ok(rules::may_claim(rules, own, namespace, &labels, set_name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(name: &str, second: i64) -> Claimant {
        Claimant {
            name: name.into(),
            mark: format!("i/n/{name}"),
            age: (Timestamp::from_second(second).ok(), "n".into(), name.into()),
            is_leaving: false,
        }
    }

    #[test]
    fn one_of_several_claimants_has_the_set_and_all_agree_which() {
        // Oldest first; the last two were made in the same second.
        let all = [claimant("z", 1), claimant("c", 2), claimant("d", 2)];
        for (mark, first) in [(None, Some("z")), (Some("i/n/d"), Some("d")), (Some("j/n/z"), None)] {
            for own in &all {
                let others = all.iter().filter(|c| *c != own).cloned().collect();
                let rivals = Rivals { here: Vec::new(), all: others, own: own.clone() };
                let before = rivals.before(mark).map(|c| c.name.as_str());
                // Whoever carries the mark is never asked.
                let expected = first.filter(|first| *first != own.name);
                assert_eq!(before, expected, "{} with {mark:?}", own.name);
            }
        }
        let two = Rivals { here: Vec::new(), all: vec![claimant("d", 2)], own: claimant("c", 2) };
        assert_eq!(two.before(None), None, "the name decides between two of one second");
    }

    #[test]
    fn what_is_said_of_another_ones_set_says_what_to_do_and_when_it_is_looked_at() {
        let leaving = Claimant { is_leaving: true, ..claimant("one", 1) };
        let told = claimed_twice("Readers", &leaving).message;
        assert!(told.contains("PermissionSetBinding one, which is being deleted"), "{told}");
        let told = claimed_twice("Readers", &claimant("one", 1)).message;
        assert!(told.contains("delete this one, which takes nothing from anybody"), "{told}");

        let set = Foreign { instance_arn: "arn:i", arn: "arn:set", name: "Readers", owner: "i/n/old" };
        let said = |own: &str, gone| set.told(own, gone, Duration::from_secs(30));
        let (stays, gone, twin) = (said("i/n/new", false), said("i/n/new", true), said("j/n/old", false));
        assert_eq!((stays.class, gone.class, twin.class), (Class::Guarded, Class::Blocked, Class::Guarded));
        for (problem, words) in [
            (&stays, "choose another name, or delete that owner's binding first; it is looked at every 30 s"),
            (
                &gone,
                "untag-resource --instance-arn arn:i --resource-arn arn:set --tag-keys causeway.dev/owner",
            ),
            (&gone, "does not exist any more. If it was deleted a moment ago, wait"),
            (&twin, "--installation-id i"),
        ] {
            assert_eq!(problem.reason, Reason::OwnedByOther);
            assert!(problem.message.contains(words), "{}", problem.message);
        }
    }
}
