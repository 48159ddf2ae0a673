use note_log::Log;

fn log() -> Log {
    let mut log = Log::new(3);
    for note in ["a", "b", "c", "d", "e"] {
        log.write(note);
    }
    log
}

#[test]
fn notes_are_numbered() {
    assert_eq!(log().last(), 5);
    assert_eq!(log().all().notes, ["c", "d", "e"]);
}

#[test]
fn since_a_note() {
    let page = log().since(3);
    assert_eq!(page.notes, ["d", "e"]);
    assert!(page.is_whole());
}

#[test]
fn since_a_note_that_is_long_gone() {
    assert_eq!(log().since(1).text(), "(1 lost)\nc\nd\ne\n");
}
