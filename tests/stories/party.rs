//! A party: a namespace with the credentials of one cloud, an operator that reaches no other, and a person who does what
//! status says, with kubectl, and who mails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use causeway::settings::Settings;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use sandbox::journey::{self, Person};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::world::{PATIENCE, RunningOperator, TestWorld, condition, is_ready};
use crate::support::{cluster, namespace};

/// What goes from one party to the other.
#[derive(Debug)]
pub struct Mail {
    pub text: String,
    /// What is attached.
    pub files: BTreeMap<String, Vec<u8>>,
}

pub struct Party {
    pub namespace: String,
    pub client: Client,
    pub settings: Settings,
    pub person: Person,
    /// Where kubectl is, and its configuration.
    tools: (String, PathBuf),
    /// Where the person keeps files.
    desk: tempfile::TempDir,
}

impl Party {
    async fn new(world: &TestWorld, client: Client, namespace: String, settings: Settings) -> Self {
        let plane = cluster().await;
        let kubectl = plane.kubectl();
        let folder = kubectl.parent().expect("kubectl is in a folder").display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let person = Person::new(&world.sandbox, client.clone(), &namespace);
        let tools = (path, plane.kubeconfig().to_owned());
        Self { namespace, client, settings, person, tools, desk: tempfile::tempdir().expect("a desk") }
    }

    /// The party that looks after Entra: AWS is nowhere for it.
    pub async fn entra(world: &TestWorld) -> Self {
        let mut settings = world.settings.clone();
        settings.endpoints.aws = Settings::for_tests("x").endpoints.aws;
        settings.installation_id = "entra-team".into();
        let party = Self::new(world, world.client.clone(), world.namespace.clone(), settings).await;
        party.api::<Secret>().delete("aws", &DeleteParams::default()).await.expect("a Secret less");
        party
    }

