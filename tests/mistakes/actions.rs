//! Actions that IAM does not allow, one after the other, on worlds that are ready: each is withheld by another access
//! key.

use std::collections::BTreeMap;

use causeway::clients::aws::actions;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use sandbox::journey::{self, api};
use sandbox::world::{AccessKey, World};
use serde_json::json;

use super::federation::put_secret;
use super::table::{At, Book, Mistake, merge, told, yaml};
use super::{BINDING, FEDERATION, SCIM, right, world};
use crate::support::world::TestWorld;

const WAY_OUT: &str =
    "Allow the action that the message names to the identity that it names. The next pass has it.";

const fn denied(
    title: &'static str,
    at: (&'static str, &'static str),
    members: &'static [&'static str],
) -> Mistake {
    Mistake { members, ..told(title, at, "PermissionDenied", &[], "", WAY_OUT) }
}

/// What a federation reads.
const INSTANCE: Mistake = denied(
    "IAM: an action that finds the instance",
    (FEDERATION, "InstanceReady"),
    &["sso:ListInstances", "sso:DescribeInstance"],
);
/// What a binding reads.
const READS: Mistake = denied(
    "IAM: an action that a binding reads with",
    (BINDING, "Ready"),
    &[
        "sso:DescribePermissionSet",
        "sso:ListTagsForResource",
        "sso:ListManagedPoliciesInPermissionSet",
        "sso:ListCustomerManagedPolicyReferencesInPermissionSet",
        "sso:GetInlinePolicyForPermissionSet",
        "sso:GetPermissionsBoundaryForPermissionSet",
        "sso:ListAccountsForProvisionedPermissionSet",
        "sso:ListAccountAssignments",
        "identitystore:ListGroups",
        "identitystore:GetUserId",
        "organizations:ListAccounts",
    ],
);
/// What a binding changes its permission set with.
const SET: Mistake = denied(
    "IAM: an action that changes the permission set",
    (BINDING, "Ready"),
    &[
        "sso:UpdatePermissionSet",
        "sso:AttachManagedPolicyToPermissionSet",
        "sso:DetachManagedPolicyFromPermissionSet",
        "sso:AttachCustomerManagedPolicyReferenceToPermissionSet",
        "sso:DetachCustomerManagedPolicyReferenceFromPermissionSet",
        "sso:PutInlinePolicyToPermissionSet",
        "sso:DeleteInlinePolicyFromPermissionSet",
        "sso:PutPermissionsBoundaryToPermissionSet",
        "sso:DeletePermissionsBoundaryFromPermissionSet",
        "sso:TagResource",
        "sso:UntagResource",
    ],
);
/// What a binding gives and takes with.
const GIVES: Mistake = denied(
    "IAM: an action that gives or takes access",
    (BINDING, "Ready"),
    &["sso:CreateAccountAssignment", "sso:DeleteAccountAssignment", "sso:ProvisionPermissionSet"],
);
/// What a new binding begins with.
const BEGINS: Mistake = denied(
    "IAM: an action that a new binding begins with",
    (BINDING, "Ready"),
    &["sso:ListPermissionSets", "sso:CreatePermissionSet"],
);

pub const ROWS: &[Mistake] = &[INSTANCE, READS, SET, GIVES, BEGINS];

/// What is asked for while an action is missing, merged into the spec for good: with the action it is done.
fn asked(action: &str) -> &'static str {
    match action {
        "sso:UpdatePermissionSet" => "{permissionSet: {description: changed}}",
        "sso:AttachManagedPolicyToPermissionSet" => {
            "{permissionSet: {managedPolicies: ['arn:aws:iam::aws:policy/ReadOnlyAccess', 'arn:aws:iam::aws:policy/SecurityAudit']}}"
        }
        "sso:DetachManagedPolicyFromPermissionSet" => {
            "{permissionSet: {managedPolicies: ['arn:aws:iam::aws:policy/ReadOnlyAccess']}}"
        }
        // It is read when it is managed, so it is not attached before it can be read.
        "sso:ListCustomerManagedPolicyReferencesInPermissionSet"
        | "sso:AttachCustomerManagedPolicyReferenceToPermissionSet" => {
            "{permissionSet: {customerManagedPolicies: [{name: engineers-extra, path: /}]}}"
        }
        "sso:DetachCustomerManagedPolicyReferenceFromPermissionSet" => {
            "{permissionSet: {customerManagedPolicies: []}}"
        }
        "sso:PutInlinePolicyToPermissionSet" => {
            "{permissionSet: {inlinePolicy: {Version: '2012-10-17', Statement: [{Effect: Deny, Action: 'iam:CreateUser', Resource: '*'}]}}}"
        }
        "sso:DeleteInlinePolicyFromPermissionSet" => "{permissionSet: {inlinePolicy: null}}",
        "sso:PutPermissionsBoundaryToPermissionSet" => {
            "{permissionSet: {permissionsBoundary: {managedPolicyArn: 'arn:aws:iam::aws:policy/PowerUserAccess'}}}"
        }
        "sso:DeletePermissionsBoundaryFromPermissionSet" => "{permissionSet: {permissionsBoundary: null}}",
        "sso:TagResource" => "{permissionSet: {tags: {team: platform, unit: shop}}}",
        "sso:UntagResource" => "{permissionSet: {tags: {team: null}}}",
        "sso:CreateAccountAssignment" => "{accounts: {include: [{ids: ['111122223333', '333344445555']}]}}",
        "sso:DeleteAccountAssignment" => "{accounts: {include: [{ids: ['111122223333']}]}}",
        "sso:ProvisionPermissionSet" => "{permissionSet: {description: to be provisioned}}",
        _ => "{}",
    }
}

