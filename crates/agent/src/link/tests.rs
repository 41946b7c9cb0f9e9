//! What is said of a proposal whose answer did not come.

use std::sync::atomic::Ordering;

use super::*;
use crate::pair::{PATIENCE, two};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_by_a_node_that_stopped_then_is_a_lost_answer_and_not_a_lost_majority() {
    let dir = tempfile::TempDir::new().unwrap();
    let (link, away) = two(dir.path()).await;
    let before = link.node().standing().borrow().last_log;
    away.store(true, Ordering::Release);
    let command = link.command(Act::RaiseLevel { level: 1 });
    let (with, asked) = (link.clone(), command.clone());
    let asked = tokio::spawn(async move { with.submit(&asked, Duration::from_secs(4)).await });
    let mut standing = link.node().standing();
    let taken = timeout(PATIENCE, standing.wait_for(|now| now.last_log > before)).await;
    drop(taken.expect("it was not taken").unwrap());
    link.node().halt().await;
    let lost = asked.await.unwrap().unwrap_err();
    assert!(matches!(lost, LinkError::AnswerLost { .. }), "{lost}");
    let late = link.submit(&command, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(late, LinkError::NoLeader { .. }), "{late}");
}
