//! The OpenAPI document against the checked-in copy and against the router itself.

use std::path::Path;

use crate::gateway::openapi_document;

/// Set to 1 to write `docs/openapi.json` anew.
const UPDATE: &str = "UPDATE_OPENAPI";

#[test]
fn the_checked_in_document_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let generated = openapi_document();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == generated,
        "docs/openapi.json is not what the code describes; if the change of the API is meant, run\n\
         {UPDATE}=1 cargo test --lib gateway::tests::openapi\nand commit the file"
    );
}
