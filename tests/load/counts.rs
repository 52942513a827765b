//! What the operator's metrics say was done.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Counters by name and labels.
#[derive(Clone, Debug, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Reads `/metrics`.
    pub async fn read(port: u16) -> Self {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.expect("an answer");
        Self::parse(&answer.text().await.expect("text"))
    }

    fn parse(text: &str) -> Self {
        let counters = text.lines().filter(|l| !l.starts_with('#') && l.contains("_total"));
        let pairs = counters.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(pairs.collect())
    }

    /// What was counted since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        let counted = self.0.iter().map(|(name, now)| {
            (name.clone(), now.saturating_sub(earlier.0.get(name).copied().unwrap_or_default()))
        });
        Self(counted.filter(|(_, n)| *n > 0).collect())
    }

    fn sum(&self, parts: &[&str]) -> u64 {
        self.0.iter().filter(|(name, _)| parts.iter().all(|p| name.contains(p))).map(|(_, n)| n).sum()
    }

    /// Passes over bindings.
    pub fn reconciles(&self) -> u64 {
        self.sum(&["causeway_reconciles_total", "kind=\"PermissionSetBinding\""])
    }

    /// Writes of bindings' status.
    pub fn status_writes(&self) -> u64 {
        self.sum(&["remote_calls", "permissionsetbindings/status"])
    }

    fn kubernetes(&self) -> u64 {
        self.sum(&["remote_calls", "service=\"kubernetes\""])
    }

    fn aws(&self) -> u64 {
        ["sso-admin", "identitystore", "organizations"]
            .iter()
            .map(|s| self.sum(&["remote_calls", &format!("service=\"{s}\"")]))
            .sum()
    }

    fn graph(&self) -> u64 {
        self.sum(&["remote_calls", "service=\"graph\""])
    }

    /// What is counted for each binding, and how much is in order.
    pub fn bounds(&self, bindings: usize) -> [(&'static str, f64, f64); 4] {
        [
            ("passes", ratio(self.reconciles(), bindings), 20.0),
            ("status writes", ratio(self.status_writes(), bindings), 8.0),
            ("calls to the API server", ratio(self.kubernetes(), bindings), 60.0),
            ("calls to AWS", ratio(self.aws(), bindings), 40.0),
        ]
    }

    /// A table for people.
    pub fn report(&self, bindings: usize, memory: Option<Memory>, took: Duration) -> String {
        let mut text =
            format!("{bindings} bindings applied at once, at rest after {:.0} s\n", took.as_secs_f64());
        for (what, found, bound) in self.bounds(bindings) {
            let _ = writeln!(text, "  {what} for each binding: {found:.2} (at most {bound})");
        }
        let _ = writeln!(text, "  calls to Graph: {}", self.graph());
        if let Some(memory) = memory {
            let _ = writeln!(text, "  {}", memory.report(bindings));
        }
        let mut calls: Vec<_> = self.0.iter().filter(|(name, _)| name.contains("remote_calls")).collect();
        calls.sort_by(|a, b| b.1.cmp(a.1));
        for (name, n) in calls {
            let labels = name.split_once('{').map_or(name.as_str(), |(_, l)| l.trim_end_matches('}'));
            let _ = writeln!(text, "    {n:>7} {labels}");
        }
        text
    }
}

/// The operator's memory before and after, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub before: u64,
    pub after: u64,
}

impl Memory {
    /// What each binding took.
    pub fn for_each(self, bindings: usize) -> f64 {
        ratio(self.after.saturating_sub(self.before), bindings)
    }

    fn report(self, bindings: usize) -> String {
        let Self { before, after } = self;
        let each = self.for_each(bindings);
        format!(
            "memory of the operator (a debug build): {} MiB before, {} MiB after, {each:.0} KiB for each binding",
            before / 1024,
            after / 1024
        )
    }
}

/// Resident memory of a process in KiB, where the system says so.
pub fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// A mean.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn ratio(total: u64, bindings: usize) -> f64 {
    total as f64 / bindings.max(1) as f64
}

#[test]
fn counters_are_read_from_the_text_format() {
    let text = "# TYPE causeway_reconciles counter\n\
        causeway_reconciles_total{kind=\"PermissionSetBinding\",result=\"ok\"} 7\n\
        causeway_remote_calls_total{service=\"kubernetes\",operation=\"PATCH permissionsetbindings/status\",status=\"2xx\"} 3\n\
        causeway_leader 1\n# EOF\n";
    let now = Counts::parse(text);
    assert_eq!((now.reconciles(), now.status_writes(), now.kubernetes(), now.aws()), (7, 3, 3, 0));
    assert_eq!(now.since(&now).reconciles(), 0);
    let memory = Memory { before: 2048, after: 4096 };
    assert!(now.report(1, Some(memory), Duration::ZERO).contains("2 MiB before, 4 MiB after, 2048 KiB"));
}
