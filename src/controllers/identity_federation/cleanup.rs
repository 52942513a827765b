//! Letting go: referrers first, then the application if it is ours and shall be deleted.

use std::fmt;

use kube::api::{ApiResource, ListParams};
use kube::{Api, ResourceExt as _};
use serde::Deserialize;

use super::apply::audit;
use super::desired::{self, Desired};
use super::observed::{Application, recorded, uid};
use super::{claims, entra, intents};
use crate::api::v1alpha1::{
    FederationRef, IdentityFederation, IdentityFederationStatus, Party, PermissionSetBinding, ScimConnection,
};
use crate::api::{DeletionPolicy, Mode, annotations};
use crate::clients::CloudError;
use crate::clients::entra::Graph;
use crate::clients::entra::applications::IDENTITY_CENTER_TEMPLATE;
use crate::controllers::absences::Absences;
use crate::controllers::access::named;
use crate::controllers::context::Context;
use crate::controllers::permission_set_binding::takes;
use crate::controllers::stores::known;
use crate::controllers::{Cleanup, Outcome, commands};
use crate::plan::Plan;
use crate::problem::{Class, Problem};
use crate::status::{ConditionSet, Reason, Verdict};

/// How many referrers a message names.
const NAMED: usize = 5;

/// What helps when nothing else does.
fn hint(object: &IdentityFederation) -> String {
    let command = commands::annotate(&commands::target(object), annotations::ABANDON, "true");
    format!("to let go of what is in the clouds: {command}")
}

/// One pass of letting go.
pub async fn cleanup(
    object: &IdentityFederation,
    context: &Context,
    absences: &Absences,
) -> Cleanup<IdentityFederationStatus> {
    match run(object, context, absences).await {
        Ok(None) => Cleanup::Done,
        Ok(Some(problem)) | Err(problem) => {
            problem.log();
            Cleanup::Waiting(told(object, context, &problem))
        }
    }
}

/// None when there is nothing left to wait for. Deletion is a stated act: `spec.suspend` does not hold it up.
async fn run(
    object: &IdentityFederation,
    context: &Context,
    absences: &Absences,
) -> Result<Option<Problem>, Problem> {
    let referrers = referrers(object, context).await?;
    if !referrers.is_empty() {
        let more = referrers.len().saturating_sub(NAMED);
        let named = referrers.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return Ok(Some(Problem::new(
            Class::Blocked,
            Reason::DeletionBlocked,
            format!("these refer to it; delete them first: {named}{more}"),
        )));
    }
    // Retain needs neither credentials nor clouds; and what another party looks after is not ours to delete.
    if object.spec.deletion_policy == DeletionPolicy::Retain || object.spec.party() == Party::Aws {
        return Ok(None);
    }
    let recorded = recorded(object);
    // One that only observed and never found an application has made none.
    let never_any = recorded.application_object_id.is_none() && recorded.pending_creations.is_empty();
    if entra::observes_only(object, context) && never_any {
        return Ok(None);
    }
    delete_application(object, context, absences).await
}

/// As much of a referrer as is needed here, so that one that does not fit its schema blocks nothing else.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    federation_ref: FederationRef,
}

/// What a referrer says that it has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Holding {
    permission_set_arn: Option<String>,
}

