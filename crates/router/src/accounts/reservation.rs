//! What one call holds back while it runs.

use super::{Accounts, Price, RateLimits, Refusal};
use domain::{JobId, PrincipalId};

/// A call about to begin.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Whose request it is.
    pub key: PrincipalId,
    /// What it is made for. The jobs above it pay too, see [`Accounts::put_job`].
    pub job: Option<JobId>,
    pub estimate: Estimate,
    /// `provider/model` of the first target, for messages.
    pub target: String,
}

/// The most that a call may come to. Budgets hold as long as no call exceeds its estimate, so be generous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// `None`: the price is not known.
    pub cost: Option<EstimatedCost>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EstimatedCost {
    pub input_microusd: u64,
    pub output_microusd: u64,
}

impl Estimate {
    pub fn new(input_tokens: u64, output_tokens: u64, price: Option<&Price>) -> Self {
        let cost = price.map(|price| EstimatedCost {
            input_microusd: price.dearest_input_microusd(input_tokens),
            output_microusd: price.output_microusd(output_tokens),
        });
        Self { input_tokens, output_tokens, cost }
    }

    pub(crate) fn whole(&self) -> Spent {
        let cost = self.cost.unwrap_or_default();
        Spent {
            tokens: self.input_tokens.saturating_add(self.output_tokens),
            microusd: cost.input_microusd.saturating_add(cost.output_microusd),
        }
    }

    /// What a provider charges for once it has the prompt.
    fn prompt(&self) -> Spent {
        Spent { tokens: self.input_tokens, microusd: self.cost.unwrap_or_default().input_microusd }
    }
}

/// What a call came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Input and output.
    pub tokens: u64,
    /// 0 where the price is not known.
    pub microusd: u64,
}

impl Spent {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            microusd: self.microusd.saturating_add(other.microusd),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            microusd: self.microusd.saturating_sub(other.microusd),
        }
    }

    fn at_least(self, other: Self) -> Self {
        Self { tokens: self.tokens.max(other.tokens), microusd: self.microusd.max(other.microusd) }
    }
}

/// Who holds what for one call.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) key: PrincipalId,
    /// The job and those above it.
    pub(crate) jobs: Vec<JobId>,
    pub(crate) held: Spent,
    /// What the token rate limits were charged with.
    pub(crate) rated_tokens: u64,
}

/// Tokens, money and a place held for one call. Ends with one of the methods that take it; dropped, it books the prompt.
#[must_use = "a reservation that is dropped at once books the prompt"]
#[derive(Debug)]
pub struct Reservation {
    accounts: Accounts,
    /// Present until it is settled.
    hold: Option<Hold>,
    estimate: Estimate,
    /// What attempts before the one that runs came to.
    before: Spent,
    rates: RateLimits,
}

impl Reservation {
    pub(crate) fn new(accounts: Accounts, hold: Hold, estimate: Estimate, rates: RateLimits) -> Self {
        Self { accounts, hold: Some(hold), estimate, before: Spent::default(), rates }
    }

    /// The key's rate limits as they are with this call counted, for the answer's headers.
    pub fn rates(&self) -> RateLimits {
        self.rates
    }

    /// Goes on with another attempt, whose target may cost more. What those before it came to stays held beside it.
    ///
    /// # Errors
    /// [`Refusal`] when there is no room: then the reservation is as it was.
    pub fn change(&mut self, before: Spent, estimate: &Estimate, target: &str) -> Result<(), Refusal> {
        let Some(hold) = &mut self.hold else { return Ok(()) };
        let wanted = before.plus(estimate.whole());
        self.accounts.change(hold, wanted, estimate.cost.is_none(), target)?;
        (self.before, self.estimate) = (before, *estimate);
        Ok(())
    }

    /// The answer is whole, and all attempts came to this.
    pub fn settle(mut self, spent: Spent) {
        self.book(spent);
    }

    /// The answer was cut or its caller went: books what is known of it, and the prompt at least.
    pub fn settle_partial(mut self, so_far: Spent) {
        self.book(so_far.at_least(self.at_least()));
    }

    /// Nothing was sent to anybody.
    pub fn release(mut self) {
        self.book(Spent::default());
    }

    fn book(&mut self, spent: Spent) {
        if let Some(hold) = self.hold.take() {
            self.accounts.settle(&hold, spent);
        }
    }

    /// Earlier attempts, and the prompt of the one that runs.
    fn at_least(&self) -> Spent {
        self.before.plus(self.estimate.prompt())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.book(self.at_least());
    }
}
