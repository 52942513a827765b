//! An operator whose clock is wrong.

use axum::routing::get;
use axum::{Json, Router};
use futures::StreamExt as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::journey::{self, RESOURCES};
use super::usual;
use crate::support::run;

#[test]
fn a_clock_that_is_ten_minutes_off_does_no_harm() {
    run(async {
        let usual = usual().await;
        futures::stream::iter([600, -600])
            .for_each_concurrent(2, async |seconds| {
                // The operator believes this clock; clouds and people have the right time.
                let stop = CancellationToken::new();
                let answer = move || async move { Json(json!({"offsetSeconds": seconds})) };
                let router = Router::new().route("/clock", get(answer));
                let clock = sandbox::core::serve(router, None, stop.clone()).await.unwrap();
                let mut world = journey::world("clock").await;
                world.settings.test_clock = Some(clock.url.parse().unwrap());
                let operator = world.operator();
                journey::make(&world).await;
                assert_eq!(journey::end(&world), usual.stages[0].end, "{seconds} s");
                // Without the one-off acts: a person's annotation may lie ahead of such a clock.
                world.apply(&journey::by_token(&world, true)).await;
                world.until_ready(&RESOURCES).await;
                assert_eq!(journey::end(&world), usual.stages[1].end, "{seconds} s");
                journey::delete(&world).await;
                assert_eq!(journey::end(&world), usual.stages[2].end, "{seconds} s");
                assert_eq!(world.created_twice(), Vec::<String>::new(), "{seconds} s");
                operator.stop().await;
                stop.cancel();
            })
            .await;
    });
}
