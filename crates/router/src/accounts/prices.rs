//! What tokens cost: a table that people edit while the program runs.
//!
//! ```toml
//! ["openai/gpt-large"]
//! input_usd_per_million = 1.25
//! cached_input_usd_per_million = 0.125   # default: as input
//! cache_write_usd_per_million = 1.25     # default: as input
//! cache_write_1h_usd_per_million = 2.5   # default: twice input, which is what the vendor that has it takes
//! output_usd_per_million = 10
//!
//! ["openai/gpt-small*"]                  # every model whose name begins so; the longest beginning wins
//! input_usd_per_million = 0.05
//! output_usd_per_million = 0.4
//! ```
//!
//! One dollar per million tokens is a million picodollars per token, so a price with six decimals is a whole number of
//! picodollars and sums never drift. A cost is rounded once, up, to a whole microdollar: what is booked is never less
//! than what is owed.

use crate::{Error, answer::Usage};
use protocol::Location;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use toml::{Table, Value};

/// Picodollars in a microdollar.
const PICO_PER_MICRO: u128 = 1_000_000;

/// The highest price there may be, in dollars per million tokens: a thousand times today's highest, so that what is
/// above is a slip.
const HIGHEST_USD_PER_MILLION: f64 = 1_000_000.0;

const INPUT: &str = "input_usd_per_million";
const CACHED_INPUT: &str = "cached_input_usd_per_million";
const CACHE_WRITE: &str = "cache_write_usd_per_million";
const CACHE_WRITE_1H: &str = "cache_write_1h_usd_per_million";
const OUTPUT: &str = "output_usd_per_million";

/// Of one model, in picodollars per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    /// `None`: nobody said; then it is taken to be twice `input`.
    cache_write_1h: Option<u64>,
    output: u64,
}

impl Price {
    /// Of everything on this machine.
    pub const FREE: Self = Self { input: 0, cached_input: 0, cache_write: 0, cache_write_1h: None, output: 0 };

    /// Of a call, in microdollars, rounded up.
    pub fn cost_microusd(&self, usage: &Usage) -> u64 {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let written = usage.cache_write_tokens.min(usage.input_tokens - cached);
        let plain = usage.input_tokens - cached - written;
        let long = usage.cache_write_1h_tokens.min(written);
        let long_price = self.cache_write_1h.unwrap_or_else(|| self.input.saturating_mul(2).max(self.cache_write));
        let parts = [
            (plain, self.input),
            (cached, self.cached_input),
            (written - long, self.cache_write),
            (long, long_price),
            (usage.output_tokens, self.output),
        ];
        let pico = parts.iter().fold(0_u128, |sum, (tokens, price)| {
            sum.saturating_add(u128::from(*tokens).saturating_mul(u128::from(*price)))
        });
        u64::try_from(pico.div_ceil(PICO_PER_MICRO)).unwrap_or(u64::MAX)
    }

    /// The most that reading this many tokens can cost, whatever the provider's cache does.
    pub(crate) fn dearest_input_microusd(&self, tokens: u64) -> u64 {
        let price = self.input.max(self.cached_input).max(self.cache_write).max(self.cache_write_1h.unwrap_or(0));
        let pico = u128::from(tokens).saturating_mul(u128::from(price));
        u64::try_from(pico.div_ceil(PICO_PER_MICRO)).unwrap_or(u64::MAX)
    }

    pub(crate) fn output_microusd(&self, tokens: u64) -> u64 {
        self.cost_microusd(&Usage { output_tokens: tokens, ..Usage::default() })
    }
}

/// Prices by `provider/model`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    exact: HashMap<String, Price>,
    /// Without their `*`, longest first.
    beginnings: Vec<(String, Price)>,
}

impl Prices {
    /// # Errors
    /// [`Error::Configuration`] with every mistake of the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let table = text
            .parse::<Table>()
            .map_err(|error| Error::Configuration(vec![format!("the price table is not TOML: {}", error.message())]))?;
        let mut prices = Self::default();
        let mut mistakes = Vec::new();
        for (name, value) in &table {
            if let Some(wrong) = wrong_name(name) {
                mistakes.push(wrong);
            }
            let Value::Table(fields) = value else {
                mistakes.push(format!(
                    "`{name}` in the price table is not a table; write [\"provider/model\"] and its prices below it"
                ));
                continue;
            };
            let price = price(name, fields, &mut mistakes);
            match name.strip_suffix('*') {
                Some(beginning) => prices.beginnings.push((beginning.to_owned(), price)),
                None => drop(prices.exact.insert(name.clone(), price)),
            }
        }
        if !mistakes.is_empty() {
            return Err(Error::Configuration(mistakes));
        }
        prices.beginnings.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Ok(prices)
    }

    /// `None`: nobody said what this model costs. Then nothing with a budget in money may use it.
    pub fn of(&self, location: Location, provider: &str, model: &str) -> Option<Price> {
        if location == Location::Local {
            return Some(Price::FREE);
        }
        let target = format!("{provider}/{model}");
        let by_beginning = || self.beginnings.iter().find(|(beginning, _)| target.starts_with(beginning.as_str()));
        self.exact.get(&target).or_else(|| by_beginning().map(|(_, price)| price)).copied()
    }
}

