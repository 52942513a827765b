//! Secrets, read by name and never listed or watched. What is said about them names them and their keys, no values.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use super::backoff::BLOCKED;
use super::commands;
use crate::cluster::rights::named_account;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// How many keys a message names.
const NAMED: usize = 8;

/// A Secret as it is now; none when it does not exist.
///
/// # Errors
/// `PermissionDenied` with the command that grants the right to read it; API server trouble.
pub async fn read(kube: &kube::Client, namespace: &str, name: &str) -> Result<Option<Secret>, Problem> {
    let read = Api::<Secret>::namespaced(kube.clone(), namespace).get_opt(name).await;
    read.map_err(|error| match &error {
        kube::Error::Api(said) if said.is_forbidden() => {
            let message = format!(
                "the operator may not read Secret {name} in namespace {namespace}; allow it: {}",
                commands::allow_secret(namespace, name, named_account(&said.message))
            );
            Problem::new(Class::Denied, Reason::PermissionDenied, message).because(error)
        }
        _ => Problem::from(error),
    })
}

/// The problem with a Secret that does not exist and must hold `keys`.
pub fn missing(namespace: &str, name: &str, keys: &[&str]) -> Problem {
    let message = format!(
        "Secret {name} does not exist in namespace {namespace}; create it: {}; it is looked for again within {}",
        commands::put_secret(
            namespace,
            name,
            &keys.iter().map(|key| (*key, "'<value>'")).collect::<Vec<_>>()
        ),
        commands::seconds(BLOCKED)
    );
    Problem::new(Class::Blocked, Reason::SecretNotFound, message)
}

/// The problem with a Secret that lacks these keys, or has nothing (or no text) under them. `field`: where the spec says
/// which key it is.
pub fn without(
    namespace: &str,
    name: &str,
    secret: &Secret,
    lacking: &[&str],
    field: Option<&str>,
) -> Problem {
    let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let absent: Vec<&str> = lacking.iter().copied().filter(|key| value(key).is_none()).collect();
    let what = match (absent.as_slice(), lacking) {
        ([_, ..], _) if absent.len() == lacking.len() => {
            format!("has no key {} ({})", absent.join(" and no key "), keys(secret))
        }
        (_, [key]) if value(key).is_some_and(|v| std::str::from_utf8(&v.0).is_err()) => {
            format!("holds no text under the key {key}")
        }
        _ => format!("has nothing under the key {}", lacking.join(" and nothing under the key ")),
    };
    let named = named(texts(secret));
    let or = match field.filter(|_| texts(secret).next().is_some()) {
        Some(field) => format!(", or set {field} to the key that is meant ({named})"),
        None => String::new(),
    };
    let put = if lacking.len() > 1 { "put them there" } else { "put it there" };
    let message = format!(
        "Secret {name} in namespace {namespace} {what}; {put}: {}{or}; it is looked at again within {}",
        commands::patch_secret(namespace, name, lacking),
        commands::seconds(BLOCKED)
    );
    Problem::new(Class::Blocked, Reason::SecretNotFound, message)
}

/// The keys under which there is text.
fn texts(secret: &Secret) -> impl Iterator<Item = &str> {
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|text| !text.trim().is_empty());
    secret.data.iter().flatten().filter(move |(_, value)| is_text(&value.0)).map(|(key, _)| key.as_str())
}

/// The names of the keys that a Secret has.
pub fn keys(secret: &Secret) -> String {
    named(secret.data.iter().flatten().map(|(key, _)| key.as_str()))
}

/// The names of the keys that a ConfigMap has.
pub fn keys_of_config_map(map: &ConfigMap) -> String {
    let data = map.data.iter().flatten().map(|(key, _)| key.as_str());
    named(data.chain(map.binary_data.iter().flatten().map(|(key, _)| key.as_str())))
}

