use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, SanType,
};

/// The keys and certificates of one control plane, as files in its folder.
#[derive(Debug)]
pub struct Pki {
    /// Certificate of the cluster's CA.
    pub ca: PathBuf,
    /// Serving certificate of the API server.
    pub serving: Pair,
    /// Signs service account tokens.
    pub service_accounts: Pair,
    /// Client certificate in `system:masters`.
    pub admin: Pair,
    /// Client certificate of the controller manager.
    pub controller_manager: Pair,
}

/// A certificate (or public key) and its private key, both PEM files.
#[derive(Debug)]
pub struct Pair {
    /// What may be shown.
    pub public: PathBuf,
    /// What may not.
    pub private: PathBuf,
}

impl Pki {
    /// Makes everything anew under `dir`.
    ///
    /// # Errors
    /// When a key cannot be made or a file cannot be written.
    pub fn generate(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let key = KeyPair::generate().context("generate the cluster CA's key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Causeway sandbox cluster CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca = dir.join("ca.crt");
        std::fs::write(&ca, params.self_signed(&key).context("sign the cluster CA")?.pem())?;
        let issuer = Issuer::new(params, key);

        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let mut serving = CertificateParams::new(names.map(str::to_owned))?;
        serving.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        serving.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))));
        serving.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let serving = issue(serving, &issuer, dir, "apiserver")?;

        let admin = issue(client("causeway-admin", Some("system:masters")), &issuer, dir, "admin")?;
        let controller_manager =
            issue(client("system:kube-controller-manager", None), &issuer, dir, "controller-manager")?;

        // RSA, because federated credentials take RS256 tokens only.
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).context("generate the service account key")?;
        let service_accounts =
            Pair { public: dir.join("service-accounts.pub"), private: dir.join("service-accounts.key") };
        std::fs::write(&service_accounts.public, key.public_key_pem())?;
        write_private(&service_accounts.private, &key.serialize_pem())?;
        Ok(Self { ca, serving, service_accounts, admin, controller_manager })
    }
}

fn client(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn issue(
    mut params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
    dir: &Path,
    name: &str,
) -> anyhow::Result<Pair> {
    let key = KeyPair::generate().with_context(|| format!("generate the key of {name}"))?;
    params.use_authority_key_identifier_extension = true;
    let certificate =
        params.signed_by(&key, issuer).with_context(|| format!("sign the certificate of {name}"))?;
    let pair = Pair { public: dir.join(format!("{name}.crt")), private: dir.join(format!("{name}.key")) };
    std::fs::write(&pair.public, certificate.pem())?;
    write_private(&pair.private, &key.serialize_pem())?;
    Ok(pair)
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

/// Who a kubeconfig speaks as.
pub enum Credential<'a> {
    /// A client certificate.
    Certificate(&'a Pair),
    /// A bearer token.
    Token(&'a str),
}

/// A kubeconfig that stands alone: everything is inside.
pub fn kubeconfig(
    server: &str,
    ca: &Path,
    user: &str,
    namespace: &str,
    credential: &Credential<'_>,
) -> anyhow::Result<String> {
    let embed = |path: &Path| -> anyhow::Result<String> {
        Ok(STANDARD.encode(std::fs::read(path).with_context(|| format!("read {}", path.display()))?))
    };
    let credential = match credential {
        Credential::Certificate(pair) => serde_json::json!({
            "client-certificate-data": embed(&pair.public)?,
            "client-key-data": embed(&pair.private)?,
        }),
        Credential::Token(token) => serde_json::json!({ "token": token }),
    };
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority-data": embed(ca)?}}],
        "users": [{"name": user, "user": credential}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": user, "namespace": namespace}}],
        "current-context": "sandbox",
    });
    serde_yaml_ng::to_string(&config).context("write a kubeconfig")
}
