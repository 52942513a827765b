use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{api, kinds};
use crate::Sandbox;
use crate::aws::Aws;

/// One hand-off that a person has carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Kind of the resource that waited.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The step, as in `status.handoff.pending[].step`.
    pub step: String,
    /// What the resource asked for.
    pub what: String,
    /// What the person did, in the consoles and with kubectl.
    pub done: Vec<String>,
}

/// The administrator: reads hand-offs in status, and nothing else, and does what they say.
#[derive(Clone)]
pub struct Person {
    aws: Arc<Aws>,
    now: Arc<crate::core::Core>,
    credentials: Vec<(&'static str, BTreeMap<String, String>)>,
    client: Client,
    namespace: String,
}

impl Person {
    /// A person with access to AWS's console and to one namespace.
    #[must_use]
    pub fn new(sandbox: &Sandbox, client: Client, namespace: &str) -> Self {
        let descriptor = sandbox.descriptor();
        let entra = BTreeMap::from([("clientSecret".to_owned(), descriptor.entra.client_secret)]);
        let aws = BTreeMap::from([
            ("accessKeyId".to_owned(), descriptor.aws.access_key_id),
            ("secretAccessKey".to_owned(), descriptor.aws.secret_access_key),
        ]);
        Self {
            aws: sandbox.aws.clone(),
            now: sandbox.core.clone(),
            credentials: vec![("entra", entra), ("aws", aws)],
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// Makes the Secrets that the examples refer to: `entra` and `aws`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn make_credentials(&self) -> anyhow::Result<()> {
        for (name, data) in &self.credentials {
            self.put_secret(name, data.clone()).await?;
        }
        Ok(())
    }

    /// What a person types to make them; the values are left out.
    #[must_use]
    pub fn credential_commands(&self) -> Vec<String> {
        let command = |(name, data): &(&'static str, BTreeMap<String, String>)| {
            let keys: Vec<String> = data.keys().map(|key| format!("--from-literal={key}=…")).collect();
            format!("kubectl create secret generic {name} -n {} {}", self.namespace, keys.join(" "))
        };
        self.credentials.iter().map(command).collect()
    }

    /// Carries out the first hand-off that any resource of the namespace waits for.
    ///
    /// # Errors
    /// When a console or the API server refuses, or a step is not known.
    pub async fn act(&self) -> anyhow::Result<Option<Act>> {
        for kind in kinds() {
            for object in api(&self.client, &self.namespace, kind).list(&ListParams::default()).await? {
                let Some(step) = object.data.pointer("/status/handoff/pending/0") else { continue };
                let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
                let done = self.carry_out(&object, &text("step"), &text("value")).await?;
                return Ok(Some(Act {
                    kind,
                    name: object.name_any(),
                    step: text("step"),
                    what: text("what"),
                    done,
                }));
            }
        }
        Ok(None)
    }

    async fn carry_out(
        &self,
        object: &DynamicObject,
        step: &str,
        value: &str,
    ) -> anyhow::Result<Vec<String>> {
        let namespace = &self.namespace;
        match step {
            "EnableIdentityCenter" => {
                self.aws.enable_identity_center().map_err(refused)?;
                Ok(vec!["AWS console: IAM Identity Center > Enable".into()])
            }
            "ProvideServiceProviderMetadata" => {
                let metadata = self.aws.service_provider_metadata().map_err(refused)?;
                let (name, key) =
                    reference(object, "/spec/aws/identityCenter/serviceProviderMetadata/configMapKeyRef")?;
                self.put_config_map(&name, &key, &metadata).await?;
                Ok(vec![
                    "AWS console: Settings > Identity source > Change identity source > download the metadata".into(),
                    format!("kubectl create configmap {name} -n {namespace} --from-file={key}"),
                ])
            }
            "ImportIdpMetadata" => {
                let (name, key) = reference(object, "/status/handoff/idpMetadata/configMapKeyRef")?;
                let map = Api::<ConfigMap>::namespaced(self.client.clone(), namespace).get(&name).await?;
                let metadata =
                    map.data.and_then(|mut d| d.remove(&key)).context("no metadata in the ConfigMap")?;
                self.aws.set_external_identity_provider(&metadata).map_err(refused)?;
                let annotate = json!({"metadata": {"annotations": {"causeway.dev/acknowledge": value}}});
                api(&self.client, namespace, "IdentityFederation")
                    .patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(annotate))
                    .await?;
                Ok(vec![
                    format!("kubectl get configmap {name} -n {namespace} -o jsonpath=… > {key}"),
                    format!(
                        "AWS console: Change identity source > external identity provider > upload {key} > ACCEPT"
                    ),
                    format!(
                        "kubectl annotate identityfederation {} -n {namespace} causeway.dev/acknowledge={value}",
                        object.name_any()
                    ),
                ])
            }
            "EnableProvisioning" => {
                // Whoever finds it enabled, and has no token, makes another one.
                let token = self.aws.enable_automatic_provisioning();
                let token = token.or_else(|_| self.aws.create_scim_token()).map_err(refused)?;
                let name = object
                    .data
                    .pointer("/spec/secretRef/name")
                    .and_then(Value::as_str)
                    .context("no secretRef")?;
                self.put_token(name, &token).await?;
                Ok(vec![
                    "AWS console: Settings > Automatic provisioning > Enable > copy endpoint and token"
                        .into(),
                    format!(
                        "kubectl create secret generic {name} -n {namespace} --from-literal=endpoint=… --from-literal=token=… --from-literal=issuedAt=…"
                    ),
                ])
            }
            other => bail!("the person does not know the step {other}"),
        }
    }

