use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::aws::Aws;
use crate::control_api;
use crate::control_plane::ControlPlane;
use crate::core::{Authority, Core, Profile, lock, serve};
use crate::descriptor::{AwsEndpoint, Descriptor, EntraEndpoint, ScimEndpoint};
use crate::entra::Entra;
use crate::sign_in::{self, SignIn};
use crate::world::{AccessKey, World};

/// Which Kubernetes a sandbox has.
#[derive(Debug, Clone, Default)]
pub enum Cluster {
    /// None: the clouds alone, ready in well under a second.
    #[default]
    None,
    /// Its own, in its folder, ended with it.
    Own,
    /// One that others use too.
    Shared(Arc<ControlPlane>),
}

/// How to start a sandbox.
#[derive(Debug, Clone)]
pub struct Options {
    /// What exists at the beginning.
    pub world: World,
    /// How long the clouds take.
    pub profile: Profile,
    /// Ids, durations and fault draws are the same for the same seed.
    pub seed: u64,
    /// Folder for the descriptor, certificates and logs; made when it is missing.
    pub dir: PathBuf,
    /// Kubernetes.
    pub cluster: Cluster,
}

/// A running sandbox. Dropping it ends everything it started.
#[derive(Debug)]
pub struct Sandbox {
    /// Clock, journal, counters and faults of both clouds.
    pub core: Arc<Core>,
    /// The AWS organization.
    pub aws: Arc<Aws>,
    /// The Entra tenant.
    pub entra: Arc<Entra>,
    /// The control API's URL.
    pub control: String,
    running: Arc<Running>,
    cluster: Option<Arc<ControlPlane>>,
    _stop: DropGuard,
    /// Held while this sandbox runs: two in one folder would write over each other.
    _lock: File,
}

/// What the control API needs of a sandbox; the API's tasks share it, so it owns no processes.
#[derive(Debug)]
pub(crate) struct Running {
    pub core: Arc<Core>,
    pub aws: Arc<Aws>,
    pub entra: Arc<Entra>,
    access_key: AccessKey,
    kubeconfig: Option<PathBuf>,
    kubectl: Option<PathBuf>,
    ca_pem: String,
    dir: PathBuf,
    urls: Mutex<Urls>,
    written: Mutex<Option<Descriptor>>,
}

#[derive(Debug, Default, Clone)]
struct Urls {
    aws: String,
    graph: String,
    authority: String,
    control: String,
}

impl Sandbox {
    /// Starts both clouds (and a cluster, when asked for), and writes the descriptor once everything answers.
    ///
    /// # Errors
    /// When another sandbox runs in the folder, the folder cannot be written, or the cluster does not start.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { world, profile, seed, dir, cluster } = options;
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let folder = lock_folder(&dir)?;
        let _ = std::fs::remove_file(dir.join(Descriptor::FILE));

        let core = Arc::new(Core::new(profile, seed));
        let aws = Aws::new(core.clone(), &world);
        let entra = Entra::new(core.clone(), &world);
        let authority = Authority::generate()?;
        std::fs::write(dir.join("ca.pem"), authority.ca_pem()).context("write the CA's certificate")?;

        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let tls = || Some(authority.server_config());
        let aws_server = serve(aws.router(), tls(), stop.clone()).await?;
        let graph_server = serve(entra.graph_router(), tls(), stop.clone()).await?;
        let login_server = serve(entra.login_router(), tls(), stop.clone()).await?;
        aws.set_base_url(&aws_server.url);
        entra.set_urls(&graph_server.url, &login_server.url, authority.ca_pem(), &aws_server.url);
        entra.start(stop.clone());

