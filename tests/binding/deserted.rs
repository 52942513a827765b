//! An account that loses its last assignment while the permission set changes.

use serde_json::json;

use super::harness::{PAYMENTS, SHOP, Twin, plain, world};
use crate::support::run;

#[test]
fn an_account_that_loses_its_last_assignment_is_not_provisioned_any_more() {
    run(async {
        let twin = Twin::start(world()).await;
        let operator = twin.operator().await;
        let mut spec = plain("Readers");
        spec["accounts"] = json!({"include": [{"ids": [SHOP, PAYMENTS]}]});
        twin.create("readers", &spec).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!(status.current, 2);

        let journal = twin.sandbox.core.journal.last();
        let change =
            json!({"permissionSet": {"sessionDuration": "3h"}, "accounts": {"include": [{"ids": [SHOP]}]}});
        twin.patch("readers", &json!({"spec": change})).await;
        let status = twin.settle(&operator, "readers").await.unwrap();
        assert_eq!((status.current, status.stale_accounts), (1, 0));
        let provisioned: Vec<String> = twin
            .mutations(journal)
            .into_iter()
            .filter(|e| e.operation == "ProvisionPermissionSet")
            .map(|e| e.target)
            .collect();
        assert_eq!(provisioned, [format!("provisioning Readers/{SHOP}")]);

        // A role for nobody would hold this up for ever.
        twin.delete("readers").await;
        assert!(twin.settle(&operator, "readers").await.is_none());
    });
}
