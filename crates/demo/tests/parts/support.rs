//! Waits with a deadline that say what they waited for.

use std::{future::Future, time::Duration};

const DEADLINE: Duration = Duration::from_secs(30);

/// Polls until there is something, and panics with what it waited for.
pub(crate) async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let poll = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, poll).await {
        Ok(found) => found,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}
