//! Letting go: referrers first, then the application if it is ours and shall be deleted.

use kube::api::{ApiResource, ListParams, NotUsed, Object};
use kube::{Api, ResourceExt as _};
use serde::Deserialize;

use super::desired::{self, Desired};
use super::intents;
use super::observed::{Application, recorded};
use crate::api::v1alpha1::{
    FederationRef, IdentityFederation, IdentityFederationStatus, PermissionSetBinding, ScimConnection,
};
use crate::api::{DeletionPolicy, Mode};
use crate::clients::entra::Graph;
use crate::clients::entra::applications::IDENTITY_CENTER_TEMPLATE;
use crate::clients::{CloudError, Service};
use crate::controllers::context::Context;
use crate::controllers::{Cleanup, Outcome};
use crate::problem::{Class, Problem};
use crate::status::{ConditionSet, Reason, Verdict};
use crate::telemetry::Audit;

/// How many referrers a message names.
const NAMED: usize = 5;
const HINT: &str = "the annotation causeway.dev/abandon=true lets go of what is in the clouds";

/// One pass of letting go.
pub async fn cleanup(object: &IdentityFederation, context: &Context) -> Cleanup<IdentityFederationStatus> {
    match run(object, context).await {
        Ok(None) => Cleanup::Done,
        Ok(Some(problem)) | Err(problem) => {
            problem.log();
            Cleanup::Waiting(told(object, context, &problem))
        }
    }
}

async fn run(object: &IdentityFederation, context: &Context) -> Result<Option<Problem>, Problem> {
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
    // Retain needs neither credentials nor clouds. A federation that only observed has nothing to let go of.
    if object.spec.deletion_policy == DeletionPolicy::Retain || object.spec.mode == Mode::Observe {
        return Ok(None);
    }
    if context.settings.mode == Mode::Observe {
        // What is in Entra must not be forgotten for that.
        let message =
            format!("the operator runs in Observe mode and deletes nothing: run it in Enforce mode ({HINT})");
        return Ok(Some(Problem::new(Class::Blocked, Reason::DeletionBlocked, message)));
    }
    if object.spec.suspend {
        let message =
            format!("spec.suspend is true, so the application is not deleted; set it to false ({HINT})");
        return Ok(Some(Problem::new(Class::Blocked, Reason::DeletionBlocked, message)));
    }
    delete_application(object, context).await
}

/// As much of a referrer as is needed here, so that one that does not fit its schema blocks nothing else.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    federation_ref: FederationRef,
}

type Referrers = Api<Object<Referring, NotUsed>>;

/// Connections of this namespace and bindings of all watched ones, also those that are going themselves.
async fn referrers(object: &IdentityFederation, context: &Context) -> Result<Vec<String>, Problem> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let connections = ApiResource::erase::<ScimConnection>(&());
    let bindings = ApiResource::erase::<PermissionSetBinding>(&());
    let client = || context.kube.clone();
    let mut scopes: Vec<Referrers> = vec![Api::namespaced_with(client(), &namespace, &connections)];
    if context.settings.namespaces.is_empty() {
        scopes.push(Api::all_with(client(), &bindings));
    }
    scopes.extend(context.settings.namespaces.iter().map(|n| Api::namespaced_with(client(), n, &bindings)));
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
                found.push(format!("{kind} {own}/{}", referrer.name_any()));
            }
        }
    }
    found.sort();
    Ok(found)
}

async fn delete_application(
    object: &IdentityFederation,
    context: &Context,
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
            "several applications carry the mark {}: {}, {}; remove the line from the notes of all but one ({HINT})",
            desired.mark, first.app_id, second.app_id
        );
        return Ok(Some(Problem::new(Class::Blocked, Reason::ClaimedTwice, message)));
    }
    let Some(application) = ours.first() else {
        if !candidates.is_empty() {
            tracing::warn!("the application does not carry our mark any more; it is left as it is");
        }
        return Ok(still_being_created(object, context));
    };
    let audit = Audit {
        kind: "IdentityFederation",
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        generation: object.metadata.generation.unwrap_or_default(),
        plan: None,
    };
    let answer = graph.delete_application(&application.id).await;
    let request = answer.as_ref().ok().and_then(|r| r.request_id.as_deref());
    audit.record(Service::Graph, "DELETE /applications/{id}", &application.id, &answer, request);
    match answer {
        // Looked at once more before the resource goes.
        Ok(_) => Ok(Some(Problem::new(
            Class::Pending,
            Reason::Deleting,
            format!("application {} was deleted; making sure that it is gone", application.app_id),
        ))),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(Problem::from_cloud(e, "delete the application")),
    }
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
            format!("the creation of {} was begun; waiting whether it comes to light ({HINT})", intent.name),
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
            (Reason::DeletionBlocked, format!("{} ({HINT})", problem.message))
        };
        let mut set = ConditionSet::new(generation, context.clock.now());
        set.set("Ready", Verdict::False, reason, message);
        status.conditions = set.finish(&status.conditions);
        status.observed_generation = Some(generation);
    }
    Outcome { class: Some(problem.class), retry_after: problem.retry_after, ..Outcome::settled(status) }
}