fn named<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_unstable();
    let more = keys.len().saturating_sub(NAMED);
    keys.truncate(NAMED);
    match (keys.is_empty(), more) {
        (true, _) => "it has no keys".to_owned(),
        (false, 0) => format!("it has {}", keys.join(", ")),
        (false, more) => format!("it has {} and {more} more", keys.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_secret_lacks_is_named_and_what_it_has() {
        // Values are Base64: "x", "" and two bytes that are no UTF-8.
        for (data, words) in [
            (
                json!({"Client-Secret": "eA==", "other": "eA=="}),
                "no key clientSecret (it has Client-Secret, other)",
            ),
            (json!(null), "no key clientSecret (it has no keys)"),
            (json!({"clientSecret": ""}), "nothing under the key clientSecret"),
            (json!({"clientSecret": "//4="}), "no text under the key clientSecret"),
        ] {
            let secret: Secret = serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
            let problem =
                without("identity", "entra", &secret, &["clientSecret"], Some("spec.x.secretRef.key"));
            let other = words.contains("Client-Secret");
            let or = "or set spec.x.secretRef.key to the key that is meant (it has Client-Secret, other)";
            assert_eq!(problem.message.contains(or), other, "{}", problem.message);
            assert_eq!((problem.class, problem.reason), (Class::Blocked, Reason::SecretNotFound));
            for words in [
                words,
                "Secret entra in namespace identity",
                "-p '{\"stringData\":{\"clientSecret\":",
                "within 30 s",
            ] {
                assert!(problem.message.contains(words), "{words}: {}", problem.message);
            }
        }
    }

    #[test]
    fn all_keys_that_a_secret_lacks_are_named_at_once() {
        let keys = ["accessKeyId", "secretAccessKey"];
        for (data, lacking, what) in [
            (
                json!({"id": "eA=="}),
                &keys[..],
                "has no key accessKeyId and no key secretAccessKey (it has id)",
            ),
            (json!({"accessKeyId": ""}), &keys[..], "nothing under the key accessKeyId and nothing under"),
            (json!({"accessKeyId": "eA=="}), &keys[1..], "has no key secretAccessKey (it has accessKeyId)"),
        ] {
            let secret: Secret = serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
            let message = without("identity", "aws", &secret, lacking, None).message;
            assert!(message.contains(what) && !message.contains("or set"), "{message}");
            assert!(
                lacking.iter().all(|key| message.contains(&format!("\"{key}\":\"<value>\""))),
                "{message}"
            );
        }
    }

    #[tokio::test]
    async fn a_right_that_is_missing_comes_with_the_command_that_grants_it() {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            let said = r#"secrets "entra" is forbidden: User "system:serviceaccount:ops:causeway" cannot get resource "secrets""#;
            let body = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": said});
            let answer = http::Response::builder()
                .status(403)
                .body(kube::client::Body::from(body.to_string().into_bytes()));
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        });
        let client = kube::Client::new(service, "default");
        let problem = read(&client, "identity", "entra").await.unwrap_err();
        assert_eq!((problem.class, problem.reason), (Class::Denied, Reason::PermissionDenied));
        for words in [
            "may not read Secret entra in namespace identity",
            "create rolebinding",
            "--serviceaccount=ops:causeway",
        ] {
            assert!(problem.message.contains(words), "{words}: {}", problem.message);
        }
    }

    #[test]
    fn many_keys_are_not_all_named() {
        let keys: Vec<String> = (0..12).map(|n| format!("k{n:02}")).collect();
        assert_eq!(
            named(keys.iter().map(String::as_str)),
            "it has k00, k01, k02, k03, k04, k05, k06, k07 and 4 more"
        );
    }

    proptest::proptest! {
        /// Whatever a Secret holds: what is said of it is short and holds no value.
        #[test]
        fn fuzz_no_value_of_any_secret_is_told(
            data in proptest::collection::btree_map("[A-Za-z0-9._-]{1,12}", proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20), 0..12),
        ) {
            let mut data = data;
            data.insert("k".into(), b"s3cret-of-acme".to_vec());
            let data: std::collections::BTreeMap<_, _> = data.into_iter().map(|(k, v)| (k, k8s_openapi::ByteString(v))).collect();
            let secret = Secret { data: Some(data), ..Secret::default() };
            for key in ["clientSecret", "k"] {
                let told = without("identity", "entra", &secret, key).message;
                assert!(!told.contains("s3cret-of-acme") && told.len() < 700, "{told}");
            }
        }
    }
}
