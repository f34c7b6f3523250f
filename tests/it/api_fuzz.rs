//! Schemathesis against the daemon: requests made up from the OpenAPI document, good and bad, must get
//! an answer that the document knows, and never one of 500 and above.

use std::process::Command;

use serde_json::Value;

use crate::e2e_sign_in::{bearer, owner};
use crate::support::anvil::Anvil;
use crate::support::hub::Setup;
use crate::support::{root, skip};

/// Made-up requests per operation: the whole run stays below two minutes on two cores.
const EXAMPLES: &str = "15";

#[test]
fn made_up_requests_get_answers_that_the_document_knows() {
    let tool = root().join(".toolchain/schemathesis/bin/schemathesis");
    if !tool.exists() {
        return skip("schemathesis", "not installed; scripts/toolchain installs it");
    }
    let Some(node) = Anvil::start(&[]) else { return };
    node.mine(3);
    let setup = Setup::new(&node, "");
    let admin = format!("{:#x}", owner(1).1);
    assert!(setup.command(&["users", "add", "--admin", "--wallet", &admin]).status.success());
    let hub = setup.run();
    hub.wait_for_block(&node, node.head());
    let token = bearer(&hub, node.chain_id, 1);
    let document: Value = hub.json("/api/v1/openapi.json");
    let operations: usize = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .map(|item| item.as_object().expect("operations").len())
        .sum();
    // As an administrator, and as nobody. A stream does not end; logging out would end the rest.
    for header in [Some(format!("Authorization: {token}")), None] {
        let mut command = Command::new(&tool);
        command
            .args(["run", &format!("http://127.0.0.1:{}/api/v1/openapi.json", hub.port)])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
            .args(["--max-examples", EXAMPLES, "--seed", "1", "--workers", "2"])
            .args(["--exclude-path", "/api/v1/events/stream", "--exclude-path", "/auth/logout"])
            .args(["--request-timeout", "20", "--no-color", "--phases", "examples,coverage,fuzzing"])
            .current_dir(setup.dir());
        if let Some(header) = &header {
            command.args(["--header", header]);
        }
        let output = command.output().expect("schemathesis runs");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{operations} operations, {header:?}:\n{told}");
    }
    assert_eq!(hub.stop(), Some(0));
}
