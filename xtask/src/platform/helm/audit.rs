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
            let mut needless = Vec::new();
            for right in RIGHTS {
                let (mut seen, mut not_seen) = (Vec::new(), Vec::new());
                for resource in right.resources {
                    for verb in right.verbs {
                        let one = (right.group.to_owned(), (*resource).to_owned(), (*verb).to_owned());
                        let list = if self.allowed.contains(&one) { &mut seen } else { &mut not_seen };
                        list.push(format!("{verb} {resource}"));
                    }
                }
                match right.unused {
                    None => unused.extend(not_seen),
                    Some(_) if not_seen.is_empty() => needless.extend(seen),
                    Some(_) => {}
                }
            }
            if !unused.is_empty() {
                bail!("never used: {}", unused.join(", "));
            }
            if !needless.is_empty() {
                bail!("used, and said to be unused at times: {}", needless.join(", "));
            }
            Ok(())
        });
        for right in RIGHTS.iter().filter(|right| right.unused.is_some()) {
            println!(
                "        not used: {} ({})",
                right.resources.join(", "),
                right.unused.unwrap_or_default()
            );
        }
    }
}
