//! Which room may know which: the directions of ARCHITECTURE.md, checked on the `use` lines.

use crate::support::sources::{code, files};

fn forbid(folder: &str, file: Option<&str>, words: &[&str]) {
    for (path, text) in code(folder) {
        if file.is_some_and(|name| path.file_name().is_none_or(|f| f != name)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("//") {
                continue;
            }
            for word in words {
                assert!(
                    !line.contains(word),
                    "{}:{} must not know {word}: {line}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn the_api_knows_no_client_and_no_runtime() {
    forbid(
        "src/api",
        None,
        &["crate::clients", "crate::controllers", "crate::engine", "tokio", "reqwest", "aws_sdk"],
    );
}

#[test]
fn status_knows_no_client() {
    forbid("src/status", None, &["crate::clients", "crate::controllers", "tokio", "reqwest", "aws_sdk"]);
}

#[test]
fn clients_know_neither_the_api_nor_kubernetes() {
    forbid(
        "src/clients",
        None,
        &["crate::api", "crate::controllers", "crate::engine", "kube::", "k8s_openapi"],
    );
}

#[test]
fn plans_do_no_io_and_read_no_clock() {
    for file in ["plan.rs", "desired.rs"] {
        forbid(
            "src",
            Some(file),
            &["async ", ".await", "tokio", "kube::Api", "kube::Client", "::now()", "Context", "rand::"],
        );
    }
}

#[test]
fn the_sandbox_does_not_know_the_operator() {
    forbid("sandbox/src", None, &["causeway::"]);
}

#[test]
fn only_the_engine_writes_to_sso_admin() {
    let writers = [
        "create_permission_set(",
        "update_permission_set(",
        "delete_permission_set(",
        "provision_permission_set(",
        "create_account_assignment(",
        "delete_account_assignment(",
    ];
    for (path, text) in code("src") {
        let allowed =
            ["src/engine", "src/clients/aws"].iter().any(|room| path.to_string_lossy().contains(room));
        for writer in writers {
            assert!(allowed || !text.contains(writer), "{} calls {writer}", path.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_600_lines() {
    for folder in ["src", "sandbox/src", "xtask/src", "tests"] {
        for (path, text) in files(folder) {
            let lines = text.lines().count();
            assert!(lines <= 600, "{} has {lines} lines: split it by concern", path.display());
        }
    }
}
