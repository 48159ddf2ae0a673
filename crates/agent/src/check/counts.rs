//! How many tests passed and failed, from what their runner printed. For people and the model: whether a check passes is told
//! by its exit code alone.

/// Tests that passed and tests that did not, where that is said.
pub(super) type Counts = (Option<u64>, Option<u64>);

/// Reads one runner's summary.
type Reader = fn(&str) -> Option<Counts>;

/// `is_whole`: nothing of the output is missing, so that what is spread over it can be added up.
pub(super) fn read(output: &str, is_whole: bool) -> Counts {
    // Those with a summary at the end, which is always there.
    const AT_THE_END: &[Reader] = &[pytest, unittest, jest, vitest, node, mocha, nextest, maven, gradle];
    const ALL_OVER: &[Reader] = &[cargo, go];
    let all_over = if is_whole { ALL_OVER } else { &[] };
    all_over.iter().chain(AT_THE_END).find_map(|reader| reader(output)).unwrap_or_default()
}

/// `test result: ok. 3 passed; 1 failed; 0 ignored; …`, once for each program with tests.
fn cargo(output: &str) -> Option<Counts> {
    let results = output.lines().filter_map(|line| line.trim_start().strip_prefix("test result: "));
    added(results.map(|line| (number_before(line, " passed"), number_before(line, " failed"))))
}

/// `--- FAIL: TestName (0.00s)`; those that pass are only named with `-v`.
fn go(output: &str) -> Option<Counts> {
    let named = |mark: &str| output.lines().filter(|line| line.starts_with(mark)).count() as u64;
    let is_go = |line: &str| line.starts_with("ok  \t") || line.starts_with("FAIL\t") || line.starts_with("--- FAIL: ");
    if !output.lines().any(is_go) {
        return None;
    }
    let passed = named("--- PASS: ");
    Some(((passed > 0).then_some(passed), Some(named("--- FAIL: "))))
}

/// `== 2 failed, 12 passed, 1 warning in 0.12s ==`
fn pytest(output: &str) -> Option<Counts> {
    output.lines().rev().find_map(|line| {
        let line = line.trim().trim_matches('=').trim();
        let (counts, time) = line.rsplit_once(" in ")?;
        if time.split_whitespace().next()?.strip_suffix('s')?.parse::<f64>().is_err() {
            return None;
        }
        if counts == "no tests ran" {
            return Some((Some(0), Some(0)));
        }
        let (mut passed, mut failed) = (0, 0);
        for part in counts.split(", ") {
            let (number, word) = part.split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            match word {
                "passed" | "xfailed" | "xpassed" => passed += number,
                "failed" | "error" | "errors" => failed += number,
                "skipped" | "deselected" | "warning" | "warnings" | "rerun" => {}
                _ => return None,
            }
        }
        Some((Some(passed), Some(failed)))
    })
}

/// `Ran 14 tests in 0.001s`, and then `OK` or `FAILED (failures=2, errors=1, skipped=1)`.
fn unittest(output: &str) -> Option<Counts> {
    let lines: Vec<&str> = output.lines().collect();
    let at =
        lines.iter().rposition(|line| line.starts_with("Ran ") && line.contains(" test") && line.contains(" in "))?;
    let ran: u64 = lines[at].split(' ').nth(1)?.parse().ok()?;
    let ending = lines[at + 1..].iter().find(|line| !line.is_empty()).copied().unwrap_or_default();
    let named = |name: &str| {
        ending
            .split(['(', ',', ')'])
            .filter_map(|part| part.trim().strip_prefix(name)?.parse::<u64>().ok())
            .sum::<u64>()
    };
    let failed = named("failures=") + named("errors=") + named("unexpected successes=");
    let passed = ran.saturating_sub(failed + named("skipped="));
    Some((Some(passed), Some(failed)))
}

/// `Tests:       1 failed, 2 passed, 3 total`
fn jest(output: &str) -> Option<Counts> {
    let line = last(output, "Tests:")?;
    line.contains(" total").then(|| both(line))
}

/// `      Tests  1 failed | 2 passed (3)`
fn vitest(output: &str) -> Option<Counts> {
    let line = last(output, "Tests ")?;
    line.ends_with(')').then(|| both(line))
}

/// `# pass 2` and `# fail 1` as TAP, `ℹ pass 2` for people.
fn node(output: &str) -> Option<Counts> {
    let said = |word: &str| {
        output.lines().rev().find_map(|line| {
            let line = line.trim();
            let rest = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ "))?;
            rest.strip_prefix(word)?.strip_prefix(' ')?.trim().parse::<u64>().ok()
        })
    };
    Some((Some(said("pass")?), Some(said("fail")? + said("cancelled").unwrap_or_default())))
}

/// `  5 passing (20ms)` and `  2 failing`
fn mocha(output: &str) -> Option<Counts> {
    let said = |word: &str| {
        output.lines().rev().find_map(|line| {
            let (number, rest) = line.trim().split_once(' ')?;
            (rest == word || rest.starts_with(&format!("{word} ("))).then(|| number.parse::<u64>().ok())?
        })
    };
    Some((Some(said("passing")?), Some(said("failing").unwrap_or_default())))
}

/// `     Summary [   0.1s] 5 tests run: 4 passed, 1 failed, 0 skipped`
fn nextest(output: &str) -> Option<Counts> {
    let line = last(output, "Summary [")?;
    line.contains("run: ").then(|| both(line))
}

