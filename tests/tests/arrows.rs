//! The dependency arrows of `docs/dev/architecture.md`: any other one fails here.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Each package and the packages of this workspace that it may name.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("holdline-corpus", &[]),
    ("holdline-wire", &[]),
    ("holdline-leg", &["holdline-wire"]),
    ("holdline-relay", &["holdline-leg", "holdline-wire"]),
    (
        "holdline-b2bua",
        &["holdline-leg", "holdline-relay", "holdline-wire"],
    ),
    (
        "holdline-host",
        &["holdline-leg", "holdline-relay", "holdline-wire"],
    ),
    (
        "holdline-agent",
        &[
            "holdline-b2bua",
            "holdline-host",
            "holdline-leg",
            "holdline-relay",
            "holdline-wire",
        ],
    ),
    (
        "b2bua-node",
        &[
            "holdline-b2bua",
            "holdline-host",
            "holdline-leg",
            "holdline-relay",
            "holdline-wire",
        ],
    ),
    (
        "holdline-tests",
        &[
            "b2bua-node",
            "holdline-agent",
            "holdline-b2bua",
            "holdline-host",
            "holdline-leg",
            "holdline-relay",
            "holdline-wire",
        ],
    ),
];

/// What the pure packages must not bring in.
const IMPURE: [&str; 7] = ["tokio", "mio", "socket2", "reqwest", "axum", "libc", "nix"];
const PURE: [&str; 3] = ["holdline-wire", "holdline-leg", "holdline-b2bua"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn names<'a>(package: &'a Value, ours: &'a [String]) -> impl Iterator<Item = &'a str> {
    let all = package["dependencies"].as_array().expect("dependencies");
    let normal = all.iter().filter(|d| d["kind"].is_null());
    normal
        .filter_map(|d| d["name"].as_str())
        .filter(|n| ours.iter().any(|o| o == n))
}

#[test]
fn packages_name_only_those_above_them() {
    let packages = packages();
    let ours: Vec<String> = packages
        .iter()
        .filter_map(|p| Some(p["name"].as_str()?.to_owned()))
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        let allowed = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no place yet"));
        for target in names(package, &ours) {
            assert!(
                allowed.contains(&target),
                "{name} must not depend on {target}"
            );
        }
    }
    assert_eq!(packages.len(), ALLOWED.len());
}

#[test]
fn pure_packages_bring_in_no_machine() {
    for package in packages()
        .iter()
        .filter(|p| PURE.contains(&p["name"].as_str().unwrap_or("")))
    {
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["name"].as_str().expect("a name");
            assert!(
                !IMPURE.contains(&name),
                "{} must not use {name}",
                package["name"]
            );
        }
    }
}
