//! A store that cannot be: the node does not start, and says why.

use holdline_tests::rig::{Rig, binary, node_name};
use std::path::Path;
use std::process::{Command, Output};

/// Starts a node with its store at `path`, and waits for its end.
fn start(rig: &Rig, path: &Path) -> Output {
    let text = std::fs::read_to_string(rig.config(&node_name(0))).unwrap();
    let old = rig.dir().join("dialogs.db");
    let text = text.replace(&old.display().to_string(), &path.display().to_string());
    let config = rig.dir().join("store.toml");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(binary("b2bua-node").unwrap());
    // The addresses are in use by the rig's own node: a start that got so far says so, with code 1.
    command.arg("--config").arg(config).output().unwrap()
}

// spec: X59
#[test]
fn a_node_whose_store_cannot_be_refuses_to_start() {
    let rig = Rig::start().unwrap();
    let garbage = rig.dir().join("garbage.db");
    std::fs::write(&garbage, "no database ".repeat(1000)).unwrap();
    for (path, cause) in [
        (rig.dir().join("missing").join("dialogs.db"), "no folder"),
        (rig.dir().to_owned(), "unable to open"),
        (garbage, "not a database"),
    ] {
        let output = start(&rig, &path);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let start = format!("b2bua-node: store {} cannot be used: ", path.display());
        assert!(said.starts_with(&start) && said.contains(cause), "{said}");
    }
    let sound = start(&rig, &rig.dir().join("other.db"));
    assert_eq!(sound.status.code(), Some(1), "{sound:?}");
}
