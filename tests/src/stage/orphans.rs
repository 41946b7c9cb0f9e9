//! What agents leave behind on purpose, and who ends it.

use std::sync::Once;

use demo::reaper;
use tokio::signal::unix::{SignalKind, signal};

/// What agents leave behind on purpose becomes ours, so that it can be found and ended: also when the tests are interrupted.
pub(super) fn adopt_and_clean_up_when_interrupted() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        reaper::adopt().expect("the kernel lets a process adopt its descendants");
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for signals").block_on(async {
                let interrupt = signal(SignalKind::interrupt()).expect("a handler of SIGINT");
                let terminate = signal(SignalKind::terminate()).expect("a handler of SIGTERM");
                let (mut interrupt, mut terminate) = (interrupt, terminate);
                tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
            });
            reaper::end_all();
            std::process::exit(130);
        });
    });
}
