//! Readings end in time: whatever does not answer, some of the pass is left for stated removals.

use std::time::Duration;

use tokio::time::Instant;

use crate::clients::{CloudError, Due, Late, Slowed};
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// By when each reading has ended, in per cent of the pass.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// What runs in AWS.
    Running = 20,
    /// The permission set.
    Set = 40,
    /// Whom the principals mean.
    Principals = 60,
    /// The organization's accounts.
    Accounts = 70,
    /// The assignments.
    Assignments = 85,
    /// What was asked for before this process knew anything.
    Past = 92,
}

/// The deadlines of one pass.
#[derive(Clone, Debug)]
pub struct Deadlines {
    began: Instant,
    whole: Duration,
    hurried: bool,
    slowed: Slowed,
}

impl Deadlines {
    /// From the beginning of the pass on. Where nothing can have to be removed (`hurried` is false), each reading has the whole pass.
    #[must_use]
    pub const fn new(began: Instant, whole: Duration, hurried: bool, slowed: Slowed) -> Self {
        Self { began, whole, hurried, slowed }
    }

    /// The moment by which a reading ends.
    #[must_use]
    pub fn of(&self, by: By) -> Due {
        let percent = if self.hurried { by as u32 } else { 100 };
        Due::after(self.began, self.whole * percent / 100, self.slowed.clone())
    }
}

/// What a reading came to, in time: its problem too, or that it took too long.
pub fn in_time<T, F>(until: &Due, doing: &str, reading: F) -> impl Future<Output = Result<T, Problem>> + Send
where
    T: Send,
    F: Future<Output = Result<T, Problem>> + Send,
{
    let meeting = until.meet(reading);
    async move { meeting.await.unwrap_or_else(|why| Err(late(doing, why))) }
}

/// The same for what a cloud answers.
pub fn read_in_time<T, F>(
    until: &Due,
    doing: &str,
    reading: F,
) -> impl Future<Output = Result<T, Problem>> + Send
where
    T: Send,
    F: Future<Output = Result<T, CloudError>> + Send,
{
    in_time(until, doing, async move { reading.await.map_err(|e| Problem::from_cloud(e, doing)) })
}

/// A reading took too long.
#[must_use]
pub fn late(doing: &str, why: Late) -> Problem {
    match why {
        Late::Silent => {
            let message = format!("could not {doing}: no answer came in time; trying again");
            Problem::new(Class::Transient, Reason::CloudUnavailable, message)
        }
        Late::Slowed => {
            let message = format!("a cloud throttles calls; waiting to {doing}");
            Problem::new(Class::Throttled, Reason::ProgressingWithRetry, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_answer_leaves_time_for_the_rest() {
        let whole = Duration::from_millis(500);
        let slowed = Slowed::default();
        let deadlines = Deadlines::new(Instant::now(), whole, true, slowed.clone());
        let never = || std::future::pending::<Result<(), Problem>>();
        let problem = in_time(&deadlines.of(By::Running), "look", never()).await.unwrap_err();
        assert_eq!(problem.class, Class::Transient);
        let asked = async {
            slowed.note();
            never().await
        };
        let problem = in_time(&deadlines.of(By::Set), "look", asked).await.unwrap_err();
        assert_eq!(problem.class, Class::Throttled, "a delay, never a condition");
        assert!(deadlines.began.elapsed() >= whole / 5);
        let order = [By::Running, By::Set, By::Principals, By::Accounts, By::Assignments, By::Past];
        assert!(order.windows(2).all(|pair| deadlines.of(pair[0]).at() < deadlines.of(pair[1]).at()));
        assert!(deadlines.of(By::Past).at() < deadlines.began + whole);
        let calm = Deadlines { hurried: false, ..deadlines };
        assert_eq!(calm.of(By::Running).at(), calm.began + whole);
    }
}
