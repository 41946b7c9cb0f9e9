//! The closed lists: one table each.

use model::{
    fleet::{Availability, Cause, PartState, PhaseKind, Verdict},
    policy::{MigratePer, OnFailure},
};

use super::Invalid;
use crate::{v1, view::LogStream};

/// A word of a closed list.
pub(super) trait Word: Copy + Sized {
    /// As the wire has it.
    fn write(self) -> i32;
    /// From the wire. An unknown or unspecified one is refused.
    fn read(field: &str, raw: i32) -> Result<Self, Invalid>;
}

macro_rules! words {
    ($model:ty, $wire:ty, { $($ours:ident = $theirs:ident),+ $(,)? }) => {
        impl Word for $model {
            fn write(self) -> i32 {
                match self {
                    $(Self::$ours => <$wire>::$theirs as i32,)+
                }
            }

            fn read(field: &str, raw: i32) -> Result<Self, Invalid> {
                match <$wire>::try_from(raw) {
                    $(Ok(<$wire>::$theirs) => Ok(Self::$ours),)+
                    Ok(_) => Err(Invalid::new(field, "must be given")),
                    Err(_) => Err(Invalid::new(field, format!("{raw} is not known to this version"))),
                }
            }
        }
    };
}

words!(Availability, v1::Availability, { In = In, Out = Out, Unknown = Unknown });
words!(Cause, v1::Cause, { Release = Release, Surroundings = Surroundings });
words!(OnFailure, v1::OnFailure, { Rollback = Rollback, Pause = Pause });
words!(MigratePer, v1::MigratePer, { Fleet = Fleet, Host = Host });
words!(Verdict, v1::Verdict, { Succeeded = Succeeded, Failed = Failed, Retry = Retry });
words!(LogStream, v1::LogStream, { Serve = Serve, Migrate = Migrate });
words!(PartState, v1::PartState, {
    Pending = Pending, Changing = Changing, Changed = Changed, Failed = Failed, Dropped = Dropped,
});
words!(PhaseKind, v1::HostPhase, {
    Steady = Steady, Granted = Granted, Draining = Draining, Stopping = Stopping, Starting = Starting,
    Probing = Probing, Joining = Joining, Soaking = Soaking, Reverting = Reverting, Stuck = Stuck,
    Aborting = Aborting, Parked = Parked,
});

/// Reads a word that may be unspecified.
pub(super) fn maybe_word<T: Word>(field: &str, raw: i32) -> Result<Option<T>, Invalid> {
    if raw == 0 { Ok(None) } else { T::read(field, raw).map(Some) }
}
