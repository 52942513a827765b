//! The tools: those on `PATH`, else built once from their Go modules into the cache.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use sandbox::go_module::{self, GoModule};

/// The Helm that the cache is built from.
const HELM: GoModule<'static> = GoModule {
    name: "helm",
    version: "v4.3.1",
    go_mod: include_str!("../../platform/helm/go.mod"),
    go_sum: include_str!("../../platform/helm/go.sum"),
    sources: &[],
    ldflags: "-X helm.sh/helm/v4/internal/version.version=v4.3.1",
    programs: &[("helm", "helm")],
    instead: "put helm 4 on PATH",
};

/// A helm of major version 4: on `PATH`, else built.
///
/// # Errors
/// When it cannot be built.
pub fn helm() -> anyhow::Result<PathBuf> {
    if let Some(found) = go_module::on_path("helm") {
        let version = said(Command::new(&found).args(["version", "--short"])).unwrap_or_default();
        if version.starts_with("v4.") {
            return Ok(found);
        }
        eprintln!("helm: {} is not version 4, so it is not used", found.display());
    }
    Ok(HELM.build()?.join("helm"))
}

/// What a command says when it goes well.
///
/// # Errors
/// When it cannot be run or fails; with what it said.
pub fn said(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {name}"))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{name} {} ended with {}:\n{}{}", arguments.join(" "), output.status, out, errors.trim_end());
    }
    Ok(out)
}
