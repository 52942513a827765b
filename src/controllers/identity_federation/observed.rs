//! What Entra shows: the application is found by what cannot be mistaken, then read as a whole.

use futures::future::join_all;
use kube::ResourceExt as _;

use super::desired::{self, Desired, Resolution, WantedPrincipal};
use super::finding::{Finding, Part};
use crate::api::v1alpha1::{EntraStatus, IdentityFederation};
use crate::api::{Group, Principal, User};
use crate::clients::CloudError;
use crate::clients::entra::Graph;
use crate::clients::entra::applications::IDENTITY_CENTER_TEMPLATE;
pub use crate::clients::entra::applications::{AppRole, Application, ServicePrincipal};
pub use crate::clients::entra::assignments::{AppRoleAssignment, DEFAULT_ROLE};
pub use crate::clients::entra::certificates::SigningCertificate;
use crate::controllers::marks;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// How many principals are looked up at the same time.
const LOOKUPS: usize = 4;

/// The application with everything around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The registration.
    pub application: Application,
    /// The enterprise application.
    pub principal: ServicePrincipal,
    /// Its public signing certificates; none when they could not be read.
    pub certificates: Option<Vec<SigningCertificate>>,
    /// Who may sign in; none when it could not be read.
    pub assignments: Option<Vec<AppRoleAssignment>>,
}

/// Where the application is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// Here.
    Found(Box<Application>),
    /// Nowhere to be seen. `known` says that its id is recorded.
    Absent {
        /// Whether it was there before.
        known: bool,
    },
}

fn failed(part: Part, doing: &'static str) -> impl Fn(CloudError) -> Finding {
    move |error| Finding::of(part, &Problem::from_cloud(error, doing))
}

/// Finds the application: by adoption, recorded id, owner mark, or the one-off name, in this order.
///
/// # Errors
/// A failed read; an application that is somebody else's, deleted, claimed twice, or cannot be adopted.
pub async fn locate(
    graph: &Graph,
    object: &IdentityFederation,
    desired: &Desired,
    recorded: &EntraStatus,
) -> Result<Located, Finding> {
    let failed = failed(Part::Application, "look for the application");
    let adopt = object.spec.entra.application.adopt.as_ref().map(|a| a.app_id.to_lowercase());
    let known = recorded
        .application_object_id
        .as_deref()
        .filter(|_| adopt.is_none() || adopt.as_deref() == recorded.app_id.as_deref());
    let mut application = match known {
        Some(id) => graph.application(id).await.map_err(&failed)?,
        None => None,
    };
    if application.is_none() {
        application = match &adopt {
            Some(app_id) => graph.application_by_app_id(app_id).await.map_err(&failed)?,
            None => by_mark(graph, desired).await?,
        };
    }
    match (application, known) {
        (Some(application), _) => match owned_by_other(&application, &desired.mark) {
            Some(finding) => Err(finding),
            None => Ok(Located::Found(Box::new(application))),
        },
        (None, Some(id)) if adopt.is_none() => {
            if graph.is_deleted(id).await.map_err(&failed)? {
                return Err(deleted(recorded.app_id.as_deref().unwrap_or(id), "application"));
            }
            Ok(Located::Absent { known: true })
        }
        (None, _) => match adopt {
            Some(app_id) => Err(Finding::new(
                Part::Application,
                Class::Blocked,
                Reason::ApplicationNotFound,
                format!(
                    "the application {app_id} to adopt does not exist in tenant {}; correct \
                     spec.entra.application.adopt.appId",
                    object.spec.entra.tenant_id
                ),
            )),
            None => Ok(Located::Absent { known: false }),
        },
    }
}

/// Pure: what is wrong with an application that carries another owner's mark.
pub fn owned_by_other(application: &Application, own: &str) -> Option<Finding> {
    let stranger = desired::foreign_mark(application.notes.as_deref(), own)?;
    let advice = marks::of_another_installation(own, stranger).unwrap_or_else(|| {
        "Delete that resource (or the line in the application's notes, if it is a leftover) or name another \
         application"
            .to_owned()
    });
    Some(Finding::new(
        Part::Application,
        Class::Blocked,
        Reason::OwnedByOther,
        format!(
            "application {} carries the mark of {stranger}; nothing is written. {advice}",
            application.app_id
        ),
    ))
}

fn deleted(id: &str, what: &str) -> Finding {
    Finding::new(
        Part::Application,
        Class::Blocked,
        Reason::ApplicationNotFound,
        format!(
            "somebody deleted the {what} {id} in Entra: restore it there (App registrations > Deleted applications), \
             or delete it permanently to have a new one made"
        ),
    )
}

/// One listing answers for marks and for the one-off name.
async fn by_mark(graph: &Graph, desired: &Desired) -> Result<Option<Application>, Finding> {
    let failed = failed(Part::Application, "look for the application");
    let all = graph.applications_of_template(IDENTITY_CENTER_TEMPLATE).await.map_err(&failed)?;
    let marked = |a: &Application| desired::marks(a.notes.as_deref()).contains(&desired.mark.as_str());
    let mut ours: Vec<&Application> = all.iter().filter(|a| marked(a)).collect();
    if ours.is_empty() {
        ours = all.iter().filter(|a| a.display_name == desired.one_off_name).collect();
    }
    if ours.len() > 1 {
        let mut ids: Vec<&str> = ours.iter().map(|a| a.app_id.as_str()).collect();
        ids.sort_unstable();
        return Err(Finding::new(
            Part::Application,
            Class::Blocked,
            Reason::ClaimedTwice,
            format!(
                "several applications carry the mark {}: {}; remove the line from the notes of all but one",
                desired.mark,
                ids.join(", ")
            ),
        ));
    }
    Ok(ours.first().map(|a| (*a).clone()))
}

