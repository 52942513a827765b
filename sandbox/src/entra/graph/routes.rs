//! Every path that is served, with the permissions that open it (0.1).

use axum::http::Method;

use crate::entra::errors::GraphError;
use crate::entra::synchronization::Op as SyncOp;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::entra) enum Op {
    ListTemplates,
    GetTemplate,
    Instantiate,
    ListApplications,
    GetApplication,
    PatchApplication,
    DeleteApplication,
    ListApplicationOwners,
    AddApplicationOwner,
    ListServicePrincipals,
    GetServicePrincipal,
    PatchServicePrincipal,
    DeleteServicePrincipal,
    ListServicePrincipalOwners,
    AddServicePrincipalOwner,
    AddTokenSigningCertificate,
    RemoveCredential,
    ListAssignedTo,
    Assign,
    GetAssigned,
    Unassign,
    ListUserAssignments,
    ListGroupAssignments,
    ListUsers,
    GetUser,
    CreateUser,
    PatchUser,
    DeleteUser,
    ListGroups,
    GetGroup,
    CreateGroup,
    PatchGroup,
    DeleteGroup,
    ListMembers,
    ListTransitiveMembers,
    AddMember,
    RemoveMember,
    GetByIds,
    GetDirectoryObject,
    ListDeleted,
    GetDeleted,
    RestoreDeleted,
    PurgeDeleted,
    ListPolicies,
    GetPolicy,
    CreatePolicy,
    PatchPolicy,
    DeletePolicy,
    PolicyAppliesTo,
    ListAttachedPolicies,
    AttachPolicy,
    DetachPolicy,
    Batch,
    ValidateCredentials,
    ValidateJobCredentials,
    ProvisionOnDemand,
    Synchronization(SyncOp),
}

