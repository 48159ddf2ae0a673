//! What was wanted, and whether it holds on this machine in this run.

use crate::summary::print;

#[derive(Default)]
pub struct Verdicts(Vec<(String, String)>);

impl Verdicts {
    pub fn at_most(&mut self, what: &str, found: f64, wanted: f64, unit: &str) {
        self.add(what, found <= wanted, &format!("{found:.2} {unit}, wanted ≤ {wanted} {unit}"));
    }

    pub fn at_least(&mut self, what: &str, found: f64, wanted: f64, unit: &str) {
        self.add(what, found >= wanted, &format!("{found:.2} {unit}, wanted ≥ {wanted} {unit}"));
    }

    pub fn missed(&mut self, what: &str, why: &str) {
        self.add(what, false, why);
    }

    fn add(&mut self, what: &str, met: bool, figures: &str) {
        self.0.push((what.to_owned(), format!("{}: {figures}", if met { "met" } else { "NOT MET" })));
    }

    pub fn print(&self) {
        println!("  targets");
        for (what, verdict) in &self.0 {
            print(what, verdict);
        }
    }
}