    /// The party that looks after AWS: Entra is nowhere for it.
    pub async fn aws(world: &TestWorld) -> Self {
        let (client, namespace) = namespace("aws-team").await;
        let mut settings = world.settings.clone();
        let nowhere = Settings::for_tests("x").endpoints;
        (settings.endpoints.graph, settings.endpoints.authority) = (nowhere.graph, nowhere.authority);
        settings.namespaces = [namespace.clone()].into();
        settings.operator_namespace.clone_from(&namespace);
        settings.installation_id = "aws-team".into();
        let party = Self::new(world, client, namespace, settings).await;
        let key = world.sandbox.descriptor().aws;
        let secret = json!({"metadata": {"name": "aws"}, "stringData": {
            "accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key}});
        let secret = serde_json::from_value(secret).unwrap();
        party.api::<Secret>().create(&PostParams::default(), &secret).await.expect("a Secret");
        party
    }

    pub fn operator(&self, world: &TestWorld) -> RunningOperator {
        world.operator_with(self.settings.clone(), None)
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn resources(&self, kind: &str) -> Api<DynamicObject> {
        journey::api(&self.client, &self.namespace, kind)
    }

    pub async fn apply(&self, yaml: &str) {
        let objects = journey::parse(yaml, Some(&self.namespace)).expect("YAML");
        journey::apply(&self.client, &objects).await.expect("the API server accepts it");
    }

    pub async fn get(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        let resources = self.resources(kind);
        journey::answered(async || resources.get_opt(name).await).await.expect("the API server answers")
    }

    /// A part of the federation's `status.exchange`.
    pub async fn exchange(&self, part: &str) -> Value {
        let federation = self.get("IdentityFederation", "acme").await.expect("the federation");
        federation.data["status"]["exchange"][part].clone()
    }

    /// The names of a list of it.
    pub async fn names(&self, part: &str) -> Vec<String> {
        let items = self.exchange(part).await;
        let items = items.as_array().cloned().unwrap_or_default();
        items.iter().map(|i| i["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The condition of a resource, as reason and message.
    pub async fn says(&self, kind: &str, name: &str, aspect: &str) -> (String, String) {
        let object = self.get(kind, name).await;
        let found = object.as_ref().and_then(|o| condition(o, aspect));
        let text = |key: &str| found.and_then(|c| c[key].as_str()).unwrap_or_default().to_owned();
        (text("reason"), text("message"))
    }

    /// Waits until something holds; meanwhile the person does what the consoles are needed for.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            // Some steps are the other party's, and some were just carried out.
            if let Err(error) = self.person.act().await {
                tracing::debug!(%error, "the person could not act");
            }
            assert!(
                Instant::now() < deadline,
                "{} never saw: {what}\n{}",
                self.namespace,
                self.report().await
            );
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    pub async fn until_ready(&self, wanted: &[(&str, &str)]) {
        for (kind, name) in wanted {
            let ready = async || self.get(kind, name).await.is_some_and(|object| is_ready(&object));
            self.until(&format!("{kind} {name} is Ready"), ready).await;
        }
    }

    async fn report(&self) -> String {
        let mut lines = Vec::new();
        for kind in journey::kinds() {
            for object in self.resources(kind).list(&ListParams::default()).await.unwrap() {
                let status = serde_json::to_string_pretty(&object.data["status"]).unwrap();
                lines.push(format!("{kind} {}: {status}", object.name_any()));
            }
        }
        lines.join("\n")
    }

    /// Runs a command of status as it stands there.
    async fn shell(&self, line: &str) {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.desk.path()).env("HOME", self.desk.path());
        command.env("PATH", &self.tools.0).env("KUBECONFIG", &self.tools.1);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The text of status, with the files that the commands beside it write.
    pub async fn mail(&self) -> Mail {
        let mut files = BTreeMap::new();
        for item in self.exchange("send").await.as_array().into_iter().flatten() {
            let (Some(command), Some(file)) = (item["command"].as_str(), item["file"].as_str()) else {
                continue;
            };
            self.shell(command).await;
            files.insert(file.to_owned(), std::fs::read(self.desk.path().join(file)).expect("the file"));
        }
        Mail { text: self.exchange("mail").await.as_str().expect("a text").to_owned(), files }
    }

    /// Does with a mail what status asks for: a file that is not here yet is stored, if it is the one that the text
    /// speaks of, and a certificate is acknowledged when the text confirms it.
    pub async fn receive(&self, mail: &Mail) {
        let given = mail.text.split("We wait for").next().unwrap_or_default();
        let confirms = |value: &str| given.contains("CertificateConfirmation") && given.contains(value);
        for part in ["awaits", "received"] {
            for item in self.exchange(part).await.as_array().into_iter().flatten() {
                let command = item["command"].as_str().expect("a command");
                match (item["file"].as_str(), item["value"].as_str()) {
                    (Some(file), known) => {
                        let Some(content) = mail.files.get(file) else { continue };
                        let sha256 = hex::encode(Sha256::digest(content));
                        assert!(given.contains(&sha256), "{file} is not what the text speaks of");
                        if known != Some(&sha256) {
                            std::fs::write(self.desk.path().join(file), content).expect("the desk");
                            self.shell(command).await;
                        }
                    }
                    (None, Some(value)) if confirms(value) => self.shell(command).await,
                    _ => {}
                }
            }
        }
    }

    /// Resource versions of everything that the operator might write.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for kind in journey::kinds() {
            for object in self.resources(kind).list(&ListParams::default()).await.unwrap() {
                all.insert(format!("{kind}/{}", object.name_any()), object.resource_version().unwrap());
            }
        }
        for map in self.api::<ConfigMap>().list(&ListParams::default()).await.unwrap() {
            all.insert(format!("ConfigMap/{}", map.name_any()), map.resource_version().unwrap());
        }
        for event in
            self.api::<k8s_openapi::api::events::v1::Event>().list(&ListParams::default()).await.unwrap()
        {
            all.insert(format!("Event/{}", event.name_any()), event.resource_version().unwrap());
        }
        all
    }
}