/// The service principal of the application.
///
/// # Errors
/// A failed read; a service principal that is not visible, or deleted.
pub async fn service_principal(
    graph: &Graph,
    application: &Application,
    recorded: &EntraStatus,
) -> Result<ServicePrincipal, Finding> {
    let failed = failed(Part::Application, "read the service principal");
    let known = recorded.service_principal_id.as_deref();
    if let Some(id) = known
        && let Some(found) = graph.service_principal(id).await.map_err(&failed)?
        && found.app_id == application.app_id
    {
        return Ok(found);
    }
    if let Some(found) = graph.service_principal_of(&application.app_id).await.map_err(&failed)? {
        return Ok(found);
    }
    if let Some(id) = known
        && graph.is_deleted(id).await.map_err(&failed)?
    {
        return Err(deleted(&application.app_id, "service principal of application"));
    }
    Err(Finding::pending(
        Part::Application,
        format!("Entra does not show the service principal of application {} yet", application.app_id),
    ))
}

/// Reads what else belongs to the application; what cannot be read is left open and told.
pub async fn read(
    graph: &Graph,
    application: Application,
    principal: ServicePrincipal,
) -> (Found, Vec<Finding>) {
    let mut findings = Vec::new();
    // Side by side: one that takes long holds up nothing that follows from the other.
    let (certificates, assignments) =
        tokio::join!(graph.signing_certificates(&principal.id), graph.app_role_assignments(&principal.id));
    let certificates = match certificates {
        Ok(found) => found,
        Err(error) => {
            findings.push(failed(Part::Certificate, "read the signing certificates")(error));
            None
        }
    };
    let assignments = match assignments {
        Ok(found) => Some(found),
        Err(error) => {
            findings.push(failed(Part::Assignments, "read the application's assignments")(error));
            None
        }
    };
    (Found { application, principal, certificates, assignments }, findings)
}

/// Looks up the principals that the spec names; the first failure is told, and what could not be read is unknown.
pub async fn principals(graph: &Graph, wanted: &[Principal]) -> (Vec<WantedPrincipal>, Option<Finding>) {
    let mut finding: Option<Finding> = None;
    let mut principals = Vec::with_capacity(wanted.len());
    for few in wanted.chunks(LOOKUPS) {
        // The next ones would fail likewise, each after a while, and stated removals wait for the end of it.
        let answers = match finding.as_ref().is_some_and(Finding::stops_the_side) {
            true => Vec::new(),
            false => join_all(few.iter().map(|p| look_up(graph, p))).await,
        };
        let mut resolutions = answers.into_iter().map(|answer| {
            answer.unwrap_or_else(|error| {
                finding.get_or_insert_with(|| failed(Part::Assignments, "look up the principals")(error));
                Resolution::Unknown
            })
        });
        principals.extend(few.iter().map(|p| WantedPrincipal {
            reference: p.to_string(),
            resolution: resolutions.next().unwrap_or(Resolution::Unknown),
        }));
    }
    principals.sort();
    (principals, finding)
}

async fn look_up(graph: &Graph, principal: &Principal) -> Result<Resolution, CloudError> {
    let groups = |groups: Vec<crate::clients::entra::directory::DirectoryGroup>| match groups.as_slice() {
        [] => Resolution::Missing,
        [one] if !one.security_enabled => {
            Resolution::Unsuitable("is no security group, so Entra would not provision it".to_owned())
        }
        [one] => Resolution::Found(one.id.clone()),
        several => Resolution::Ambiguous(several.iter().map(|g| g.id.clone()).collect()),
    };
    let users = |users: Vec<crate::clients::entra::directory::DirectoryUser>| match users.as_slice() {
        [] => Resolution::Missing,
        [one] => Resolution::Found(one.id.clone()),
        several => Resolution::Ambiguous(several.iter().map(|u| u.id.clone()).collect()),
    };
    Ok(match (&principal.group, &principal.user) {
        (Some(Group { entra_object_id: Some(id), .. }), _) => {
            groups(graph.group(&id.to_lowercase()).await?.into_iter().collect())
        }
        (Some(Group { display_name: Some(name), .. }), _) => groups(graph.groups_named(name).await?),
        (_, Some(User { entra_object_id: Some(id), .. })) => {
            users(graph.user(&id.to_lowercase()).await?.into_iter().collect())
        }
        (_, Some(User { user_principal_name: Some(name), .. })) => users(graph.users_named(name).await?),
        _ => Resolution::Missing,
    })
}

/// What is recorded of Entra.
pub fn recorded(object: &IdentityFederation) -> EntraStatus {
    object.status.as_ref().and_then(|s| s.entra.clone()).unwrap_or_default()
}

/// The uid, by which this process remembers an object.
pub fn uid(object: &IdentityFederation) -> String {
    object.uid().unwrap_or_default()
}