fn wrong_name(name: &str) -> Option<String> {
    let stem = name.strip_suffix('*').unwrap_or(name);
    let named = stem
        .split_once('/')
        .is_some_and(|(provider, model)| !provider.is_empty() && (!model.is_empty() || name.ends_with('*')));
    if stem.contains('*') {
        Some(format!("`{name}` in the price table: `*` may only stand at the end"))
    } else if !named {
        Some(format!("`{name}` in the price table is not `provider/model`"))
    } else {
        None
    }
}

fn price(name: &str, fields: &Table, mistakes: &mut Vec<String>) -> Price {
    for field in fields.keys() {
        if ![INPUT, CACHED_INPUT, CACHE_WRITE, CACHE_WRITE_1H, OUTPUT].contains(&field.as_str()) {
            mistakes.push(format!(
                "`{name}` has an unknown price `{field}`; there are {INPUT}, {CACHED_INPUT}, {CACHE_WRITE}, {CACHE_WRITE_1H} and {OUTPUT}"
            ));
        }
    }
    let mut amount = |field: &str, default: Option<u64>| {
        match (fields.get(field), default) {
        (Some(value), _) => picousd(value).unwrap_or_else(|| {
            mistakes.push(format!(
                "`{name}`: `{field}` must be dollars from 0 to {HIGHEST_USD_PER_MILLION} with at most six decimals; got {value}"
            ));
            0
        }),
        (None, Some(default)) => default,
        (None, None) => {
            mistakes.push(format!("`{name}` lacks `{field}`; write 0 for what is free"));
            0
        }
    }
    };
    let input = amount(INPUT, None);
    Price {
        input,
        cached_input: amount(CACHED_INPUT, Some(input)),
        cache_write: amount(CACHE_WRITE, Some(input)),
        cache_write_1h: fields.contains_key(CACHE_WRITE_1H).then(|| amount(CACHE_WRITE_1H, None)),
        output: amount(OUTPUT, None),
    }
}

/// Dollars per million tokens as picodollars per token.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small whole number")]
fn picousd(value: &Value) -> Option<u64> {
    let usd = match value {
        Value::Float(usd) => *usd,
        #[expect(clippy::cast_precision_loss, reason = "what a float cannot hold is far above the highest price")]
        Value::Integer(usd) => *usd as f64,
        _ => return None,
    };
    if !(0.0..=HIGHEST_USD_PER_MILLION).contains(&usd) {
        return None;
    }
    let pico = usd * 1e6;
    // A float is off by less than this at the highest price, and a seventh decimal is off by more.
    ((pico - pico.round()).abs() < 0.01).then(|| pico.round() as u64)
}

/// The table in use. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    prices: Arc<RwLock<Arc<Prices>>>,
}

impl PriceTable {
    pub fn new(prices: Prices) -> Self {
        Self { prices: Arc::new(RwLock::new(Arc::new(prices))) }
    }