        let cluster = match cluster {
            Cluster::None => None,
            Cluster::Own => Some(Arc::new(ControlPlane::start(dir.join("cluster")).await?)),
            Cluster::Shared(plane) => Some(plane),
        };
        if let Some(cluster) = &cluster {
            core.issuers.trust(cluster.issuer(), &cluster.service_account_public_key()?);
        }
        let running = Arc::new(Running {
            core: core.clone(),
            aws: aws.clone(),
            entra: entra.clone(),
            access_key: world.organization.access_keys.into_iter().next().unwrap_or_default(),
            kubeconfig: cluster.as_ref().map(|cluster| cluster.kubeconfig().to_owned()),
            kubectl: cluster.as_ref().map(|cluster| cluster.kubectl()),
            ca_pem: authority.ca_pem().to_owned(),
            dir,
            urls: Mutex::default(),
            written: Mutex::default(),
        });
        let control = serve(control_api::router(running.clone()), None, stop).await?.url;
        *lock(&running.urls) = Urls {
            aws: aws_server.url,
            graph: graph_server.url,
            authority: login_server.url,
            control: control.clone(),
        };
        running.write_descriptor()?;
        Ok(Self { core, aws, entra, control, running, cluster, _stop: guard, _lock: folder })
    }

    /// What a client must know, as of now.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        self.running.descriptor()
    }

    /// The folder with the descriptor, certificates and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.running.dir
    }

    /// The cluster, if there is one.
    #[must_use]
    pub fn cluster(&self) -> Option<&Arc<ControlPlane>> {
        self.cluster.as_ref()
    }

    /// The certificate that signs every HTTPS endpoint, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.running.ca_pem
    }

    /// The present state as a world.
    #[must_use]
    pub fn world(&self) -> World {
        self.running.world()
    }

    /// A person opens an application: see [`SignIn`].
    #[must_use]
    pub fn sign_in(&self, user_principal_name: &str, app_id: &str) -> SignIn {
        self.running.sign_in(user_principal_name, app_id)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A descriptor of something that has ended would send people to ports of somebody else.
        let _ = std::fs::remove_file(self.running.dir.join(Descriptor::FILE));
    }
}

impl Running {
    pub(crate) fn descriptor(&self) -> Descriptor {
        let urls = lock(&self.urls).clone();
        let (aws, entra) = (self.aws.facts(), self.entra.facts());
        Descriptor {
            profile: self.core.profile.name.to_owned(),
            kubeconfig: self.kubeconfig.clone(),
            kubectl: self.kubectl.clone(),
            ca_file: self.dir.join("ca.pem"),
            aws: AwsEndpoint {
                endpoint: urls.aws,
                region: aws.region,
                access_key_id: self.access_key.access_key_id.clone(),
                secret_access_key: self.access_key.secret_access_key.clone(),
                management_account_id: aws.management_account_id,
                instance_arn: aws.instance_arn,
                identity_store_id: aws.identity_store_id,
            },
            scim: aws.scim_endpoint.map(|endpoint| ScimEndpoint { endpoint }),
            entra: EntraEndpoint {
                graph: urls.graph,
                authority: urls.authority,
                tenant_id: entra.tenant_id,
                client_id: entra.client_id,
                client_secret: entra.client_secret,
            },
            control: urls.control,
        }
    }

    /// Brings the file up to date; a reader sees the old one or the new one.
    pub(crate) fn write_descriptor(&self) -> anyhow::Result<()> {
        let descriptor = self.descriptor();
        let mut written = lock(&self.written);
        if written.as_ref() == Some(&descriptor) {
            return Ok(());
        }
        // A temporary file is readable by its owner only, and stays so.
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).context("make the descriptor")?;
        serde_json::to_writer_pretty(&mut file, &descriptor)?;
        file.persist(self.dir.join(Descriptor::FILE)).context("write the descriptor")?;
        *written = Some(descriptor);
        Ok(())
    }

    pub(crate) fn world(&self) -> World {
        let (organization, identity_center, iam) = self.aws.world();
        World { tenant: self.entra.world(), organization, identity_center, iam }
    }

    pub(crate) fn sign_in(&self, user_principal_name: &str, app_id: &str) -> SignIn {
        sign_in::sign_in(&self.core, &self.entra, &self.aws, user_principal_name, app_id)
    }
}

impl Running {
    /// A SAML response from anywhere is posted to AWS.
    pub(crate) fn post_saml_response(&self, saml_response: &str) -> SignIn {
        sign_in::post_response(&self.core, &self.aws, saml_response)
    }

    /// Every operation that both clouds serve, as the counters name them.
    pub(crate) fn operations(&self) -> Vec<(&'static str, String)> {
        [crate::aws::operations(), crate::entra::operations()].concat()
    }
}

fn lock_folder(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(".lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another sandbox runs in {}; give this one another --dir", dir.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}
