//! What is in the binary, as CycloneDX 1.5 (JSON): every crate that is linked in for the target, with licence, checksum
//! and what needs what. The same bytes for the same lock file and binary.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// The list for a binary with that SHA-256.
pub fn of(root: &Path, target: &str, sha256: &str) -> anyhow::Result<Value> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))?;
    list(&metadata, &checksums(&lock), sha256)
}

/// Checksums by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|l| l.strip_prefix(&format!("{name} = \"")))?;
            Some(line.trim_end_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) = (field("name"), field("version"), field("checksum")) {
            found.insert((name, version), sum);
        }
    }
    found
}

fn list(
    metadata: &Value,
    checksums: &BTreeMap<(String, String), String>,
    sha256: &str,
) -> anyhow::Result<Value> {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        array(&metadata["packages"]).into_iter().map(|p| (text(&p["id"]), p)).collect();
    let nodes: BTreeMap<String, Value> =
        array(&metadata["resolve"]["nodes"]).into_iter().map(|n| (text(&n["id"]), n)).collect();
    let ours = packages.iter().find(|(_, p)| p["name"] == "causeway").map(|(id, _)| id.clone());
    let ours = ours.context("no package causeway")?;

    // Build scripts and macros run on the machine that builds; what they need is not in the binary.
    let is_macro = |id: &String| {
        let targets = packages.get(id).map(|p| array(&p["targets"])).unwrap_or_default();
        targets.iter().any(|t| array(&t["kind"]).contains(&json!("proc-macro")))
    };
    let linked = |id: &String| -> BTreeSet<String> {
        let deps = nodes.get(id).map(|n| array(&n["deps"])).unwrap_or_default();
        let normal = deps.iter().filter(|d| array(&d["dep_kinds"]).iter().any(|k| k["kind"].is_null()));
        normal.map(|d| text(&d["pkg"])).filter(|id| !is_macro(id)).collect()
    };
    let mut found = BTreeMap::new();
    let mut open = vec![ours.clone()];
    while let Some(id) = open.pop() {
        if let Entry::Vacant(place) = found.entry(id) {
            let below = linked(place.key());
            let below = place.insert(below);
            open.extend(below.iter().cloned());
        }
    }

    let reference = |id: &String| {
        let package = packages.get(id);
        let of = |field: &str| package.map(|p| text(&p[field])).unwrap_or_default();
        format!("pkg:cargo/{}@{}", of("name"), of("version"))
    };
    let component = |id: &String| {
        let package = &packages[id];
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let mut component = json!({
            "type": "library", "bom-ref": reference(id), "name": name, "version": version,
            "scope": "required", "purl": reference(id),
        });
        // Cargo still takes the older way of writing "or".
        if let Some(licence) = package["license"].as_str() {
            component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
        }
        if let Some(sum) = checksums.get(&(name, version)) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
        }
        if let Some(repository) = package["repository"].as_str() {
            component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
        }
        component
    };
    let mut components: Vec<Value> = found.keys().filter(|id| **id != ours).map(component).collect();
    components.sort_by_key(|c| text(&c["bom-ref"]));
    let mut dependencies: Vec<Value> = found
        .iter()
        .map(|(id, below)| {
            let below: BTreeSet<String> = below.iter().map(&reference).collect();
            json!({"ref": reference(id), "dependsOn": below})
        })
        .collect();
    dependencies.sort_by_key(|d| text(&d["ref"]));
    let mut own = component(&ours);
    own["type"] = json!("application");
    own["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", uuid(sha256)?),
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// A UUID (version 8: made by rules of our own) from a digest.
fn uuid(sha256: &str) -> anyhow::Result<String> {
    let d = sha256.get(..32).context("a digest")?;
    Ok(format!("{}-{}-8{}-a{}-{}", &d[..8], &d[8..12], &d[13..16], &d[17..20], &d[20..32]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn it_names_what_is_linked_in_and_nothing_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let list = of(root, "x86_64-unknown-linux-musl", SHA).unwrap();
        let components = list["components"].as_array().unwrap();
        let names: BTreeSet<&str> = components.iter().map(|c| c["name"].as_str().unwrap()).collect();
        for name in ["kube", "aws-sdk-ssoadmin", "azure_identity", "rustls", "aws-lc-rs", "tokio"] {
            assert!(names.contains(name), "{name}");
        }
        for name in
            ["causeway", "sandbox", "xtask", "proptest", "insta", "serde_derive", "windows-sys", "openssl"]
        {
            assert!(!names.contains(name), "{name}");
        }
        // What the schema of CycloneDX 1.5 asks for.
        let references: BTreeSet<&str> = components.iter().map(|c| c["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(references.len(), components.len(), "each reference stands once");
        for component in components {
            assert_eq!(component["type"], "library");
            assert!(component["purl"].as_str().unwrap().starts_with("pkg:cargo/"));
            let licences = component["licenses"].as_array();
            assert!(licences.is_some_and(|l| l[0]["expression"].is_string()), "{component}");
            let sum = component["hashes"][0]["content"].as_str().unwrap();
            assert!(sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()), "{component}");
        }
        let own = list["metadata"]["component"]["bom-ref"].as_str().unwrap();
        for dependency in list["dependencies"].as_array().unwrap() {
            let known = |r: &str| r == own || references.contains(r);
            assert!(known(dependency["ref"].as_str().unwrap()));
            assert!(dependency["dependsOn"].as_array().unwrap().iter().all(|r| known(r.as_str().unwrap())));
        }
        let serial = list["serialNumber"].as_str().unwrap();
        assert_eq!(serial, "urn:uuid:e3b0c442-98fc-8c14-aafb-f4c8996fb924");
        assert_eq!(list, of(root, "x86_64-unknown-linux-musl", SHA).unwrap(), "the same each time");
    }
}
