//! What this process holds of the queue. The heartbeat renews the leases of these claims and of no others, so that a claim
//! that was lost on its way (the connection broke after the commit, a worker panicked) comes free when its lease ends.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::db::ids::ClaimToken;

/// The claims that live in this process's memory.
#[derive(Clone, Debug, Default)]
pub struct Holding {
    tokens: Arc<Mutex<HashSet<ClaimToken>>>,
}

impl Holding {
    /// Holds a claim for as long as the answer lives.
    pub fn hold(&self, token: ClaimToken) -> Held {
        self.lock().insert(token);
        Held {
            token,
            holding: self.clone(),
        }
    }

    /// Claim tokens, as statements take them.
    pub fn tokens(&self) -> Vec<i64> {
        self.lock().iter().map(|token| token.0).collect()
    }

    /// Whether this claim lives.
    pub fn holds(&self, token: ClaimToken) -> bool {
        self.lock().contains(&token)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ClaimToken>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One claim in memory. It travels with the message until its outcome is committed; wherever it is dropped, on purpose, by
/// an error or by a panic, the lease is not renewed any more.
#[derive(Debug)]
pub struct Held {
    token: ClaimToken,
    holding: Holding,
}

impl Held {
    /// The claim.
    pub fn token(&self) -> ClaimToken {
        self.token
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holding.lock().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_held_until_it_is_dropped() {
        let holding = Holding::default();
        let (one, two) = (holding.hold(ClaimToken(1)), holding.hold(ClaimToken(2)));
        assert_eq!(holding.tokens().len(), 2);
        drop(one);
        assert_eq!(holding.tokens(), [2]);
        assert_eq!(two.token(), ClaimToken(2));
    }
}
