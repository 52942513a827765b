//! YAML on the pages.

use kube::api::{DynamicObject, Patch, PatchParams};
use sandbox::journey::api;
use serde::Deserialize as _;
use serde_json::Value;

use super::{Page, pages};
use crate::support::{namespace, run};

/// The documents of the blocks of a page.
fn documents(page: &Page) -> Vec<(usize, Value)> {
    let mut all = Vec::new();
    for block in page.blocks().into_iter().filter(|b| b.language == "yaml") {
        for document in serde_yaml_ng::Deserializer::from_str(&block.text) {
            let value = Value::deserialize(document)
                .unwrap_or_else(|e| panic!("{}:{}: {e}\n{}", page.path, block.line, block.text));
            all.push((block.line, value));
        }
    }
    all
}

#[test]
fn every_resource_on_a_page_is_taken_by_the_api_server() {
    run(async {
        let (client, namespace) = namespace("pages").await;
        let mut wrong = Vec::new();
        let mut seen = 0;
        for page in pages() {
            for (line, document) in documents(&page) {
                if document["apiVersion"].as_str() != Some("causeway.dev/v1alpha1") {
                    continue;
                }
                seen += 1;
                let mut object: DynamicObject =
                    serde_json::from_value(document).unwrap_or_else(|e| panic!("{}:{line}: {e}", page.path));
                object.metadata.namespace = Some(namespace.clone());
                let kind = object.types.as_ref().map(|t| t.kind.clone()).unwrap_or_default();
                let name = object.metadata.name.clone().unwrap_or_default();
                // As `kubectl apply --server-side --dry-run=server` does: unknown fields are refused.
                let parameters = PatchParams::apply("pages").force().dry_run().validation_strict();
                let answer =
                    api(&client, &namespace, &kind).patch(&name, &parameters, &Patch::Apply(&object)).await;
                if let Err(error) = answer {
                    wrong.push(format!("{}:{line}: {kind} {name}: {error}", page.path));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(seen >= 10, "only {seen} resources were found");
    });
}
