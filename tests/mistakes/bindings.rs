//! Mistakes in bindings, on one world that is ready: each has a binding of its own.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::api::{DeleteParams, DynamicObject};
use sandbox::journey::{self, api};
use sandbox::world::{ExistingPermissionSet, Group, World};
use serde_json::{Value, json};

use super::table::{Book, Mistake, merge, told, yaml};
use super::{BINDING, FEDERATION, SCIM, right, world};

const READY: (&str, &str) = (BINDING, "Ready");

/// In a binding that is ready and is changed.
pub const CHANGED: &[Mistake] = &[
    told(
        "A group that does not exist",
        READY,
        "NotInEntra",
        &["no-such-group"],
        "{principals: [{group: {displayName: aws-admins}}, {group: {displayName: no-such-group}}]}",
        "Correct the name, or create the group and assign it. Those who were found keep what they have.",
    ),
    told(
        "Two groups of one name",
        READY,
        "NotInEntra",
        &["aws-twins", "entraObjectId"],
        "{principals: [{group: {displayName: aws-admins}}, {group: {displayName: aws-twins}}]}",
        "Name the group by entraObjectId.",
    ),
    told(
        "A group in other upper and lower case letters",
        READY,
        "NameDiffers",
        &["upper and lower case letters count", "write `displayName: aws-oncall`"],
        "{principals: [{group: {displayName: aws-admins}}, {group: {displayName: AWS-Oncall}}]}",
        "Write the name as the message has it.",
    ),
    told(
        "A person whose account is disabled",
        READY,
        "AccountDisabled",
        &["lena@acme.example", "enable the account"],
        "{principals: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: lena@acme.example}}]}",
        "Enable the account in Entra, or take the person out of the binding: Entra does not provision disabled accounts.",
    ),
    told(
        "A group's mail address as a user",
        READY,
        "NotInEntra",
        &["aws-auditors"],
        "{principals: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: aws-auditors@acme.example}}]}",
        "Write `- group: {displayName: aws-auditors}`.",
    ),
    told(
        "A group in place of a user",
        READY,
        "NotInEntra",
        &["ada@acme.example"],
        "{principals: [{group: {displayName: aws-admins}}, {group: {displayName: ada@acme.example}}]}",
        "Write `- user: {userPrincipalName: ada@acme.example}`.",
    ),
    told(
        "A group that nobody assigned to the application",
        READY,
        "NotInProvisioningScope",
        &["`- group: {displayName: aws-oncall}`", "spec.entra.application.assignments"],
        "{principals: [{group: {displayName: aws-admins}}, {group: {displayName: aws-oncall}}]}",
        "Add the line that the message shows to the federation; the next provisioning cycle brings the group to AWS.",
    ),
    told(
        "A person who is only in a group of a group",
        READY,
        "NotInProvisioningScope",
        &["farid@acme.example"],
        "{principals: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: farid@acme.example}}]}",
        "Entra does not look into nested groups: assign the person, or a group of which he is a direct member.",
    ),
    told(
        "A distribution list",
        READY,
        "NotInProvisioningScope",
        &["security group"],
        "{principals: [{group: {displayName: aws-admins}}, {group: {displayName: all-staff}}]}",
        "Name a security group.",
    ),
    told(
        "An account that is not in the organization",
        READY,
        "AccountNotFound",
        &["123456789012"],
        "{accounts: {include: [{ids: ['111122223333', '123456789012']}]}}",
        "Correct the id. The other accounts are served.",
    ),
    told(
        "An account that is closed",
        READY,
        "AccountNotFound",
        &["888899990000", "not active"],
        "{accounts: {include: [{ids: ['111122223333', '888899990000']}]}}",
        "Take it out of the binding.",
    ),
    told(
        "The management account",
        READY,
        "BindingNotAllowed",
        &["100000000001", "managementAccount"],
        "{accounts: {include: [{ids: ['111122223333', '100000000001']}]}}",
        "Take it out, or let whoever looks after the federation allow it.",
    ),
    told(
        "An inline policy that is too long",
        READY,
        "InvalidSpec",
        &["inlinePolicy"],
        "{permissionSet: {inlinePolicy: {Version: '2012-10-17', Id: LONG, Statement: []}}}",
        "Make it shorter, or attach a customer managed policy.",
    ),
    told(
        "A managed policy that AWS does not have",
        READY,
        "InvalidSpec",
        &["ReadOnlyAcess", "correct spec.permissionSet.managedPolicies"],
        "{permissionSet: {managedPolicies: ['arn:aws:iam::aws:policy/ReadOnlyAcess']}}",
        "Correct the ARN; `aws iam list-policies --scope AWS` lists them.",
    ),
    told(
        "An inline policy that IAM refuses",
        READY,
        "InvalidSpec",
        &["prefaced by a vendor", "correct spec.permissionSet.inlinePolicy"],
        "{permissionSet: {inlinePolicy: {Version: '2012-10-17', Statement: [{Effect: Allow, Action: GetObject, Resource: '*'}]}}}",
        "Correct what the message quotes; here the action is s3:GetObject.",
    ),
    told(
        "`suspend` that was forgotten",
        READY,
        "Suspended",
        &["spec.suspend"],
        "{suspend: true}",
        "Set it to false.",
    ),
    told(
        "`Observe` that was forgotten",
        READY,
        "PlanNotApplied",
        &["status.plan", "Enforce"],
        "{mode: Observe, permissionSet: {description: another one}}",
        "Set spec.mode to Enforce when the plan is right.",
    ),
];

