//! What `examples/argocd/identity/` has is what `examples/identity-center/` has, in waves.

use anyhow::{Context as _, ensure};
use kube::api::DynamicObject;
use sandbox::journey;

use super::super::{Checks, root};
use super::kinds;

/// The files, in both folders.
const FILES: [&str; 4] =
    ["00-namespace.yaml", "10-federation.yaml", "20-connection.yaml", "30-bindings.yaml"];
const WAVE: &str = "argocd.argoproj.io/sync-wave";

/// Compares them.
///
/// # Errors
/// When a file cannot be read; a difference is a failed check.
pub fn run(checks: &mut Checks) -> anyhow::Result<()> {
    let root = root()?;
    let read = |folder: &str, file: &str| -> anyhow::Result<Vec<DynamicObject>> {
        let path = root.join("examples").join(folder).join(file);
        journey::parse(
            &std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?,
            None,
        )
    };
    let mut wrong = Vec::new();
    for file in FILES {
        let mut here = read("argocd/identity", file)?;
        for object in &mut here {
            let wave =
                object.metadata.annotations.as_mut().and_then(|all| all.remove(WAVE)).unwrap_or_default();
            object.metadata.annotations.take_if(|all| all.is_empty());
            let ours = object.types.as_ref().is_some_and(|types| kinds().contains(&types.kind.as_str()));
            // Whatever they need comes before them, and goes after them.
            if wave != if ours { "1" } else { "0" } {
                wrong.push(format!("{file}: {:?} is in wave {wave:?}", object.metadata.name));
            }
        }
        if here != read("identity-center", file)? {
            wrong.push(format!(
                "{file}: it differs from examples/identity-center/{file}, not only in its waves"
            ));
        }
    }
    checks.check("the example is that of examples/identity-center, in waves", || {
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    });
    Ok(())
}
