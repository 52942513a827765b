//! Other bindings that claim the same permission set.

use std::collections::HashMap;

use kube::{Api, ResourceExt as _};

use super::crowd::{self, Look};
use super::resolve::Resolved;
use super::{guard, rules};
use crate::api::v1alpha1::{Definition, FederationRef, IdentityFederation, PermissionSetBinding};
use crate::controllers::context::Context;
use crate::problem::Problem;

/// The others that claim a permission set.
#[derive(Debug, Default)]
pub struct Rivals {
    /// Of the same namespace.
    pub here: Vec<PermissionSetBinding>,
    /// Of other namespaces, `<namespace>/<name>`.
    pub elsewhere: Vec<String>,
}

impl Rivals {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.here.is_empty() && self.elsewhere.is_empty()
    }
}

/// The other bindings that claim this binding's permission set. Two that claim one do not fight: neither gives anybody
/// anything. Who only uses a set claims nothing, and neither does who may not have the name by the rules: else anybody
/// could stop anybody.
///
/// # Errors
/// API server trouble.
pub async fn rivals(
    object: &PermissionSetBinding,
    resolved: &Resolved,
    look: Look,
    context: &Context,
) -> Result<Rivals, Problem> {
    let mut rivals = Rivals::default();
    let (own, home) = (object.namespace().unwrap_or_default(), resolved.federation.namespace());
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
        if other.uid() == object.uid()
            || set.definition == Definition::Elsewhere
            // One that is going lets go; until then the set carries its mark.
            || other.metadata.deletion_timestamp.is_some()
        {
            continue;
        }
        if judge.claims(&own, &other.spec.federation_ref, name).await? {
            rivals.here.push(other);
        }
    }
    rivals.here.sort_by_key(|b| b.name_any());
    let shared = shared.is_some_and(|rules| rules.iter().any(|rule| rule.namespaces.is_some()));
    if !shared && !guard::is_foreign(object, &resolved.federation) {
        return Ok(rivals);
    }
    for other in crowd::naming(name, None, look, context).await? {
        let namespace = other.namespace().unwrap_or_default();
        if namespace != own
            && other.spec.permission_set.definition == Definition::Here
            && other.metadata.deletion_timestamp.is_none()
            && judge.claims(&namespace, &other.spec.federation_ref, name).await?
        {
            rivals.elsewhere.push(format!("{namespace}/{}", other.name_any()));
        }
    }
    rivals.elsewhere.sort();
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