/// In a binding that is new.
pub const NEW: &[Mistake] = &[
    told(
        "A permission set of that name that was made by hand",
        READY,
        "NotAdopted",
        &["ByHand", "adopt"],
        "{permissionSet: {name: ByHand}}",
        "Set spec.permissionSet.adopt to true to take it over as it is in the spec, or choose another name.",
    ),
    told(
        "A permission set that belongs to somebody else",
        READY,
        "OwnedByOther",
        &["Theirs", "test/other/theirs", "it is looked at every"],
        "{permissionSet: {name: Theirs}}",
        "Choose another name, or delete the other binding first.",
    ),
    told(
        "Two bindings for one permission set",
        READY,
        "ClaimedTwice",
        &["m-0", "delete this one"],
        "{permissionSet: {name: Mistake-0}}",
        "Delete the one that says so: it has given nothing. The other works on.",
    ),
    told(
        "A federation that does not exist",
        READY,
        "FederationNotFound",
        &["acmee"],
        "{federationRef: {name: acmee}}",
        "Correct spec.federationRef in a new binding, or create the federation.",
    ),
    told(
        "A federation of a namespace that takes no bindings from here",
        READY,
        "BindingNotAllowed",
        &["namespace"],
        "{federationRef: {name: acme, namespace: elsewhere}}",
        "Create the binding where the message says, or ask whoever looks after the federation.",
    ),
    told(
        "A federation of a namespace where the operator does not look",
        READY,
        "FederationNotFound",
        &["does not look there"],
        "{federationRef: {name: acme, namespace: far-away}}",
        "Have the namespace added to what the operator watches, or refer to a federation that it watches.",
    ),
];

/// Groups and permission sets that mislead.
fn mislead(world: &mut World) {
    for _ in 0..2 {
        world.tenant.groups.push(Group { display_name: "aws-twins".into(), ..Group::default() });
    }
    let set = |name: &str, tags: BTreeMap<String, String>| ExistingPermissionSet {
        name: name.into(),
        tags,
        ..ExistingPermissionSet::default()
    };
    let theirs = BTreeMap::from([("causeway.dev/owner".to_owned(), "test/other/theirs".to_owned())]);
    world.identity_center.permission_sets = vec![set("ByHand", BTreeMap::new()), set("Theirs", theirs)];
}

/// A binding with a set of its own, for one group on one account.
fn binding(namespace: &str, name: &str, set: &str, patch: &Value) -> DynamicObject {
    let mut binding = right(BINDING, namespace);
    binding.metadata.name = Some(name.to_owned());
    let spec = &mut binding.data["spec"];
    spec["permissionSet"] = json!({"name": set});
    merge(spec, patch);
    binding
}

fn patch(mistake: &Mistake) -> Value {
    yaml(&mistake.make.replace("LONG", &"x".repeat(11_000)))
}

/// All of them at once.
pub async fn run(book: &Book) {
    let mut world = world("bindings", |world, _| mislead(world)).await;
    // So many bindings that look again every second take all the calls that AWS lets through, and new ones wait.
    world.settings.timing.resync = std::time::Duration::from_secs(10);
    world.settings.namespaces.insert("elsewhere".to_owned());
    let operator = world.operator();
    let name = |nth: usize| format!("m-{nth}");
    let of =
        |nth: usize, patch: &Value| binding(&world.namespace, &name(nth), &format!("Mistake-{nth}"), patch);
    let plain: Vec<DynamicObject> = (0..CHANGED.len()).map(|nth| of(nth, &json!({}))).collect();
    let begin = [FEDERATION, SCIM].map(|kind| right(kind, &world.namespace));
    journey::apply(&world.client, &begin).await.unwrap();
    journey::apply(&world.client, &plain).await.unwrap();
    let names: Vec<String> = (0..CHANGED.len()).map(name).collect();
    let bindings: Vec<(&str, &str)> = names.iter().map(|n| (BINDING, n.as_str())).collect();
    world.until_ready(&bindings).await;
    let mark = world.sandbox.core.journal.last();

    let changed: Vec<_> = CHANGED.iter().enumerate().map(|(nth, m)| of(nth, &patch(m))).collect();
    journey::apply(&world.client, &changed).await.unwrap();
    join_all(CHANGED.iter().zip(&names).map(|(m, name)| book.expect(&world, name, m))).await;
    let new_name = |nth: usize| format!("new-{nth}");
    let new: Vec<_> = NEW
        .iter()
        .enumerate()
        .map(|(nth, m)| binding(&world.namespace, &new_name(nth), &format!("New-{nth}"), &patch(m)))
        .collect();
    journey::apply(&world.client, &plain).await.unwrap();
    journey::apply(&world.client, &new).await.unwrap();
    let new_names: Vec<String> = (0..NEW.len()).map(new_name).collect();
    join_all(NEW.iter().zip(&new_names).map(|(m, name)| book.expect(&world, name, m))).await;
    book.no_mutation(&world, mark, &[], "mistakes in bindings");

    // Mended as the page says, everything is as before.
    for name in &new_names {
        api(&world.client, &world.namespace, BINDING).delete(name, &DeleteParams::default()).await.unwrap();
    }
    world
        .until("the new bindings are gone", async || {
            for name in &new_names {
                if world.get(BINDING, name).await.is_some() {
                    return false;
                }
            }
            true
        })
        .await;
    world.until_ready(&bindings).await;
    book.no_mutation(&world, mark, &[], "mended bindings");
    operator.stop().await;
}
