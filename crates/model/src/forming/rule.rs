//! The rules that keep two groups from forming.

use serde::{Deserialize, Serialize};

/// One rule that safety rests on. A checker leaves one out ([`Former::omitting`](super::Former::omitting)) and
/// must then find two groups; an agent never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A roster has at least as many hosts as are expected.
    Expected,
    /// A roster has every host that its proposer knows of, and each of them has answered.
    EveryHost,
    /// A host starts the group of a roster only when all hosts of it have agreed to it.
    Unanimous,
    /// A host that has agreed to one roster agrees to no other.
    OneAgreement,
    /// An agreement is stored before it is answered.
    AgreementStored,
    /// A host stores that it is initialising before it initialises.
    InitialisingStored,
    /// A host that has a group answers with it, agrees to no roster and withdraws from none.
    GroupIsFinal,
    /// An agreement ends only when all hosts of the roster that are not gone have withdrawn.
    WithdrawnByAll,
    /// A host that has withdrawn from a roster never agrees to it again, however late it is asked.
    WithdrawnForGood,
    /// The word of a host that is gone counts no more, and a withdrawal counts only from who knows that too.
    GoneUnheard,
    /// A host speaks only for the state directory that the roster names.
    SameState,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Expected,
        Self::EveryHost,
        Self::Unanimous,
        Self::OneAgreement,
        Self::AgreementStored,
        Self::InitialisingStored,
        Self::GroupIsFinal,
        Self::WithdrawnByAll,
        Self::WithdrawnForGood,
        Self::GoneUnheard,
        Self::SameState,
    ];
}
