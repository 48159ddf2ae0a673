//! A model straight out of an Ollama store on the disk.

use crate::models::{answer, fetched, load, question};
use embedded_model::{bill, ollama_store};
use serde_json::json;

#[test]
fn a_model_in_an_ollama_store_runs_where_it_lies() {
    let Some(weights) = fetched("smollm2-135m-instruct") else { return };
    let store = tempfile::tempdir().unwrap();
    let file = &bill::entry("smollm2-135m-instruct").unwrap().files[0];
    let blobs = store.path().join("blobs");
    let manifests = store.path().join("manifests/registry.ollama.ai/library/smollm2");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::create_dir_all(&manifests).unwrap();
    std::os::unix::fs::symlink(&weights, blobs.join(format!("sha256-{}", file.sha256))).unwrap();
    let manifest = json!({"schemaVersion": 2, "layers": [{
        "mediaType": "application/vnd.ollama.image.model",
        "digest": format!("sha256:{}", file.sha256),
        "size": file.size_bytes,
    }]});
    std::fs::write(manifests.join("135m"), manifest.to_string()).unwrap();

    let model = ollama_store::find(store.path(), "smollm2:135m").unwrap().unwrap();
    let mut engine = load(&model.path, 256);
    assert_eq!(engine.info().sha256.as_ref(), Some(&file.sha256));
    assert!(!answer(&mut engine, &question("Hi", 4)).text.is_empty());
}