    /// As they are now; a call keeps what it began with.
    pub fn load(&self) -> Arc<Prices> {
        Arc::clone(&self.prices.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, prices: Prices) {
        *self.prices.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(prices);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &str = r#"
        ["openai/gpt-large"]
        input_usd_per_million = 1.25
        cached_input_usd_per_million = 0.125
        cache_write_usd_per_million = 1.5
        output_usd_per_million = 10

        ["openai/gpt-*"]
        input_usd_per_million = 0.05
        output_usd_per_million = 0.4

        ["openai/gpt-large-*"]
        input_usd_per_million = 0.1
        output_usd_per_million = 0.2

        ["other/*"]
        input_usd_per_million = 0.000001
        output_usd_per_million = 0
    "#;

    fn usage(input: u64, cached: u64, written: u64, output: u64) -> Usage {
        Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            cache_write_tokens: written,
            cache_write_1h_tokens: 0,
            output_tokens: output,
            reasoning_tokens: 0,
        }
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up_once() {
        let prices = Prices::parse(TABLE).unwrap();
        let cases = [
            ("gpt-large", usage(0, 0, 0, 0), 0),
            ("gpt-large", usage(1, 0, 0, 0), 2), // 1.25
            ("gpt-large", usage(4, 0, 0, 0), 5), // 5 exactly
            ("gpt-large", usage(1_000_000, 0, 0, 0), 1_250_000),
            ("gpt-large", usage(1_000_000, 1_000_000, 0, 0), 125_000),
            ("gpt-large", usage(1_000_000, 0, 1_000_000, 0), 1_500_000),
            ("gpt-large", usage(1_000_000, 400_000, 100_000, 1_000), 625_000 + 50_000 + 150_000 + 10_000),
            // A provider whose parts are more than the whole is not paid twice.
            ("gpt-large", usage(10, 100, 100, 0), 2),
            ("gpt-nano", usage(3, 0, 0, 3), 2), // 0.15 + 1.2
            ("gpt-large-mini", usage(10, 0, 0, 0), 1),
            ("gpt-large-mini", usage(u64::MAX, 0, 0, u64::MAX), 5_534_023_222_112_865_485), // 0.3 of 2^64 - 1
        ];
        for (model, usage, cost) in cases {
            let price = prices.of(Location::Cloud, "openai", model).unwrap();
            assert_eq!(price.cost_microusd(&usage), cost, "{model} {usage:?}");
        }
        let cheapest = prices.of(Location::Cloud, "other", "any").unwrap();
        assert_eq!(cheapest.cost_microusd(&usage(1, 0, 0, 0)), 1);
        assert_eq!(cheapest.cost_microusd(&usage(1_000_001, 0, 0, 0)), 2);
    }

    #[test]
    fn what_is_kept_for_an_hour_is_paid_at_its_own_price() {
        let cases = [
            // Nobody said: twice the input, or the other writes where those are dearer.
            ("input_usd_per_million = 3\noutput_usd_per_million = 0", 600 + 300),
            ("input_usd_per_million = 3\ncache_write_usd_per_million = 9\noutput_usd_per_million = 0", 900 + 900),
            (
                "input_usd_per_million = 3\ncache_write_usd_per_million = 3.75\ncache_write_1h_usd_per_million = 6\noutput_usd_per_million = 0",
                600 + 375,
            ),
        ];
        for (fields, cost) in cases {
            let price = Prices::parse(&format!("[\"a/b\"]\n{fields}")).unwrap().of(Location::Cloud, "a", "b").unwrap();
            let usage = Usage { cache_write_1h_tokens: 100, ..usage(200, 0, 200, 0) };
            assert_eq!(price.cost_microusd(&usage), cost, "{fields}");
        }
    }

    #[test]
    fn what_is_on_this_machine_is_free_and_an_unlisted_cloud_model_has_no_price() {
        let prices = Prices::parse(TABLE).unwrap();
        assert_eq!(prices.of(Location::Local, "ollama", "small"), Some(Price::FREE));
        assert_eq!(prices.of(Location::Local, "openai", "gpt-large"), Some(Price::FREE));
        assert_eq!(prices.of(Location::Cloud, "anthropic", "large"), None);
        assert_eq!(prices.of(Location::Cloud, "openai", "o-large"), None);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let error = Prices::parse(
            r#"
            gpt = 3
            ["openai"]
            input_usd_per_million = 1
            output_usd_per_million = 1
            ["openai/*-mini"]
            input_usd_per_million = -1
            output_usd_per_million = 0.0000001
            ["openai/gpt"]
            input_usd_per_million = "1"
            prompt_usd_per_million = nan
            "#,
        );
        let Err(Error::Configuration(mistakes)) = error else { panic!("{error:?}") };
        insta::assert_snapshot!(mistakes.join("\n"), @r#"
        `gpt` in the price table is not `provider/model`
        `gpt` in the price table is not a table; write ["provider/model"] and its prices below it
        `openai` in the price table is not `provider/model`
        `openai/*-mini` in the price table: `*` may only stand at the end
        `openai/*-mini`: `input_usd_per_million` must be dollars from 0 to 1000000 with at most six decimals; got -1
        `openai/*-mini`: `output_usd_per_million` must be dollars from 0 to 1000000 with at most six decimals; got 0.0000001
        `openai/gpt` has an unknown price `prompt_usd_per_million`; there are input_usd_per_million, cached_input_usd_per_million, cache_write_usd_per_million, cache_write_1h_usd_per_million and output_usd_per_million
        `openai/gpt`: `input_usd_per_million` must be dollars from 0 to 1000000 with at most six decimals; got "1"
        `openai/gpt` lacks `output_usd_per_million`; write 0 for what is free
        "#);
        assert!(matches!(Prices::parse("[["), Err(Error::Configuration(_))));
    }

    #[test]
    fn a_new_table_holds_for_the_next_call() {
        let table = PriceTable::default();
        let before = table.load();
        table.replace(Prices::parse(TABLE).unwrap());
        assert_eq!(before.of(Location::Cloud, "openai", "gpt-large"), None);
        assert!(table.clone().load().of(Location::Cloud, "openai", "gpt-large").is_some());
    }

    proptest! {
        #[test]
        fn no_price_drifts(pico in 0_u64..=1_000_000_000_000, tokens in 0_u64..1_000_000_000) {
            let usd = format!("{}.{:06}", pico / 1_000_000, pico % 1_000_000);
            let text = format!("[\"a/b\"]\ninput_usd_per_million = {usd}\noutput_usd_per_million = {usd}");
            let price = Prices::parse(&text).unwrap().of(Location::Cloud, "a", "b").unwrap();
            let exact = (u128::from(pico) * u128::from(tokens)).div_ceil(1_000_000);
            prop_assert_eq!(u128::from(price.cost_microusd(&usage(tokens, 0, 0, 0))), exact);
            prop_assert_eq!(u128::from(price.cost_microusd(&usage(0, 0, 0, tokens))), exact);
        }

        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = Prices::parse(&text);
        }
    }
}
