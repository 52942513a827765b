use std::time::Duration;

use crate::clients::{CloudError, CloudErrorKind};

/// A read waits at most this long for a throttle to lift; longer waits are the caller's, as a requeue.
const THROTTLE_PATIENCE: Duration = Duration::from_secs(10);
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
const TRIES: u32 = 4;

/// How long to wait before the next try of a read, or `None` when there should be none. `done`: tries so far.
pub(crate) fn pause(error: &CloudError, done: u32) -> Option<Duration> {
    if done >= TRIES {
        return None;
    }
    let step = (FIRST * 3_u32.pow(done.saturating_sub(1))).min(LONGEST);
    match error.kind {
        // Full jitter: those who failed together must not come back together.
        CloudErrorKind::Transient => Some(FIRST / 4 + step.mul_f64(random())),
        CloudErrorKind::Throttled { retry_after: None } => Some(step * 2 + step.mul_f64(random())),
        CloudErrorKind::Throttled { retry_after: Some(wait) } if wait <= THROTTLE_PATIENCE => {
            Some(wait + (wait / 4).max(FIRST).mul_f64(random()))
        }
        _ => None,
    }
}

/// A random number in `0..1`.
fn random() -> f64 {
    let (bits, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The high 32 bits of a version 4 UUID are all random.
    f64::from((bits >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Service;

    fn error(kind: CloudErrorKind) -> CloudError {
        CloudError {
            service: Service::Graph,
            operation: "GET /users",
            kind,
            status: 0,
            code: String::new(),
            message: String::new(),
            request_id: None,
        }
    }

    #[test]
    fn only_what_passes_soon_is_tried_again() {
        let throttled = |retry_after| error(CloudErrorKind::Throttled { retry_after });
        for done in 1..TRIES {
            for kind in [
                CloudErrorKind::Unauthenticated,
                CloudErrorKind::Denied,
                CloudErrorKind::NotFound,
                CloudErrorKind::Conflict,
                CloudErrorKind::Quota,
                CloudErrorKind::Invalid,
            ] {
                assert_eq!(pause(&error(kind), done), None);
            }
            assert!(pause(&error(CloudErrorKind::Transient), done).unwrap() <= LONGEST + FIRST);
            let asked = Duration::from_millis(2128);
            assert!(pause(&throttled(Some(asked)), done).unwrap() >= asked);
            assert_eq!(pause(&throttled(Some(THROTTLE_PATIENCE * 2)), done), None);
            assert!(pause(&throttled(None), done).unwrap() >= FIRST);
        }
        assert_eq!(pause(&error(CloudErrorKind::Transient), TRIES), None);
    }
}
