//! Microsoft Graph and Entra's sign-in host.

pub mod applications;
pub mod assignments;
pub mod certificates;
pub mod directory;
pub mod permissions;
pub mod synchronization;

mod credentials;
mod failure;
mod transport;

use serde_json::Value;

pub use credentials::{ClientSecret, CredentialError, Identity, Proof};
pub(crate) use failure::is_about_the_caller;
pub use transport::{Graph, GraphOptions};

/// An answer of Graph.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body; `Null` when there was none.
    pub body: Value,
    /// Graph's id of the call.
    pub request_id: Option<String>,
}

/// A string as an OData literal, quotes doubled (contract Graph 1.3).
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text as one segment of a path: everything but unreserved characters is percent-encoded. (`.` and `..` cannot be
/// encoded away; [`Graph`] refuses paths that hold them.)
#[must_use]
pub fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::api::arbitrary::anything;
    use crate::clients::http::Answer;
    use crate::clients::{CloudError, CloudErrorKind};

    #[test]
    fn a_segment_stays_a_segment() {
        assert_eq!(segment("11111111-2222-3333-4444-555555555555"), "11111111-2222-3333-4444-555555555555");
        assert_eq!(segment("a/../b?c#d e"), "a%2F..%2Fb%3Fc%23d%20e");
        assert_eq!(segment("ada@acme.example"), "ada%40acme.example");
    }

    #[test]
    fn quotes_in_literals_are_doubled() {
        assert_eq!(literal("O'Neil's"), "'O''Neil''s'");
    }

    /// A body as Graph might send it, with anything at all in places.
    fn body() -> impl Strategy<Value = Value> {
        let real = json!({
            "id": "11111111-2222-3333-4444-555555555555", "appId": "11111111-2222-3333-4444-555555555555",
            "displayName": "AWS", "notes": "x", "identifierUris": ["https://a"], "principalId": "p",
            "appRoles": [{"id": "r", "displayName": "User", "isEnabled": true, "allowedMemberTypes": ["User"]}],
            "web": {"redirectUris": ["https://a"], "homePageUrl": "https://a"},
            "keyCredentials": [{"key": "AAAA", "usage": "Verify", "endDateTime": "2027-01-01T00:00:00Z"}],
            "schedule": {"state": "Active"}, "templateId": "t",
            "status": {"code": "Active", "synchronizedEntryCountByType": [{"key": "User", "value": 1}],
                "quarantine": {"reason": "Unknown"}, "lastExecution": {"state": "Succeeded", "error": {"code": "None"}}},
            "value": [], "error": {"code": "x", "message": "y", "details": [{"code": "z"}], "innerError": {"request-id": "r"}},
        });
        let keys: Vec<String> = real.as_object().unwrap().keys().cloned().collect();
        let change = (proptest::sample::select(keys), proptest::option::of(anything()));
        proptest::collection::vec(change, 0..4).prop_map(move |changes| {
            let mut body = real.clone();
            for (key, value) in changes {
                match value {
                    Some(value) => body[&key] = value,
                    None => _ = body.as_object_mut().unwrap().remove(&key),
                }
            }
            body
        })
    }

    proptest! {
        #[test]
        fn fuzz_any_body_is_read_or_refused(body in body()) {
            let _ = serde_json::from_value::<applications::Application>(body.clone());
            let _ = serde_json::from_value::<applications::ServicePrincipal>(body.clone());
            let _ = serde_json::from_value::<assignments::AppRoleAssignment>(body.clone());
            let _ = serde_json::from_value::<directory::DirectoryGroup>(body.clone());
            let _ = serde_json::from_value::<directory::DirectoryUser>(body.clone());
            let _ = serde_json::from_value::<synchronization::Template>(body.clone());
            let _ = serde_json::from_value::<synchronization::Job>(body);
        }

        #[test]
        fn fuzz_what_came_of_a_provision_on_demand_is_never_made_up(key in anything(), value in anything(), embedded: bool) {
            let inside = |v: &Value| if embedded { Value::String(v.to_string()) } else { v.clone() };
            let answers = [
                value.clone(), json!({"key": inside(&key), "value": inside(&value)}), json!({"value": inside(&json!([{"provisioningSteps": value}]))}),
            ];
            for answer in answers {
                let came = synchronization::on_demand(&answer);
                // Success is said, not concluded from silence.
                proptest::prop_assert!(came.result != "Success" || answer.to_string().to_lowercase().contains("success"));
                proptest::prop_assert!(!came.result.is_empty());
            }
        }

        #[test]
        fn fuzz_any_time_of_a_job_is_a_time_or_never(text in "(.{0,30}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+][0-9]{2}:[0-9]{2}))") {
            if let Some(moment) = synchronization::moment(&text) {
                proptest::prop_assert_eq!(moment.subsec_nanosecond(), 0);
            }
        }

        #[test]
        fn fuzz_any_refusal_is_classified_and_bounded(
            status in 300u16..600, json in body(), raw in proptest::collection::vec(any::<u8>(), 0..300), plain: bool,
        ) {
            let answer = Answer {
                status: http::StatusCode::from_u16(status).unwrap(),
                headers: http::HeaderMap::new(),
                body: if plain { raw } else { json.to_string().into_bytes() },
            };
            for error in [failure::graph("op", "/servicePrincipals/1/synchronization/jobs", &answer), failure::login("op", &answer)] {
                prop_assert!(error.message.len() <= 1100 && error.code.len() <= 1100);
                prop_assert!(!error.message.chars().any(char::is_control));
                prop_assert_eq!(error.status, status);
            }
        }

        #[test]
        fn fuzz_a_quoted_secret_is_cut_out_of_any_message(
            before in ".{0,60}", secret in "[!-~]{16,60}", after in ".{0,60}", form in 0..3,
        ) {
            use base64::Engine as _;
            let quoted = match form {
                0 => secret.clone(),
                1 => url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
                _ => base64::engine::general_purpose::STANDARD.encode(&secret),
            };
            let error = CloudError {
                service: crate::clients::Service::Login,
                operation: "op",
                kind: CloudErrorKind::Invalid,
                status: 400,
                code: String::new(),
                message: crate::clients::http::bounded(&format!("{before}{quoted}{after}")),
                request_id: None,
            };
            let told = error.without(&[&secret]);
            prop_assert!(!told.message.contains(&quoted), "{}", told.message);
        }
    }
}
