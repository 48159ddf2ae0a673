//! What the runs came to: a line a tool, and a line an exercise.

use super::{exercise::Exercise, record::Record, tool::Tool};
use crate::summary::Rounds;
use std::collections::BTreeMap;

/// Prints medians over the rounds, with the least and the most.
pub fn print(records: &[Record], exercises: &[Exercise]) {
    let is_asked = |record: &&Record| exercises.iter().any(|exercise| exercise.name == record.key.exercise);
    let records: Vec<&Record> = records.iter().filter(is_asked).collect();
    let tools: Vec<Tool> =
        Tool::ALL.into_iter().filter(|tool| records.iter().any(|record| record.key.tool == tool.name())).collect();
    if tools.is_empty() {
        println!("  no runs with this model and this wall time yet");
        return;
    }
    println!(
        "\n  {:<16} {:>16} {:>16} {:>16} {:>20} {:>20}",
        "tool", "solved", "ended by itself", "s a run", "tokens in a run", "tokens out a run"
    );
    for tool in &tools {
        let own: Vec<&Record> = records.iter().copied().filter(|record| record.key.tool == tool.name()).collect();
        let figures = Figures::of(&own);
        println!(
            "  {:<16} {:>16} {:>16} {:>16} {:>20} {:>20}",
            tool.name(),
            share(&figures.solved, figures.exercises),
            share(&figures.ended, figures.exercises),
            spread(&figures.seconds),
            spread(&figures.tokens_in),
            spread(&figures.tokens_out),
        );
    }
    print!("\n  {:<28} {:<16} {:>5}", "exercise", "kind", "level");
    tools.iter().for_each(|tool| print!(" {:>14}", tool.name()));
    println!();
    for exercise in exercises {
        print!("  {:<28} {:<16} {:>5}", exercise.name, exercise.about.kind.to_string(), exercise.about.level);
        for tool in &tools {
            let is_own = |record: &&&Record| record.key.tool == tool.name() && record.key.exercise == exercise.name;
            let own: Vec<_> = records.iter().filter(is_own).collect();
            let solved = own.iter().filter(|record| record.solved).count();
            print!(" {:>14}", if own.is_empty() { "–".to_owned() } else { format!("{solved} of {}", own.len()) });
        }
        println!();
    }
    println!("\n  median (least to most) over rounds for what is counted, over runs for the rest");
}

/// Of one tool. The first two have a number for each round that is complete.
struct Figures {
    /// Exercises of a round.
    exercises: usize,
    solved: Rounds,
    ended: Rounds,
    seconds: Rounds,
    tokens_in: Rounds,
    tokens_out: Rounds,
}

impl Figures {
    fn of(records: &[&Record]) -> Self {
        let mut rounds: BTreeMap<u32, Vec<&Record>> = BTreeMap::new();
        for record in records {
            rounds.entry(record.key.run).or_default().push(record);
        }
        let exercises = rounds.values().map(Vec::len).max().unwrap_or_default();
        // A round that was broken off would count as a bad one.
        rounds.retain(|_, records| records.len() == exercises);
        let counted = |is: fn(&Record) -> bool| {
            let count = |records: &Vec<&Record>| records.iter().filter(|record| is(record)).count() as f64;
            Rounds(rounds.values().map(count).collect())
        };
        let each = |figure: fn(&Record) -> f64| Rounds(records.iter().map(|record| figure(record)).collect());
        Self {
            exercises,
            solved: counted(|record| record.solved),
            ended: counted(|record| record.ended_by_itself),
            seconds: each(|record| record.seconds),
            tokens_in: each(|record| record.tokens.tokens_in as f64),
            tokens_out: each(|record| record.tokens.tokens_out as f64),
        }
    }
}

fn share(rounds: &Rounds, of: usize) -> String {
    let (least, most) = rounds.bounds();
    format!("{} of {of} ({least}–{most})", rounds.median())
}

fn spread(rounds: &Rounds) -> String {
    let (least, most) = rounds.bounds();
    format!("{:.0} ({least:.0}–{most:.0})", rounds.median())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::record::{Key, Tokens};

    fn record(run: u32, exercise: &str, solved: bool, seconds: f64) -> Record {
        Record {
            key: Key { model: "m".into(), wall_seconds: 300, tool: "pi".into(), exercise: exercise.into(), run },
            tool_version: String::new(),
            solved,
            visible_test: solved,
            hidden_test: solved,
            ended_by_itself: true,
            exit_code: Some(0),
            seconds,
            tokens: Tokens { model_calls: 1, tokens_in: 1_000, tokens_out: 10 },
            state: None,
            reason: None,
            message: None,
        }
    }

    #[test]
    fn rounds_are_counted_each_for_itself() {
        let records = [
            record(1, "a", true, 10.0),
            record(1, "b", false, 20.0),
            record(2, "a", true, 30.0),
            record(2, "b", true, 40.0),
            record(3, "a", true, 50.0),
            record(3, "b", false, 60.0),
            // Broken off after its first exercise.
            record(4, "a", false, 70.0),
        ];
        let figures = Figures::of(&records.iter().collect::<Vec<_>>());
        assert_eq!(share(&figures.solved, figures.exercises), "1 of 2 (1–2)");
        assert_eq!(share(&figures.ended, figures.exercises), "2 of 2 (2–2)");
        assert_eq!(spread(&figures.seconds), "40 (10–70)");
    }
}
