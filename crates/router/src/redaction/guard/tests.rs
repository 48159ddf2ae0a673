use super::*;
use crate::redaction::Patterns;

#[derive(Default)]
struct Ledger {
    entries: Mutex<Vec<Departure>>,
    is_full: bool,
}

#[async_trait]
impl Record for Ledger {
    async fn record(&self, departure: Departure) -> Result<(), Error> {
        if self.is_full {
            return Err(Error::NoModel("the ledger cannot be written".into()));
        }
        self.entries.lock().unwrap().push(departure);
        Ok(())
    }
}

fn redactor() -> Option<Arc<Redactor>> {
    Some(Arc::new(Redactor::new(Arc::new(Patterns::built_in().unwrap()))))
}

fn of(body: &Bytes, redactions: usize) -> Departure {
    Departure { body_sha256: Sha256::digest(body).into(), body_bytes: body.len(), redactions }
}

#[tokio::test]
async fn what_leaves_is_on_record_as_it_leaves() {
    let ledger = Arc::new(Ledger::default());
    let guard = Guard::new(redactor(), ledger.clone());
    assert!(guard.redacts());
    let small = Bytes::from_static(br#"{"prompt":"password=swordfish9"}"#);
    let big = Bytes::from(format!(r#"{{"prompt":"password=swordfish9 {}"}}"#, "so what? ".repeat(20_000)));
    let mut left = Vec::new();
    for body in [small, big] {
        let cleared = guard.clear(body).await.unwrap();
        assert!(!String::from_utf8_lossy(&cleared).contains("swordfish9"));
        left.push(of(&cleared, 1));
    }
    assert_eq!(guard.departed(), left);
    assert_eq!(*ledger.entries.lock().unwrap(), left);
}

#[tokio::test]
async fn without_a_redactor_bodies_leave_as_they_are_and_are_on_record() {
    let ledger = Arc::new(Ledger::default());
    let guard = Guard::new(None, ledger.clone());
    assert!(!guard.redacts());
    let body = Bytes::from_static(b"not JSON, password=swordfish9");
    assert_eq!(guard.clear(body.clone()).await, Ok(body.clone()));
    assert_eq!(*ledger.entries.lock().unwrap(), [of(&body, 0)]);
}

#[tokio::test]
async fn what_cannot_be_put_on_record_or_checked_does_not_leave() {
    let guard = Guard::new(redactor(), Arc::new(Ledger { is_full: true, ..Ledger::default() }));
    assert!(guard.clear(Bytes::from_static(b"{}")).await.is_err());
    assert_eq!(guard.departed(), []);
    let ledger = Arc::new(Ledger::default());
    let guard = Guard::new(redactor(), ledger.clone());
    assert!(matches!(guard.clear(Bytes::from_static(b"sound")).await, Err(Error::Uncheckable { .. })));
    assert_eq!((guard.departed().len(), ledger.entries.lock().unwrap().len()), (0, 0));
}