fn key(nth: usize) -> String {
    format!("AKIAWITHOUTACTION{nth:03}")
}

/// For each action of the rows a key that may do all the others.
fn keys(world: &mut World) {
    for (nth, action) in ROWS.iter().flat_map(|row| row.members).enumerate() {
        // Reading by principal is the first choice, and by pair does as well.
        let both = *action == "sso:ListAccountAssignments";
        let withheld = |a: &str| a == *action || (both && a == "sso:ListAccountAssignmentsForPrincipal");
        world.organization.access_keys.push(AccessKey {
            access_key_id: key(nth),
            secret_access_key: format!("sandbox/only/worthless/elsewhere/{nth:03}"),
            account_id: None,
            actions: actions::ALL
                .iter()
                .map(|a| a.name)
                .filter(|a| !withheld(a))
                .map(str::to_owned)
                .collect(),
        });
    }
}

/// The federation's and the binding's reads.
pub async fn reads(book: &Book) {
    Box::pin(run("reads", &ROWS[..2], book)).await;
}

/// The changes of a permission set.
pub async fn changes(book: &Book) {
    Box::pin(run("changes", &ROWS[2..3], book)).await;
}

/// Assignments, and what is new.
pub async fn gives(book: &Book) {
    Box::pin(run("gives", &ROWS[3..], book)).await;
}

struct Scene<'a> {
    world: TestWorld,
    book: &'a Book,
    /// The binding, with everything that was asked for so far.
    binding: DynamicObject,
    asked: usize,
}

async fn run(prefix: &str, rows: &'static [Mistake], book: &Book) {
    let world = world(prefix, |world, _| keys(world)).await;
    let operator = world.operator();
    let mut binding = right(BINDING, &world.namespace);
    binding.data["spec"]["principals"] = json!([{"group": {"displayName": "aws-admins"}}, {"user": {"userPrincipalName": "ben@acme.example"}}]);
    let begin = [right(FEDERATION, &world.namespace), right(SCIM, &world.namespace), binding.clone()];
    journey::apply(&world.client, &begin).await.unwrap();
    world.until_ready(&[(FEDERATION, "acme"), (SCIM, "acme"), (BINDING, "readers")]).await;
    let mut scene = Scene { world, book, binding, asked: 0 };
    for row in rows {
        for action in row.members {
            scene.withhold(row, action).await;
        }
    }
    operator.stop().await;
}

impl Scene<'_> {
    /// Withholds an action, asks for what needs it, and grants it again.
    async fn withhold(&mut self, row: &'static Mistake, action: &'static str) {
        let world = &self.world;
        let nth = ROWS.iter().flat_map(|row| row.members).position(|a| *a == action).unwrap();
        let secret = BTreeMap::from([
            ("accessKeyId".to_owned(), key(nth)),
            ("secretAccessKey".to_owned(), format!("sandbox/only/worthless/elsewhere/{nth:03}")),
        ]);
        let mark = world.sandbox.core.journal.last();
        put_secret(world, "aws", &secret).await;
        let At::Condition(kind, _) = row.at else { panic!("{}", row.title) };
        let is_new = row.title == BEGINS.title;
        let name = if kind == FEDERATION {
            "acme"
        } else if is_new {
            "new"
        } else {
            "readers"
        };
        if is_new {
            let mut new = right(BINDING, &world.namespace);
            new.metadata.name = Some(name.to_owned());
            new.data["spec"]["permissionSet"]["name"] = json!(format!("New-{nth}"));
            journey::apply(&world.client, &[new]).await.unwrap();
        } else {
            merge(&mut self.binding.data["spec"], &yaml(asked(action)));
            journey::apply(&world.client, std::slice::from_ref(&self.binding)).await.unwrap();
            self.asked += 1;
            let now = format!("asked-{}", self.asked);
            let annotate =
                Patch::Merge(json!({"metadata": {"annotations": {"causeway.dev/reconcile": now}}}));
            let resources = api(&world.client, &world.namespace, kind);
            resources.patch(name, &PatchParams::default(), &annotate).await.unwrap();
        }
        let word = action.split(':').next_back().unwrap_or_default();
        self.book.expect_words(world, name, row, &[word]).await;
        // What comes before provisioning is no mistake.
        self.book.no_mutation(world, mark, but(action), action);

        world.person.make_credentials().await.unwrap();
        world.until_ready(&[(FEDERATION, "acme"), (BINDING, "readers"), (kind, name)]).await;
        if is_new {
            api(&world.client, &world.namespace, kind).delete(name, &DeleteParams::default()).await.unwrap();
            world.until("it is gone", async || world.get(kind, name).await.is_none()).await;
        }
    }
}

fn but(action: &str) -> &'static [&'static str] {
    if action == "sso:ProvisionPermissionSet" { &["UpdatePermissionSet"] } else { &[] }
}
