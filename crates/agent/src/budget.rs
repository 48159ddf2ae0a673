//! What a job may use and has used, over all its attempts.

use protocol::{Limits, ModelAnswer, Usage};

#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limits: Limits,
    usage: Usage,
}

impl Budget {
    /// `usage` is what earlier attempts used.
    pub(crate) fn new(limits: Limits, usage: Usage) -> Self {
        Self { limits, usage }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// A step is one answer of a model.
    pub(crate) fn count_answer(&mut self, answer: &ModelAnswer) {
        self.usage.steps += 1;
        self.usage.input_tokens += answer.input_tokens;
        self.usage.output_tokens += answer.output_tokens;
        self.usage.cost_microusd += answer.cost_microusd;
        self.usage.model_ms += answer.total_ms;
    }

    pub(crate) fn count_tool(&mut self, duration_ms: u64) {
        self.usage.tool_ms += duration_ms;
    }

    /// Tokens a next call may still take.
    pub(crate) fn tokens_left(&self) -> u64 {
        self.limits.tokens.saturating_sub(self.usage.input_tokens + self.usage.output_tokens)
    }

    /// Answers a model may still give, the next one included.
    pub(crate) fn steps_left(&self) -> u32 {
        self.limits.steps.saturating_sub(self.usage.steps)
    }

    /// Why there may be no further model call, in words for a person.
    pub(crate) fn exhausted(&self) -> Option<String> {
        let Limits { steps, cost_microusd, tokens, .. } = self.limits;
        let used_tokens = self.usage.input_tokens + self.usage.output_tokens;
        if self.usage.steps >= steps {
            return Some(format!("the job used all of its {steps} steps; raise `limits.steps` to let it go on"));
        }
        if used_tokens >= tokens {
            return Some(format!(
                "the job used {used_tokens} of its {tokens} tokens; raise `limits.tokens` to let it go on"
            ));
        }
        // A limit of 0 means models that cost nothing, and those may be called for ever.
        let spent = self.usage.cost_microusd;
        if spent > cost_microusd || (spent == cost_microusd && spent > 0) {
            return Some(format!(
                "the job spent {} of its {} US dollars; raise `limits.cost_microusd` to let it go on",
                dollars(spent),
                dollars(cost_microusd)
            ));
        }
        None
    }
}

fn dollars(microusd: u64) -> String {
    format!("{}.{:06}", microusd / 1_000_000, microusd % 1_000_000)
}

/// The larger of each figure: the backend's books and the log's may each lack the last word of an attempt that died.
pub(crate) fn larger(a: Usage, b: Usage) -> Usage {
    Usage {
        steps: a.steps.max(b.steps),
        input_tokens: a.input_tokens.max(b.input_tokens),
        output_tokens: a.output_tokens.max(b.output_tokens),
        cost_microusd: a.cost_microusd.max(b.cost_microusd),
        model_ms: a.model_ms.max(b.model_ms),
        tool_ms: a.tool_ms.max(b.tool_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_ends_the_job_and_says_which() {
        let limits = Limits { steps: 3, tokens: 100, cost_microusd: 2_000_000, ..Limits::default() };
        let after = |usage: Usage| Budget::new(limits.clone(), usage).exhausted();
        assert_eq!(after(Usage { steps: 2, input_tokens: 60, output_tokens: 39, ..Usage::default() }), None);
        let steps = after(Usage { steps: 3, ..Usage::default() }).unwrap();
        assert_eq!(steps, "the job used all of its 3 steps; raise `limits.steps` to let it go on");
        let tokens = after(Usage { input_tokens: 60, output_tokens: 50, ..Usage::default() }).unwrap();
        assert_eq!(tokens, "the job used 110 of its 100 tokens; raise `limits.tokens` to let it go on");
        let money = after(Usage { cost_microusd: 2_500_000, ..Usage::default() }).unwrap();
        assert!(money.starts_with("the job spent 2.500000 of its 2.000000 US dollars"), "{money}");
    }

    #[test]
    fn no_money_means_free_models_not_no_models() {
        let free = Budget::new(Limits::default(), Usage::default());
        assert_eq!(free.exhausted(), None);
        let paid = Budget::new(Limits::default(), Usage { cost_microusd: 1, ..Usage::default() });
        assert!(paid.exhausted().is_some());
    }
}
