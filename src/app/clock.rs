//! Follows the sandbox's clock.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use url::Url;

use crate::clock::Clock;

const EVERY: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    offset_seconds: f64,
}

/// Sets the clock from `GET {url}/clock` for ever.
pub(super) async fn follow(url: &Url, clock: &Clock) {
    loop {
        tokio::time::sleep(EVERY).await;
        follow_once(url, clock).await;
    }
}

/// Sets the clock once, if the sandbox answers.
pub(super) async fn follow_once(url: &Url, clock: &Clock) {
    match offset(url).await {
        Ok(offset) => clock.shift(offset),
        Err(error) => tracing::warn!(%error, "the sandbox's clock cannot be read"),
    }
}

async fn offset(url: &Url) -> Result<SignedDuration, reqwest::Error> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let url = format!("{}/clock", url.as_str().trim_end_matches('/'));
    let answer: Answer = client.get(url).send().await?.error_for_status()?.json().await?;
    Ok(SignedDuration::try_from_secs_f64(answer.offset_seconds).unwrap_or_default())
}