/// Connections of this namespace and bindings of all watched ones, also those that are going themselves. A binding of
/// another namespace that is not taken and has made nothing does not count: else anybody could keep a federation.
async fn referrers(object: &IdentityFederation, context: &Context) -> Result<Vec<String>, Problem> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    // Many that go one after the other wake the federation as often: what the watch has told of them will do, but that
    // there are none must be so now.
    let watched = watched_referrers(&namespace, &name, context);
    if !watched.is_empty() {
        return Ok(watched);
    }
    let connections = ApiResource::erase::<ScimConnection>(&());
    let bindings = ApiResource::erase::<PermissionSetBinding>(&());
    let mut scopes = claims::watched::<Referring, Holding>(&context.kube, &context.settings, &bindings);
    scopes.push(Api::namespaced_with(context.kube.clone(), &namespace, &connections));
    let mut found = Vec::new();
    for scope in scopes {
        let kind = if scope.resource_url().ends_with("scimconnections") {
            "ScimConnection"
        } else {
            "PermissionSetBinding"
        };
        for referrer in scope.list(&ListParams::default()).await? {
            let own = referrer.namespace().unwrap_or_default();
            let reference = &referrer.spec.federation_ref;
            if reference.name == name && reference.namespace.as_ref().unwrap_or(&own) == &namespace {
                let holds = referrer.status.as_ref().is_some_and(|s| s.permission_set_arn.is_some());
                if !holds && !takes(object, &own, context).await? {
                    continue;
                }
                found.push(format!("{kind} {own}/{}", referrer.name_any()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Referrers that the watch has told of and that count whatever the federation's rules are, sorted.
fn watched_referrers(namespace: &str, name: &str, context: &Context) -> Vec<String> {
    let Some(stores) = context.stores() else { return Vec::new() };
    let connections = known(&stores.connections)
        .filter(|c| c.namespace().as_deref() == Some(namespace) && c.spec.federation_ref.name == name)
        .map(|c| format!("ScimConnection {namespace}/{}", c.name_any()));
    let bindings = known(&stores.bindings).filter_map(|b| {
        let (own, reference) = (b.namespace().unwrap_or_default(), &b.spec.federation_ref);
        let refers = reference.name == name && reference.namespace.as_ref().unwrap_or(&own) == namespace;
        let holds = b.status.as_ref().is_some_and(|s| s.permission_set_arn.is_some());
        (refers && (holds || own == namespace))
            .then(|| format!("PermissionSetBinding {own}/{}", b.name_any()))
    });
    let mut found: Vec<String> = connections.chain(bindings).collect();
    found.sort();
    found
}

/// The one step of a clean-up.
struct DeleteApplication<'a>(&'a Application);

impl fmt::Display for DeleteApplication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delete the application {}", self.0.app_id)
    }
}

async fn delete_application(
    object: &IdentityFederation,
    context: &Context,
    absences: &Absences,
) -> Result<Option<Problem>, Problem> {
    let mark = context.owner_mark(&object.namespace().unwrap_or_default(), &object.name_any());
    let desired = Desired::new(object, mark);
    let graph = context.graph(object).await?;
    let doing = "find the application to delete";
    let candidates = candidates(&graph, object, &desired).await.map_err(|e| Problem::from_cloud(e, doing))?;
    let is_ours = |a: &Application| {
        let marks = desired::marks(a.notes.as_deref());
        if marks.is_empty() {
            a.display_name == desired.one_off_name
        } else {
            marks.iter().all(|m| *m == desired.mark)
        }
    };
    let ours: Vec<&Application> = candidates.iter().filter(|a| is_ours(a)).collect();
    if let [first, second, ..] = ours.as_slice() {
        let message = format!(
            "several applications carry the mark {}: {}, {}; remove the line from the notes of all but one ({})",
            desired.mark,
            first.app_id,
            second.app_id,
            hint(object)
        );
        return Ok(Some(Problem::new(Class::Blocked, Reason::ClaimedTwice, message)));
    }
    let Some(application) = ours.first() else {
        return Ok(not_seen(object, context, &graph, absences, !candidates.is_empty()).await);
    };
    let uid = uid(object);
    absences.seen(&uid);
    if entra::observes_only(object, context) {
        return Ok(Some(held_back(object, application)));
    }
    let plan = Plan { steps: vec![DeleteApplication(application)] };
    let call = graph.delete_application(&application.id);
    let answer = audit(object, plan.hash()).graph("DELETE /applications/{id}", &application.id, call).await;
    let message = match answer {
        // Looked at once more before the resource goes.
        Ok(_) => {
            absences.deleted(&uid);
            format!("application {} was deleted; making sure that it is gone", application.app_id)
        }
        // Gone a moment ago, or not known everywhere yet (contract Graph 1.5): the next look tells.
        Err(e) if e.is_not_found() => {
            format!("Entra does not know application {} everywhere; looking again", application.app_id)
        }
        Err(e) => return Err(Problem::from_cloud(e, "delete the application")),
    };
    Ok(Some(Problem::new(Class::Pending, Reason::Deleting, message)))
}

/// What is in Entra must not be forgotten because somebody only observes.
fn held_back(object: &IdentityFederation, application: &Application) -> Problem {
    let hint = hint(object);
    let message = match object.spec.mode {
        Mode::Observe => format!(
            "spec.mode is Observe, and application {}, which this federation made or adopted, is still in Entra: set \
             it to Enforce to have the application deleted, or spec.deletionPolicy to Retain to keep it ({hint})",
            application.app_id
        ),
        Mode::Enforce => format!(
            "the operator runs in Observe mode and does not delete application {}: run it in Enforce mode, or set \
             spec.deletionPolicy to Retain to keep it ({hint})",
            application.app_id
        ),
    };
    Problem::new(Class::Blocked, Reason::DeletionBlocked, message)
}

/// No application of ours is to be seen: what is waited for before it is believed. `others`: one that is not marked
/// as ours is.
async fn not_seen(
    object: &IdentityFederation,
    context: &Context,
    graph: &Graph,
    absences: &Absences,
    others: bool,
) -> Option<Problem> {
    let uid = uid(object);
    if absences.was_deleted(&uid) && !others {
        return None;
    }
    if let Some(waiting) = still_being_created(object, context) {
        return Some(waiting);
    }
    // Without a recorded id there was none, or a cluster rebuilt from Git never got to see it.
    let id = recorded(object).application_object_id?;
    // It was looked at and never taken over.
    if others && entra::observes_only(object, context) {
        return None;
    }
    // In the recycle bin it is gone for certain (contract Graph 9).
    if !others && matches!(graph.is_deleted(&id).await, Ok(true)) {
        return None;
    }
    if absences.is_gone(&uid, context.clock.now(), context.settings.timing.creation_grace) {
        if others {
            tracing::warn!("the application does not carry our mark any more; it is left as it is");
        }
        return None;
    }
    let what =
        if others { "does not show our mark on the application" } else { "does not show the application" };
    let message = format!("Entra {what} just now; looking again before letting go ({})", hint(object));
    Some(Problem::new(Class::Pending, Reason::Deleting, message))
}

/// By recorded id, by adoption, by mark and by the one-off name.
async fn candidates(
    graph: &Graph,
    object: &IdentityFederation,
    desired: &Desired,
) -> Result<Vec<Application>, CloudError> {
    let mut found = Vec::new();
    if let Some(id) = recorded(object).application_object_id {
        found.extend(graph.application(&id).await?);
    }
    if let Some(adopt) = &object.spec.entra.application.adopt {
        found.extend(graph.application_by_app_id(&adopt.app_id.to_lowercase()).await?);
    }
    if found.is_empty() {
        found = graph.applications_of_template(IDENTITY_CENTER_TEMPLATE).await?;
        found.retain(|a| {
            desired::marks(a.notes.as_deref()).contains(&desired.mark.as_str())
                || a.display_name == desired.one_off_name
        });
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// A creation that was begun may still come to light, and nobody would look for it any more.
fn still_being_created(object: &IdentityFederation, context: &Context) -> Option<Problem> {
    let recorded = recorded(object);
    let intent = intents::find(&recorded.pending_creations, intents::APPLICATION)?;
    let grace = jiff::SignedDuration::try_from(context.settings.timing.creation_grace).ok()?;
    let age = intents::age(intent, context.clock.now())?;
    (age < grace).then(|| {
        Problem::new(
            Class::Pending,
            Reason::Deleting,
            format!(
                "the creation of {} was begun; waiting whether it comes to light ({})",
                intent.name,
                hint(object)
            ),
        )
    })
}

fn told(
    object: &IdentityFederation,
    context: &Context,
    problem: &Problem,
) -> Outcome<IdentityFederationStatus> {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    if !problem.class.is_silent() || status.conditions.is_empty() {
        let own = matches!(problem.reason, Reason::Deleting | Reason::DeletionBlocked);
        let (reason, message) = if own {
            (problem.reason, problem.message.clone())
        } else {
            let longest = context.settings.timing.backoff.1;
            let message = named(problem.reason, &problem.message, object, object, longest);
            (Reason::DeletionBlocked, format!("{message} ({})", hint(object)))
        };
        let mut set = ConditionSet::new(generation, context.clock.now());
        set.set("Ready", Verdict::False, reason, message);
        status.conditions = set.finish(&status.conditions);
        status.observed_generation = Some(generation);
    }
    Outcome { class: Some(problem.class), retry_after: problem.retry_after, ..Outcome::settled(status) }
}

#[cfg(test)]
mod tests {
    use kube::api::Object;
    use serde_json::json;

    use super::*;

    #[test]
    fn referrers_are_read_whatever_else_they_say() {
        let binding = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "PermissionSetBinding", "metadata": {"name": "b"},
            "spec": {"federationRef": {"name": "acme", "namespace": "identity"}, "permissionSet": 7},
            "status": {"permissionSetArn": "arn:set", "current": 2, "conditions": "none"},
        });
        let read: Object<Referring, Holding> = serde_json::from_value(binding).unwrap();
        assert_eq!(read.spec.federation_ref.namespace.as_deref(), Some("identity"));
        assert_eq!(read.status.unwrap().permission_set_arn.as_deref(), Some("arn:set"));
        let bare = json!({"metadata": {}, "spec": {"federationRef": {"name": "acme"}}});
        let read: Object<Referring, Holding> = serde_json::from_value(bare).unwrap();
        assert!(read.status.is_none());
    }
}
