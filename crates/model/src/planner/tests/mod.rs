//! The planner, the fleet and imagined hosts together: what comes of a policy, told as text.
//!
//! A scenario that comes out otherwise than its file says is printed whole; with `SCENARIOS=<folder of the files>` in the environment
//! it is written there instead.

mod actor;
mod laws;
mod mischief;
mod play;
mod preview;
mod scale;
mod script;
mod sightings;
mod turns;
mod walk;

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            script::check(stringify!($name), include_str!(concat!("scenarios/", stringify!($name), ".txt")));
        }
    )*};
}

scenarios! {
    abandoned
    abort
    abort_leave
    all_replaced
    bad_release
    bad_release_in_second_wave
    canary_terminated
    changed_host_leaves_service
    configuration_differs
    excluded
    first_rollout
    first_rollout_fails
    five_hosts_two_slots
    good_rollout
    joiner_after_all
    joiner_after_canary
    joiner_before_canary
    joiner_of_first_rollout
    leader_change
    leader_learns
    migration
    migration_fails
    migration_holder_terminated
    migration_not_started
    migration_per_host
    migration_retried
    migration_unknown
    next_halted
    on_failure_pause
    park
    park_broken
    park_during_rollout
    pause
    pause_holds_the_successor
    preview
    preview_first
    preview_held
    preview_in_mid_change
    preview_in_the_way
    push_behind_a_good_one
    queue
    queue_behind_roll_back
    restart
    roll_back_that_is_spent
    roll_back_with_a_stuck_host
    rollback
    rolls_back_the_failed_first
    sick_first
    silent_holder
    silent_holder_with_one_slot
    silent_other
    staging_deadline_fetching
    staging_deadline_silent
    supersede
    tolerated_failure
    two_services
    two_sick
}
