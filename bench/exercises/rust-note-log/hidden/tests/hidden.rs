use note_log::{Log, Page};

fn log(room: usize, count: u64) -> Log {
    let mut log = Log::new(room);
    for number in 1..=count {
        assert_eq!(log.write(&number.to_string()), number);
    }
    log
}

fn page(notes: &[&str], lost: u64) -> Page {
    Page { notes: notes.iter().map(|note| (*note).to_owned()).collect(), lost }
}

#[test]
fn every_number() {
    let log = log(3, 5);
    let expected = [
        page(&["3", "4", "5"], 2),
        page(&["3", "4", "5"], 1),
        page(&["3", "4", "5"], 0),
        page(&["4", "5"], 0),
        page(&["5"], 0),
        page(&[], 0),
    ];
    for (number, expected) in expected.iter().enumerate() {
        assert_eq!(&log.since(number as u64), expected, "since {number}");
    }
}

#[test]
fn a_number_that_was_never_given() {
    assert_eq!(log(3, 5).since(6), page(&[], 0));
    assert_eq!(log(3, 5).since(u64::MAX), page(&[], 0));
}

#[test]
fn a_log_that_is_not_full() {
    assert_eq!(log(10, 2).since(0), page(&["1", "2"], 0));
    assert_eq!(log(10, 0).since(0), page(&[], 0));
    assert_eq!(log(1, 4).since(0), page(&["4"], 3));
}
