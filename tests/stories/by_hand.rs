//! `examples/README.md`, "By hand": what it has people type leads from an empty tenant to a sign-in, as it stands there.

use std::path::Path;
use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;

use crate::support::world::TestWorld;
use crate::support::{cluster, run};

/// The commands of a section's third terminal: the blocks that start neither the sandbox nor the operator.
fn commands(page: &str, heading: &str) -> String {
    let section = page.split(&format!("\n## {heading}\n")).nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let own = blocks.filter(|b| !b.contains("cargo run") && !b.contains("cargo sandbox up"));
    own.flat_map(str::lines).filter(|l| !l.contains("cargo sandbox env")).map(|l| format!("{l}\n")).collect()
}

/// The examples, in another namespace than theirs.
fn copy(from: &Path, to: &Path, namespace: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text
            .replace("namespace: identity", &format!("namespace: {namespace}"))
            .replace("{name: identity}", &format!("{{name: {namespace}}}"));
        std::fs::write(to.join(path.file_name().unwrap()), text).unwrap();
    }
}

#[test]
fn what_the_examples_have_people_type_ends_in_a_sign_in() {
    run(async {
        assert!(
            Command::new("curl").arg("--version").output().is_ok(),
            "install curl: the commands of examples/README.md are run as they stand"
        );
        let world = TestWorld::company("by-hand").await;
        let secrets = Api::<Secret>::namespaced(world.client.clone(), &world.namespace);
        for name in ["entra", "aws"] {
            secrets.delete(name, &DeleteParams::default()).await.unwrap();
        }
        let operator = world.operator();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let desk = tempfile::tempdir().unwrap();
        copy(
            &root.join("examples/identity-center"),
            &desk.path().join("examples/identity-center"),
            &world.namespace,
        );
        let page = std::fs::read_to_string(root.join("examples/README.md")).unwrap();
        let typed = commands(&page, "By hand").replace("-n identity", &format!("-n {}", world.namespace));
        assert!(typed.lines().count() > 20, "{typed}");

        let plane = cluster().await;
        let script = format!("set -eu\n{}\n{typed}", world.sandbox.descriptor().shell());
        let folder = plane.kubectl().parent().unwrap().display().to_string();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).current_dir(desk.path()).env("HOME", desk.path());
        shell.env("KUBECONFIG", plane.kubeconfig());
        shell.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
        let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, wrong) = (told(&output.stdout), told(&output.stderr));
        assert!(output.status.success(), "{said}\n{wrong}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("\"verdict\":\"admitted\"") && last.contains("Engineers-PowerUser"), "{said}");
        operator.stop().await;
    });
}

#[test]
fn only_what_people_type_in_their_own_terminal_is_run() {
    let page = "# X\n\n## By hand\n\n```console\ncargo sandbox up\n```\n\n```console\neval \"$(cargo sandbox env)\"\na\n```\n\ntext\n\n```console\nb\n```\n\n## Next\n\n```console\nc\n```\n";
    assert_eq!(commands(page, "By hand"), "a\nb\n");
}
