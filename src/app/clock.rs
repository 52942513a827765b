//! Follows the sandbox's clock.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use url::Url;

use crate::clock::Clock;

const EVERY: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(2);

/// The sandbox's control API, whose clock the operator's own follows.
pub(super) struct Follower {
    client: reqwest::Client,
    url: String,
    clock: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    offset_seconds: f64,
}

impl Follower {
    pub fn new(url: &Url, clock: Clock) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { client, url: format!("{}/clock", url.as_str().trim_end_matches('/')), clock })
    }

    /// Sets the clock for ever.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.once().await;
        }
    }

    /// Sets the clock once, if the sandbox answers.
    pub async fn once(&self) {
        match self.offset().await {
            Ok(offset) => self.clock.shift(offset),
            Err(error) => tracing::warn!(%error, "the sandbox's clock cannot be read"),
        }
    }

    async fn offset(&self) -> Result<SignedDuration, reqwest::Error> {
        let answer: Answer = self.client.get(&self.url).send().await?.error_for_status()?.json().await?;
        Ok(SignedDuration::try_from_secs_f64(answer.offset_seconds).unwrap_or_default())
    }
}
