use super::binaries::{Binaries, BinariesError, KUBERNETES};
use crate::go_module::{BuildError, GoModule};

/// The programs as a Go module, with the folder in the cache that they are in once they are built.
pub(super) const MODULE: GoModule<'static> = GoModule {
    name: "control plane",
    version: KUBERNETES,
    go_mod: include_str!("../../control_plane/go.mod"),
    go_sum: include_str!("../../control_plane/go.sum"),
    sources: &[],
    // Without it clients see v0.0.0-master, and whoever gates on versions misbehaves.
    ldflags: "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 \
              -X k8s.io/component-base/version.gitMinor=36",
    // The etcd server's package is called `server`, and so is its program.
    programs: &[
        ("server", "etcd"),
        ("kube-apiserver", "kube-apiserver"),
        ("kube-controller-manager", "kube-controller-manager"),
        ("kubectl", "kubectl"),
    ],
    instead: "set KUBEBUILDER_ASSETS to bring your own",
};

/// Builds the programs with Go into the cache. Of several processes one builds and the others wait for it.
pub(super) fn build() -> Result<Binaries, BinariesError> {
    let folder = MODULE.build().map_err(|error| match error {
        BuildError::NoGo { .. } => BinariesError::NoGo { cache: MODULE.folder().display().to_string() },
        other => BinariesError::Build(other),
    })?;
    Binaries::inside(&folder).ok_or_else(|| BinariesError::NoGo { cache: folder.display().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_told_the_version_that_they_are() {
        assert!(MODULE.ldflags.contains(&format!("gitVersion={KUBERNETES} ")));
        assert!(MODULE.go_mod.contains(&format!("k8s.io/kubernetes {KUBERNETES} ")));
    }
}
