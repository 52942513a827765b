//! Switches between possible behaviours, where the documentation leaves open what happens. Numbers are sections of the
//! contracts.

use serde::{Deserialize, Serialize};

/// Switches between possible behaviours of Entra.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EntraBehaviours {
    /// 1.2: instantiate answers 404 and creates all the same.
    pub instantiate_answers404: bool,
    /// 2.2: the first certificate becomes active by itself.
    pub first_certificate_active: bool,
    /// 2.3: inactive certificates are listed in the federation metadata.
    pub inactive_certificates_in_metadata: bool,
    /// 5.2: the id of the synchronization template of the IAM Identity Center application.
    pub synchronization_template_id: String,
    /// 5.3: a PUT of secrets drops the keys that it leaves out.
    pub secrets_put_replaces: bool,
    /// 5.2: a second POST of a job is refused with 409; else it makes a second job.
    pub second_job_refused: bool,
    /// 2.1: an identifier on a host that is not verified is refused as `Request_BadRequest`, and
    /// `HostNameNotOnVerifiedDomain` only stands in its details.
    pub identifier_refusal_in_details: bool,
    /// 2.1: an identifier that another application has is refused with 400 instead of 409.
    pub duplicate_identifier_answers400: bool,
    /// 9: applications in the recycle bin keep their identifiers from being used again.
    pub deleted_identifiers_block: bool,
    /// 2.2, 8.1: `addTokenSigningCertificate` exists, as it does in the global cloud only.
    pub token_signing_certificate_action: bool,
    /// 2.3: for so many seconds a new certificate does not show in the federation metadata.
    pub metadata_lag_seconds: u32,
    /// 4.4: the longest value of an app role.
    pub app_role_value_limit: usize,
    /// 5.3: of `SyncNotificationSettings`, names that no document confirms (`Recipients`, `DeleteThresholdValue`) are
    /// dropped when it is saved.
    pub unconfirmed_settings_dropped: bool,
    /// 5.4: what `validateCredentials` answers on success.
    pub validate_credentials_status: u16,
    /// 5.6: `provisionOnDemand` answers the second shape, an array of reports.
    pub provision_on_demand_reports: bool,
    /// 5.8: the source of `userName` in the template's mappings, as an expression.
    pub user_name_source: String,
    /// AWS contract 4: a tenant URL with a trailing slash does not work.
    pub tenant_url_slash_refused: bool,
    /// 8.5: the code of a 401 for a bad token.
    pub invalid_token_code: String,
    /// 8.5: a PATCH of `web` or `api` replaces the members that it leaves out.
    pub complex_patch_replaces: bool,
    /// 8.5: how error bodies are written.
    pub error_shape: ErrorShape,
}

/// The shapes of error bodies that were seen (8.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorShape {
    /// `innerError`, message as text, details as a list.
    #[default]
    Standard,
    /// `innererror`, nested once more.
    Lowercase,
    /// The message as `{"lang", "value"}`, the details as one object.
    Objects,
    /// The message is itself JSON in a string, as the provisioning service writes it.
    Embedded,
}

impl Default for EntraBehaviours {
    fn default() -> Self {
        Self {
            instantiate_answers404: false,
            first_certificate_active: false,
            inactive_certificates_in_metadata: true,
            synchronization_template_id: "aWSSSO".into(),
            secrets_put_replaces: false,
            second_job_refused: false,
            identifier_refusal_in_details: false,
            duplicate_identifier_answers400: false,
            deleted_identifiers_block: false,
            token_signing_certificate_action: true,
            metadata_lag_seconds: 0,
            app_role_value_limit: 120,
            unconfirmed_settings_dropped: false,
            validate_credentials_status: 204,
            provision_on_demand_reports: false,
            user_name_source: "[userPrincipalName]".into(),
            tenant_url_slash_refused: false,
            invalid_token_code: "InvalidAuthenticationToken".into(),
            complex_patch_replaces: false,
            error_shape: ErrorShape::Standard,
        }
    }
}

/// Switches between possible behaviours of AWS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AwsBehaviours {
    /// 14: the sixteenth outstanding creation is answered with this code.
    pub sixteenth_creation: String,
    /// 1.6: deleting a missing assignment fails asynchronously; else ResourceNotFoundException at once.
    pub missing_deletion_fails_later: bool,
    /// 1.3: GetPermissionsBoundaryForPermissionSet answers ResourceNotFoundException when none is set.
    pub absent_boundary_is_not_found: bool,
    /// 1.2: session durations come back normalised (`PT60M` as `PT1H`).
    pub durations_normalised: bool,
    /// 1.6: ListAccountAssignmentsForPrincipal is refused to a delegated administrator.
    pub by_principal_management_only: bool,
    /// 3.3, 11: NameID is matched case-sensitively.
    pub name_id_case_sensitive: bool,
    /// 1.5: a change of the description alone makes accounts stale.
    pub description_makes_stale: bool,
    /// 1.3: an AWS managed policy that does not exist is attached all the same, and fails where the set is provisioned;
    /// else ResourceNotFoundException at once.
    pub unknown_policy_fails_later: bool,
    /// 1.3, 14: an inline policy that IAM refuses is taken, and fails where the set is provisioned; else
    /// ValidationException at once.
    pub malformed_policy_fails_later: bool,
    /// 1.1: a call to another Region than the primary one is denied; else the instance does not exist there.
    pub wrong_region_is_denied: bool,
    /// 1.5: provisioning all accounts stops at the first that fails; else the others are still provisioned.
    pub provisioning_stops_at_failure: bool,
    /// 1.6, 11.2: for so many seconds a finished request can be described; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_retention_seconds: Option<u32>,
    /// 14: the fourth provisioning at one time is answered with this code.
    pub fourth_provisioning: String,
    /// 11.1: calls that each of the collective rates lets through at once.
    pub burst: u32,
    /// 3.4: the entity id is on the host of instances made since February 2026; else on the older one.
    pub newer_entity_id: bool,
    /// 4: the console shows the SCIM endpoint with a trailing slash.
    pub scim_endpoint_has_slash: bool,
}

impl Default for AwsBehaviours {
    fn default() -> Self {
        Self {
            sixteenth_creation: "ThrottlingException".into(),
            missing_deletion_fails_later: false,
            absent_boundary_is_not_found: true,
            durations_normalised: false,
            by_principal_management_only: true,
            name_id_case_sensitive: true,
            description_makes_stale: true,
            unknown_policy_fails_later: false,
            malformed_policy_fails_later: false,
            wrong_region_is_denied: false,
            provisioning_stops_at_failure: false,
            request_retention_seconds: None,
            fourth_provisioning: "ThrottlingException".into(),
            burst: 20,
            newer_entity_id: false,
            scim_endpoint_has_slash: false,
        }
    }
}
