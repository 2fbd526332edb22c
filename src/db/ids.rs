//! Ids of rows as types, so that a message's id never stands where an event's id belongs.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A row of `event`.
    EventId
);
id!(
    /// A message: one id from `queue` to `log`.
    MessageId
);
id!(
    /// One try to hand a message to one provider: a row of `attempt`.
    AttemptId
);
id!(
    /// A row of `trigger`.
    TriggerId
);
id!(
    /// A row of `rule`.
    RuleId
);
id!(
    /// A row of `campaign`.
    CampaignId
);
id!(
    /// A row of `provider`.
    ProviderId
);
id!(
    /// `res_partner.id` of the host.
    PartnerId
);
id!(
    /// The `id` of a record of the host, whatever its model.
    RecordId
);
id!(
    /// A claim's number; it only grows, and every settle names it.
    ClaimToken
);