    /// Puts a SCIM token as the console answered it into a Secret.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn put_token(&self, name: &str, token: &Value) -> anyhow::Result<()> {
        let text = |key: &str| token[key].as_str().unwrap_or_default().to_owned();
        let data = BTreeMap::from([
            ("endpoint".to_owned(), text("endpoint")),
            ("token".to_owned(), text("token")),
            ("issuedAt".to_owned(), self.now.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ]);
        // The console shows a token once: who has it in hand does not let go of it at the first hiccup.
        let mut left = 5;
        loop {
            match self.put_secret(name, data.clone()).await {
                Err(error) if left > 0 => {
                    tracing::debug!(%error, "the Secret could not be written; trying again");
                    left -= 1;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                written => return written,
            }
        }
    }

    async fn put_secret(&self, name: &str, data: BTreeMap<String, String>) -> anyhow::Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let secret = Secret { metadata, string_data: Some(data), ..Secret::default() };
        let parameters = PatchParams::apply("person").force();
        Api::<Secret>::namespaced(self.client.clone(), &self.namespace)
            .patch(name, &parameters, &Patch::Apply(&secret))
            .await
            .with_context(|| format!("put the Secret {name}"))?;
        Ok(())
    }

    async fn put_config_map(&self, name: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let map = ConfigMap {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
            ..ConfigMap::default()
        };
        let parameters = PatchParams::apply("person").force();
        Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace)
            .patch(name, &parameters, &Patch::Apply(&map))
            .await
            .with_context(|| format!("put the ConfigMap {name}"))?;
        Ok(())
    }
}

fn reference(object: &DynamicObject, pointer: &str) -> anyhow::Result<(String, String)> {
    let at = object.data.pointer(pointer).with_context(|| format!("nothing at {pointer}"))?;
    let text =
        |key: &str| at[key].as_str().map(str::to_owned).with_context(|| format!("no {key} at {pointer}"));
    Ok((text("name")?, text("key")?))
}

fn refused(error: crate::aws::ConsoleError) -> anyhow::Error {
    anyhow::anyhow!("AWS's console refuses: {} {}", error.status, error.message)
}
