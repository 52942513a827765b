//! The whole journey with a real operator, real protocols and a real API server.

mod crash;
mod idle;
mod kubectl;
mod leaves;
pub mod process;
mod switches;
mod telemetry;
mod workload;

use jiff::SignedDuration;

use crate::support::run;
use crate::support::sign_in::access;
use crate::support::world::{ALL, CHANGE, TestWorld};

#[test]
fn people_sign_in_with_what_the_yaml_says_and_lose_it_again() {
    run(async {
        let world = TestWorld::company("journey").await;
        let operator = world.operator();
        world.apply_example().await;
        world.until_ready(&ALL).await;
        assert_eq!(world.created_twice(), Vec::<String>::new());

        let ben = access(&world, "ben@acme.example").expect("ben gets in");
        assert!(ben.contains(&("111122223333".into(), "Production-Operator".into())), "{ben:?}");
        assert_eq!(ben.iter().filter(|(_, set)| set == "Engineers-PowerUser").count(), 3, "{ben:?}");
        assert_eq!(access(&world, "hugo@acme.example").expect("hugo gets in").len(), 6);
        for who in ["farid@acme.example", "kofi@acme.example", "lena@acme.example"] {
            assert_eq!(access(&world, who), None, "{who} has no business there");
        }

        world.apply(CHANGE).await;
        world.until_ready(&ALL).await;
        let ben = access(&world, "ben@acme.example").expect("ben still gets in");
        assert!(ben.iter().all(|(_, set)| set != "Production-Operator"), "{ben:?}");
        let ada = access(&world, "ada@acme.example").expect("ada still gets in");
        assert!(ada.contains(&("222233334444".into(), "Production-Operator".into())), "{ada:?}");

        let users = world.sandbox.world().tenant.users;
        let elif = users.into_iter().find(|u| u.user_principal_name == "elif@acme.example").unwrap();
        world.sandbox.entra.delete_user(&elif.id.unwrap()).expect("the directory lets her go");
        world.advance(SignedDuration::from_mins(45));
        world
            .until("elif is inactive in AWS", async || {
                world.sandbox.aws.access_of("elif@acme.example").is_err()
            })
            .await;
        assert_eq!(access(&world, "elif@acme.example"), None);
        operator.stop().await;
    });
}

#[test]
fn deleting_everything_leaves_nothing_of_ours_but_what_is_retained() {
    run(async {
        let world = TestWorld::company("deletion").await;
        let operator = world.operator();
        world.apply_example().await;
        world.until_ready(&ALL).await;
        for (kind, name) in ALL {
            let api = sandbox::journey::api(&world.client, &world.namespace, kind);
            api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
        }
        world
            .until("all resources are gone", async || {
                let mut left = 0;
                for (kind, name) in ALL {
                    left += usize::from(world.get(kind, name).await.is_some());
                }
                left == 0
            })
            .await;
        let (_, identity_center, _) = world.sandbox.aws.world();
        assert!(identity_center.permission_sets.is_empty(), "bindings delete their sets by default");
        assert!(identity_center.assignments.is_empty(), "and their assignments");
        assert_eq!(
            world.sandbox.entra.world().applications.len(),
            1,
            "a federation keeps its application by default"
        );
        operator.stop().await;
    });
}