/// Alternatives, each a set of permissions that must all be there; none at all: any valid token.
type Needs = &'static [&'static [&'static str]];

/// One path with one method.
#[derive(Debug)]
pub(in crate::entra) struct Route {
    method: &'static str,
    /// Without version; `{id}` stands for an object.
    pub(in crate::entra) template: &'static str,
    pub(in crate::entra) op: Op,
    pub(in crate::entra) needs: Needs,
    /// Such calls go into the journal.
    pub(in crate::entra) mutates: bool,
}

impl Route {
    /// As in counters, journal and faults.
    pub(in crate::entra) fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

const ANY: Needs = &[];
const READ_APPS: Needs = &[
    &["Application.Read.All"],
    &["Application.ReadWrite.All"],
    &["Directory.Read.All"],
    &["Directory.ReadWrite.All"],
    &["Application.ReadWrite.OwnedBy"],
];
const WRITE_APPS: Needs =
    &[&["Application.ReadWrite.All"], &["Directory.ReadWrite.All"], &["Application.ReadWrite.OwnedBy"]];
const READ_ASSIGNMENTS: Needs = &[
    &["Application.Read.All"],
    &["Application.ReadWrite.All"],
    &["Directory.Read.All"],
    &["Directory.ReadWrite.All"],
];
const ASSIGN: Needs = &[
    &["AppRoleAssignment.ReadWrite.All", "Application.Read.All"],
    &["AppRoleAssignment.ReadWrite.All", "Application.ReadWrite.All"],
    &["AppRoleAssignment.ReadWrite.All", "Directory.Read.All"],
];
const READ_USERS: Needs = &[
    &["User.ReadBasic.All"],
    &["User.Read.All"],
    &["User.ReadWrite.All"],
    &["Directory.Read.All"],
    &["Directory.ReadWrite.All"],
];
const WRITE_USERS: Needs = &[&["User.ReadWrite.All"], &["Directory.ReadWrite.All"]];
const READ_GROUPS: Needs = &[
    &["Group.ReadBasic.All"],
    &["GroupMember.Read.All"],
    &["GroupMember.ReadWrite.All"],
    &["Group.Read.All"],
    &["Group.ReadWrite.All"],
    &["Directory.Read.All"],
    &["Directory.ReadWrite.All"],
];
const WRITE_GROUPS: Needs = &[&["Group.ReadWrite.All"], &["Directory.ReadWrite.All"]];
const READ_MEMBERS: Needs = &[
    &["GroupMember.ReadBasic.All"],
    &["GroupMember.Read.All"],
    &["GroupMember.ReadWrite.All"],
    &["Group.Read.All"],
    &["Group.ReadWrite.All"],
    &["Directory.Read.All"],
    &["Directory.ReadWrite.All"],
];
const WRITE_MEMBERS: Needs =
    &[&["GroupMember.ReadWrite.All"], &["Group.ReadWrite.All"], &["Directory.ReadWrite.All"]];
const READ_DIRECTORY: Needs = &[&["Directory.Read.All"], &["Directory.ReadWrite.All"]];
const READ_DELETED: Needs = &[
    &["Application.Read.All"],
    &["Application.ReadWrite.All"],
    &["Application.ReadWrite.OwnedBy"],
    &["Directory.Read.All"],
    &["Directory.ReadWrite.All"],
    &["User.Read.All"],
    &["User.ReadWrite.All"],
];
const WRITE_DELETED: Needs = &[
    &["Application.ReadWrite.All"],
    &["Application.ReadWrite.OwnedBy"],
    &["Directory.ReadWrite.All"],
    &["User.ReadWrite.All"],
];
const READ_POLICIES: Needs = &[&["Policy.Read.All"], &["Policy.ReadWrite.ApplicationConfiguration"]];
const WRITE_POLICIES: Needs = &[&["Policy.ReadWrite.ApplicationConfiguration"]];
const ATTACH_POLICIES: Needs = &[
    &["Policy.Read.All", "Application.ReadWrite.All"],
    &["Policy.ReadWrite.ApplicationConfiguration", "Application.ReadWrite.All"],
    &["Policy.Read.All", "Application.ReadWrite.OwnedBy"],
    &["Policy.ReadWrite.ApplicationConfiguration", "Application.ReadWrite.OwnedBy"],
];
const READ_SYNC: Needs =
    &[&["Synchronization.Read.All"], &["Synchronization.ReadWrite.All"], &["Application.ReadWrite.OwnedBy"]];
const WRITE_SYNC: Needs = &[&["Synchronization.ReadWrite.All"], &["Application.ReadWrite.OwnedBy"]];
/// PATCH of a job's settings: this one only (0.1).
const PATCH_SYNC: Needs = &[&["Synchronization.ReadWrite.All"]];

const fn read(template: &'static str, op: Op, needs: Needs) -> Route {
    Route { method: "GET", template, op, needs, mutates: false }
}

const fn ask(template: &'static str, op: Op, needs: Needs) -> Route {
    Route { method: "POST", template, op, needs, mutates: false }
}

const fn write(method: &'static str, template: &'static str, op: Op, needs: Needs) -> Route {
    Route { method, template, op, needs, mutates: true }
}

const fn sync(op: SyncOp) -> Op {
    Op::Synchronization(op)
}

pub(super) static ROUTES: &[Route] = &[
    read("/applicationTemplates", Op::ListTemplates, ANY),
    read("/applicationTemplates/{id}", Op::GetTemplate, ANY),
    write("POST", "/applicationTemplates/{id}/instantiate", Op::Instantiate, WRITE_APPS),
    read("/applications", Op::ListApplications, READ_APPS),
    read("/applications/{id}", Op::GetApplication, READ_APPS),
    write("PATCH", "/applications/{id}", Op::PatchApplication, WRITE_APPS),
    write("DELETE", "/applications/{id}", Op::DeleteApplication, WRITE_APPS),
    read("/applications/{id}/owners", Op::ListApplicationOwners, READ_APPS),
    write("POST", "/applications/{id}/owners/$ref", Op::AddApplicationOwner, WRITE_APPS),
    read("/servicePrincipals", Op::ListServicePrincipals, READ_APPS),
    read("/servicePrincipals/{id}", Op::GetServicePrincipal, READ_APPS),
    write("PATCH", "/servicePrincipals/{id}", Op::PatchServicePrincipal, WRITE_APPS),
    write("DELETE", "/servicePrincipals/{id}", Op::DeleteServicePrincipal, WRITE_APPS),
    read("/servicePrincipals/{id}/owners", Op::ListServicePrincipalOwners, READ_APPS),
    write("POST", "/servicePrincipals/{id}/owners/$ref", Op::AddServicePrincipalOwner, WRITE_APPS),
    write(
        "POST",
        "/servicePrincipals/{id}/addTokenSigningCertificate",
        Op::AddTokenSigningCertificate,
        WRITE_APPS,
    ),
    write("POST", "/servicePrincipals/{id}/removeKey", Op::RemoveCredential, WRITE_APPS),
    write("POST", "/servicePrincipals/{id}/removePassword", Op::RemoveCredential, WRITE_APPS),
    read("/servicePrincipals/{id}/appRoleAssignedTo", Op::ListAssignedTo, READ_ASSIGNMENTS),
    write("POST", "/servicePrincipals/{id}/appRoleAssignedTo", Op::Assign, ASSIGN),
    read("/servicePrincipals/{id}/appRoleAssignedTo/{id}", Op::GetAssigned, READ_ASSIGNMENTS),
    write("DELETE", "/servicePrincipals/{id}/appRoleAssignedTo/{id}", Op::Unassign, ASSIGN),
    read("/users/{id}/appRoleAssignments", Op::ListUserAssignments, READ_DIRECTORY),
    read("/groups/{id}/appRoleAssignments", Op::ListGroupAssignments, READ_DIRECTORY),
    read("/users", Op::ListUsers, READ_USERS),
    read("/users/{id}", Op::GetUser, READ_USERS),
    write("POST", "/users", Op::CreateUser, WRITE_USERS),
    write("PATCH", "/users/{id}", Op::PatchUser, WRITE_USERS),
    write("DELETE", "/users/{id}", Op::DeleteUser, WRITE_USERS),
    read("/groups", Op::ListGroups, READ_GROUPS),
    read("/groups/{id}", Op::GetGroup, READ_GROUPS),
    write("POST", "/groups", Op::CreateGroup, WRITE_GROUPS),
    write("PATCH", "/groups/{id}", Op::PatchGroup, WRITE_GROUPS),
    write("DELETE", "/groups/{id}", Op::DeleteGroup, WRITE_GROUPS),
    read("/groups/{id}/members", Op::ListMembers, READ_MEMBERS),
    read("/groups/{id}/members/microsoft.graph.user", Op::ListMembers, READ_MEMBERS),
    read("/groups/{id}/transitiveMembers", Op::ListTransitiveMembers, READ_MEMBERS),
    read("/groups/{id}/transitiveMembers/microsoft.graph.user", Op::ListTransitiveMembers, READ_MEMBERS),
    write("POST", "/groups/{id}/members/$ref", Op::AddMember, WRITE_MEMBERS),
    write("DELETE", "/groups/{id}/members/{id}/$ref", Op::RemoveMember, WRITE_MEMBERS),
    ask("/directoryObjects/getByIds", Op::GetByIds, READ_DIRECTORY),
    read("/directoryObjects/{id}", Op::GetDirectoryObject, READ_DIRECTORY),
    read("/directory/deletedItems/microsoft.graph.application", Op::ListDeleted, READ_DELETED),
    read("/directory/deletedItems/microsoft.graph.servicePrincipal", Op::ListDeleted, READ_DELETED),
    read("/directory/deletedItems/microsoft.graph.user", Op::ListDeleted, READ_DELETED),
    read("/directory/deletedItems/microsoft.graph.group", Op::ListDeleted, READ_DELETED),
    read("/directory/deletedItems/{id}", Op::GetDeleted, READ_DELETED),
    write("POST", "/directory/deletedItems/{id}/restore", Op::RestoreDeleted, WRITE_DELETED),
    write("DELETE", "/directory/deletedItems/{id}", Op::PurgeDeleted, WRITE_DELETED),
    read("/policies/claimsMappingPolicies", Op::ListPolicies, READ_POLICIES),
    read("/policies/claimsMappingPolicies/{id}", Op::GetPolicy, READ_POLICIES),
    write("POST", "/policies/claimsMappingPolicies", Op::CreatePolicy, WRITE_POLICIES),
    write("PATCH", "/policies/claimsMappingPolicies/{id}", Op::PatchPolicy, WRITE_POLICIES),
    write("DELETE", "/policies/claimsMappingPolicies/{id}", Op::DeletePolicy, WRITE_POLICIES),
    read("/policies/claimsMappingPolicies/{id}/appliesTo", Op::PolicyAppliesTo, READ_POLICIES),
    read("/servicePrincipals/{id}/claimsMappingPolicies", Op::ListAttachedPolicies, READ_POLICIES),
    write("POST", "/servicePrincipals/{id}/claimsMappingPolicies/$ref", Op::AttachPolicy, ATTACH_POLICIES),
    write(
        "DELETE",
        "/servicePrincipals/{id}/claimsMappingPolicies/{id}/$ref",
        Op::DetachPolicy,
        ATTACH_POLICIES,
    ),
    ask("/$batch", Op::Batch, ANY),
    read("/servicePrincipals/{id}/synchronization/templates", sync(SyncOp::ListTemplates), READ_SYNC),
    read("/servicePrincipals/{id}/synchronization/templates/{id}", sync(SyncOp::GetTemplate), READ_SYNC),
    read("/servicePrincipals/{id}/synchronization/jobs", sync(SyncOp::ListJobs), READ_SYNC),
    write("POST", "/servicePrincipals/{id}/synchronization/jobs", sync(SyncOp::CreateJob), WRITE_SYNC),
    ask(
        "/servicePrincipals/{id}/synchronization/jobs/validateCredentials",
        Op::ValidateCredentials,
        WRITE_SYNC,
    ),
    read("/servicePrincipals/{id}/synchronization/jobs/{id}", sync(SyncOp::GetJob), READ_SYNC),
    write("PATCH", "/servicePrincipals/{id}/synchronization/jobs/{id}", sync(SyncOp::PatchJob), PATCH_SYNC),
    write("DELETE", "/servicePrincipals/{id}/synchronization/jobs/{id}", sync(SyncOp::DeleteJob), WRITE_SYNC),
    ask(
        "/servicePrincipals/{id}/synchronization/jobs/{id}/validateCredentials",
        Op::ValidateJobCredentials,
        WRITE_SYNC,
    ),
    write("POST", "/servicePrincipals/{id}/synchronization/jobs/{id}/start", sync(SyncOp::Start), WRITE_SYNC),
    write("POST", "/servicePrincipals/{id}/synchronization/jobs/{id}/pause", sync(SyncOp::Pause), WRITE_SYNC),
    write(
        "POST",
        "/servicePrincipals/{id}/synchronization/jobs/{id}/restart",
        sync(SyncOp::Restart),
        WRITE_SYNC,
    ),
    write(
        "POST",
        "/servicePrincipals/{id}/synchronization/jobs/{id}/provisionOnDemand",
        Op::ProvisionOnDemand,
        WRITE_SYNC,
    ),
    read("/servicePrincipals/{id}/synchronization/jobs/{id}/schema", sync(SyncOp::GetSchema), READ_SYNC),
    write(
        "PUT",
        "/servicePrincipals/{id}/synchronization/jobs/{id}/schema",
        sync(SyncOp::PutSchema),
        WRITE_SYNC,
    ),
    write(
        "DELETE",
        "/servicePrincipals/{id}/synchronization/jobs/{id}/schema",
        sync(SyncOp::DeleteSchema),
        WRITE_SYNC,
    ),
    ask(
        "/servicePrincipals/{id}/synchronization/jobs/{id}/schema/parseExpression",
        sync(SyncOp::ParseExpression),
        WRITE_SYNC,
    ),
    read("/servicePrincipals/{id}/synchronization/secrets", sync(SyncOp::GetSecrets), READ_SYNC),
    write("PUT", "/servicePrincipals/{id}/synchronization/secrets", sync(SyncOp::PutSecrets), WRITE_SYNC),
];

/// The path cut into segments, percent-decoded; `things(key)` becomes two of them, the key without quotes,
/// an alternate key as `name=value`.
pub(in crate::entra) fn segments(path: &str) -> Vec<String> {
    let mut out = Vec::new();
    for raw in path.split('/').filter(|s| !s.is_empty()) {
        let segment = decode(raw);
        // Microsoft's SDKs write casts with the short name of the namespace.
        let segment = match segment.strip_prefix("graph.") {
            Some(kind) => format!("microsoft.graph.{kind}"),
            None => segment,
        };
        match segment.strip_suffix(')').and_then(|s| s.split_once('(')) {
            Some((name, key)) => {
                out.push(name.to_owned());
                out.push(match key.split_once('=') {
                    Some((name, value)) => format!("{}={}", name.trim(), value.trim().trim_matches('\'')),
                    None => key.trim_matches('\'').to_owned(),
                });
            }
            None => out.push(segment),
        }
    }
    out
}

fn decode(raw: &str) -> String {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The route of a call with what stands for its `{id}`s; literal segments win over `{id}`.
pub(in crate::entra) fn find(
    method: &Method,
    segments: &[String],
) -> Result<(&'static Route, Vec<String>), GraphError> {
    let mut best: Option<(&'static Route, Vec<String>)> = None;
    let mut path_known = false;
    for route in ROUTES {
        let Some(ids) = matches(route.template, segments) else { continue };
        path_known = true;
        if route.method == method.as_str() && best.as_ref().is_none_or(|(_, b)| ids.len() < b.len()) {
            best = Some((route, ids));
        }
    }
    // `/users/delta` and its like are functions, not ids; they are not served.
    if let Some((_, ids)) = &best
        && let Some(function) = ids.iter().find(|i| ["delta", "$count", "me"].contains(&i.as_str()))
    {
        return Err(segment_not_found(function));
    }
    if let Some(found) = best {
        return Ok(found);
    }
    if segments.iter().any(|s| s == "synchronization") {
        // The synchronization service answers in its own words (5.8).
        let text = "No HTTP resource was found that matches the request URI.";
        return Err(GraphError::new(404, "UnknownError", text));
    }
    if path_known {
        let text = "Specified HTTP method is not allowed for the request target.";
        return Err(GraphError::new(405, "Request_BadRequest", text));
    }
    Err(segment_not_found(
        segments.iter().find(|s| !is_known(s)).or_else(|| segments.last()).map_or("", |s| s),
    ))
}

pub(super) fn segment_not_found(segment: &str) -> GraphError {
    GraphError::new(400, "BadRequest", format!("Resource not found for the segment '{segment}'."))
}

fn is_known(segment: &str) -> bool {
    uuid::Uuid::try_parse(segment).is_ok()
        || ROUTES.iter().any(|r| r.template.split('/').any(|s| s.eq_ignore_ascii_case(segment)))
}

fn matches(template: &str, segments: &[String]) -> Option<Vec<String>> {
    let wanted: Vec<&str> = template.split('/').skip(1).collect();
    if wanted.len() != segments.len() {
        return None;
    }
    let mut ids = Vec::new();
    for (want, have) in wanted.iter().zip(segments) {
        if *want == "{id}" {
            ids.push(have.clone());
        } else if !want.eq_ignore_ascii_case(have) {
            return None;
        }
    }
    Some(ids)
}

/// A name for counters when no route fits: ids taken out.
pub(in crate::entra) fn unknown_template(segments: &[String]) -> String {
    let plain = |s: &str| is_known(s) && uuid::Uuid::try_parse(s).is_err();
    segments.iter().take(8).map(|s| format!("/{}", if plain(s) { s } else { "{id}" })).collect()
}