/// `Tests run: 5, Failures: 1, Errors: 0, Skipped: 0`, of which the last one without a class is the sum.
fn maven(output: &str) -> Option<Counts> {
    let is_sum = |line: &&str| line.contains("Tests run: ") && !line.contains("Time elapsed");
    let line = output.lines().rev().find(is_sum)?;
    let named = |name: &str| {
        line.split(&[',', ']'][..]).find_map(|part| part.trim().strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    let failed = named("Failures: ")? + named("Errors: ")?;
    let run = line.split("Tests run: ").nth(1)?.split(',').next()?.trim().parse::<u64>().ok()?;
    Some((Some(run.saturating_sub(failed + named("Skipped: ").unwrap_or_default())), Some(failed)))
}

/// `5 tests completed, 1 failed`, which is said only where one fails.
fn gradle(output: &str) -> Option<Counts> {
    let line = output.lines().rev().find(|line| line.contains(" completed, ") && line.contains(" failed"))?;
    let ran = number_before(line, " tests completed").or_else(|| number_before(line, " test completed"))?;
    let failed = number_before(line, " failed")?;
    Some((Some(ran.saturating_sub(failed)), Some(failed)))
}

fn both(line: &str) -> Counts {
    (Some(number_before(line, " passed").unwrap_or_default()), Some(number_before(line, " failed").unwrap_or_default()))
}

/// The last line that begins so.
fn last<'a>(output: &'a str, beginning: &str) -> Option<&'a str> {
    output.lines().rev().map(str::trim).find(|line| line.starts_with(beginning))
}

/// The number that stands right before `words`.
fn number_before(line: &str, words: &str) -> Option<u64> {
    let before = &line[..line.find(words)?];
    let digits = before.len() - before.bytes().rev().take_while(u8::is_ascii_digit).count();
    before[digits..].parse().ok()
}

fn added(counts: impl Iterator<Item = (Option<u64>, Option<u64>)>) -> Option<Counts> {
    counts.fold(None, |sum, (passed, failed)| {
        let (before_passed, before_failed) = sum.unwrap_or((Some(0), Some(0)));
        Some((Some(before_passed? + passed?), Some(before_failed? + failed?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_are_understood() {
        let cases: &[(&str, Counts)] = &[
            (
                "..F\n=== short test summary info ===\nFAILED a.py::b - x\n2 failed, 12 passed in 0.12s\n",
                (Some(12), Some(2)),
            ),
            ("======= 14 passed, 1 warning in 0.50s =======\n", (Some(14), Some(0))),
            ("===== 1 error in 61.20s (0:01:01) =====\n", (Some(0), Some(1))),
            ("\nno tests ran in 0.01s\n", (Some(0), Some(0))),
            ("Ran 14 tests in 0.001s\n\nFAILED (failures=2, errors=1, skipped=1)\n", (Some(10), Some(3))),
            ("..\nRan 1 test in 0.000s\n\nOK\n", (Some(1), Some(0))),
            (
                "test result: ok. 3 passed; 0 failed; 0 ignored\nx\ntest result: FAILED. 4 passed; 2 failed; 1 ignored\n",
                (Some(7), Some(2)),
            ),
            (
                "--- FAIL: TestAdd (0.00s)\n    add_test.go:7: 3\nFAIL\nFAIL\texample.org/a\t0.002s\nok  \texample.org/b\t0.1s\n",
                (None, Some(1)),
            ),
            ("=== RUN TestA\n--- PASS: TestA (0.00s)\nPASS\nok  \tx\t0.002s\n", (Some(1), Some(0))),
            ("Test Suites: 1 failed, 1 total\nTests:       1 failed, 2 passed, 3 total\n", (Some(2), Some(1))),
            (
                " Test Files  1 failed (1)\n      Tests  1 failed | 2 passed (3)\n   Start at  10:00\n",
                (Some(2), Some(1)),
            ),
            ("# tests 3\n# suites 0\n# pass 2\n# fail 1\n# cancelled 0\n", (Some(2), Some(1))),
            ("ℹ tests 3\nℹ pass 3\nℹ fail 0\n", (Some(3), Some(0))),
            ("  5 passing (20ms)\n  2 failing\n", (Some(5), Some(2))),
            ("     Summary [   0.1s] 5 tests run: 4 passed, 1 failed, 0 skipped\n", (Some(4), Some(1))),
            (
                "[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.1 s\n[ERROR] Tests run: 5, Failures: 1, Errors: 1, Skipped: 1\n",
                (Some(2), Some(2)),
            ),
            ("5 tests completed, 1 failed\n", (Some(4), Some(1))),
            ("make: *** [Makefile:2: test] Error 1\n", (None, None)),
            ("it is done in 3s\n", (None, None)),
            ("", (None, None)),
        ];
        for (output, expected) in cases {
            assert_eq!(read(output, true), *expected, "{output}");
        }
    }

    #[test]
    fn what_is_spread_over_an_output_is_not_added_up_from_a_part_of_it() {
        assert_eq!(read("test result: ok. 3 passed; 0 failed; 0 ignored\n", false), (None, None));
        assert_eq!(read("3 passed in 0.1s\n", false), (Some(3), Some(0)));
    }
}
