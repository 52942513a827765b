use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use causeway::api::v1alpha1::IdentityFederation;
use causeway::clients::Due;
use causeway::clients::aws::assignments::{PrincipalId, PrincipalKind};
use causeway::controllers::Stores;
use causeway::engine::Instance;
use kube::Api;
use sandbox::core::FaultKind;
use sandbox::world::StoreGroup;
use tokio::time::Instant;

use super::harness::*;
use crate::support::run;

/// The instance as this operator sees it.
async fn instance(twin: &Twin, operator: &Operator) -> Instance {
    let federations = Api::<IdentityFederation>::namespaced(twin.client.clone(), &twin.home);
    let federation = federations.get("acme").await.unwrap();
    let clients = operator.context.aws(&federation).await.unwrap();
    let facts = twin.sandbox.aws.facts();
    let (arn, store) = (facts.instance_arn.unwrap(), facts.identity_store_id.unwrap());
    operator.context.engine.instance(&arn, &store, &clients)
}

#[test]
fn of_two_that_were_created_at_once_one_writes_although_no_watch_has_told_of_the_other() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        // Watches that have told nothing yet.
        let (stores, _writers) = Stores::new(&operator.context.settings);
        operator.context.knows(&stores);
        twin.create("one", &plain("Readers")).await;
        twin.create("two", &plain("Readers")).await;
        let status = twin.pass(&operator, "two").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "ClaimedTwice".into()), "{status:#?}");
        assert!(said(&status, "Ready").2.contains("PermissionSetBinding one"), "{status:#?}");
        assert_eq!(twin.mutations(0).len(), 0);
        let status = twin.settle(&operator, "one").await.unwrap();
        assert_eq!(ready(&status).0, "True", "{status:#?}");
        // The mark tells what the watch has not.
        let before = twin.sandbox.core.journal.last();
        let status = twin.pass(&operator, "two").await.unwrap().status;
        assert_eq!(ready(&status), ("False".into(), "OwnedByOther".into()), "{status:#?}");
        assert_eq!(twin.mutations(before).len(), 0);
    });
}

#[test]
fn assignments_that_take_longer_to_read_than_a_pass_has_are_read_once_and_come_to_an_end() {
    run(async {
        let mut twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        twin.create("engineers", &plain("Engineers")).await;
        let status = twin.settle(&operator, "engineers").await.unwrap();
        let set = status.permission_set_arn.unwrap();
        let id = group_id(&twin, "aws-engineers").await.unwrap();

        twin.sandbox.core.faults.add(refuse(
            "sso-admin",
            "ListAccountAssignmentsForPrincipal",
            FaultKind::Error,
            Some("AccessDeniedException"),
        ));
        twin.settings.limits.sso_admin_per_second = 10;
        // What is read for everybody serves for half a second.
        twin.settings.timing.resync = Duration::from_secs(5);
        let operator = twin.operator().await;
        let instance = instance(&twin, &operator).await;
        let principals: BTreeSet<PrincipalId> = [id, "94482488-3041-7005-8a6b-5d7f6f4b0001".to_owned()]
            .map(|id| PrincipalId { kind: PrincipalKind::Group, id })
            .into();
        let invented = (0..39).map(|n| format!("9999000000{n:02}"));
        let accounts: BTreeSet<String> = invented.chain([SHOP.to_owned()]).collect();

        twin.sandbox.core.counters.clear();
        let mut passes = 0;
        let assigned = loop {
            let until = Due::after(Instant::now(), Duration::from_millis(400), instance.slowed().clone());
            let assigned = instance.assigned(&set, &principals, &accounts, &until).await;
            passes += 1;
            if assigned.unread.is_empty() {
                break assigned;
            }
            assert!(passes < 200, "it starts over: {} calls", twin.calls("ListAccountAssignments"));
        };
        assert!(passes > 3, "more than a pass has time for: {passes}");
        assert_eq!(assigned.observed.len(), 1);
        let calls = twin.calls("ListAccountAssignments");
        // Those that a pass cut off may have been counted: one for each principal.
        let most = 40 + 2 * passes;
        assert!((40..=most).contains(&calls), "each account is read once: {calls} calls in {passes} passes");
    });
}

#[test]
fn a_long_list_of_groups_goes_on_where_it_was_cut_off() {
    run(async {
        let mut world = world();
        world.identity_center.groups.extend((0..2_300).map(|n| StoreGroup {
            display_name: format!("team-{n:04}"),
            external_id: Some(format!("e-team-{n:04}")),
            members: vec![],
        }));
        let mut twin = Twin::start(world).await;
        twin.settings.limits.identity_store_per_second = 10;
        twin.settings.timing.resync = Duration::from_secs(5);
        let operator = twin.operator().await;
        let instance = Arc::new(instance(&twin, &operator).await);
        let listed = || {
            let all = twin.sandbox.core.counters.all();
            all.iter().filter(|c| c.operation == "ListGroups").map(|c| c.calls).sum::<u64>()
        };
        twin.sandbox.core.counters.clear();
        let mut passes = 0;
        let groups = loop {
            let until = Due::after(Instant::now(), Duration::from_millis(400), instance.slowed().clone());
            passes += 1;
            if let Ok(groups) = until.meet(instance.groups()).await {
                break groups.unwrap();
            }
            assert!(passes < 200, "it starts over: {} calls", listed());
        };
        assert!(passes > 2, "{passes}");
        assert_eq!(groups.len(), 2_303);
        assert!(
            (24..=24 + passes).contains(&listed()),
            "each page once: {} calls in {passes} passes",
            listed()
        );
        // Of so many, one is looked up alone.
        let before = listed();
        assert_eq!(instance.group_named("team-2000").await.unwrap().unwrap().name, "team-2000");
        assert_eq!(instance.group_named("team-9999").await.unwrap(), None);
        assert_eq!(listed(), before);
    });
}
