//! What a target's failure leads to, as long as the caller has nothing yet.

use crate::stage::{CHAIN, DIALECTS, Stage, question};
use testkit::{FaultyModel, Reply, Wire};

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_tried_again_at_the_same_target() {
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            for stream in [true, false] {
                let a = FaultyModel::start(wire).await.then(Reply::text("Forty two.").status_once(503));
                let b = FaultyModel::start(Wire::OpenAiChat).await;
                let stage = Stage::over(&[&a, &b]).await;
                let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                let case = format!("{dialect:?} over {wire:?}, stream: {stream}: {answer:?}");
                assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{case}");
                assert_eq!(answer.header("x-devmesh-provider"), Some("a"), "{case}");
                assert_eq!(answer.header("x-devmesh-fallbacks"), Some("0"), "{case}");
                assert_eq!((a.received().len(), b.received().len()), (2, 0), "{CHAIN}: {case}");
            }
        }
    }
}
