//! What the README shows of kubectl is what the golden outputs have.

use super::root;

/// The lines of a text, with their columns closed up.
fn closed_up(text: &str) -> Vec<String> {
    text.trim().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// A golden output, without its head.
fn golden(name: &str) -> Vec<String> {
    let path = root().join(format!("tests/journey/snapshots/suite__journey__kubectl__{name}.snap"));
    let text = std::fs::read_to_string(path).unwrap();
    closed_up(text.splitn(3, "---\n").nth(2).expect("a head"))
}

#[test]
fn what_the_readme_shows_of_kubectl_is_what_it_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let after = |words: &str| -> Vec<Vec<String>> {
        let found = readme.split(words).skip(1).filter_map(|rest| rest.split("```").next());
        found.map(closed_up).collect()
    };
    assert_eq!(
        after("$ kubectl get idf,scim,psb -A\n"),
        [golden("get_waiting"), golden("get_ready")],
        "copy the golden outputs, columns closed up"
    );
    let described = golden("describe_waiting_federation");
    let shown = after("```text\nPending:\n").remove(0);
    assert!(shown.len() > 3 && shown.iter().all(|line| described.contains(line)), "{shown:#?}");
}
