//! The operator's rights against what the API server saw it use.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use causeway::cluster::rights::RIGHTS;
use sandbox::control_plane::ControlPlane;
use serde_json::Value;

use crate::platform::Checks;
use crate::platform::stage::USER;

/// Group, resource (with its subresource) and verb.
type Right = (String, String, String);

/// What the operator did, over several clusters.
#[derive(Debug, Default)]
pub struct Used {
    allowed: BTreeSet<Right>,
    refused: BTreeSet<String>,
}

impl Used {
    /// Adds what one cluster's audit log says.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(&mut self, plane: &ControlPlane) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(plane.audit_log()).context("read the audit log")?;
        // The last line may be half written.
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut refused = BTreeSet::new();
        let mut allowed = BTreeSet::new();
        for event in events.filter(|event| event["user"]["username"] == USER) {
            let Some(what) = event.get("objectRef") else { continue };
            let word = |key: &str| what[key].as_str().unwrap_or_default().to_owned();
            let resource = match word("subresource") {
                none if none.is_empty() => word("resource"),
                subresource => format!("{}/{subresource}", word("resource")),
            };
            let right = (word("apiGroup"), resource, event["verb"].as_str().unwrap_or_default().to_owned());
            match event["annotations"]["authorization.k8s.io/decision"].as_str() {
                Some("allow") => _ = allowed.insert((right, word("namespace"))),
                Some("forbid") => _ = refused.insert((right, word("namespace"))),
                _ => {}
            }
        }
        // A right that is granted while the operator runs is missed for a moment.
        self.refused.extend(refused.difference(&allowed).map(|((group, resource, verb), namespace)| {
            format!("{verb} {resource} of {group:?} in {namespace:?}")
        }));
        self.allowed.extend(allowed.into_iter().map(|(right, _)| right));
        if self.allowed.is_empty() {
            bail!("the audit log knows nothing of {USER}");
        }
        Ok(())
    }

    /// No right was missing, and none is superfluous or else explained.
    pub fn judge(&self, checks: &mut Checks) {
        checks.check("no right is missing", || match self.refused.len() {
            0 => Ok(()),
            _ => bail!("refused: {:#?}", self.refused),
        });
        checks.check("every right was used, or says why it need not be", || {
            let mut unused = Vec::new();
            for right in RIGHTS.iter().filter(|right| right.unused.is_none()) {
                for resource in right.resources {
                    let not_seen = right.verbs.iter().filter(|verb| !self.saw(right.group, resource, verb));
                    unused.extend(not_seen.map(|verb| format!("{verb} {resource}")));
                }
            }
            if !unused.is_empty() {
                bail!("never used: {}", unused.join(", "));
            }
            Ok(())
        });
        for right in RIGHTS {
            let Some(reason) = right.unused else { continue };
            let any = |resource: &&str| right.verbs.iter().any(|verb| self.saw(right.group, resource, verb));
            if !right.resources.iter().any(any) {
                println!(
                    "        unused: {} {} ({reason})",
                    right.verbs.join(", "),
                    right.resources.join(", ")
                );
            }
        }
    }

    fn saw(&self, group: &str, resource: &str, verb: &str) -> bool {
        self.allowed.iter().any(|(g, r, v)| (g.as_str(), r.as_str(), v.as_str()) == (group, resource, verb))
    }
}
