//! What is missing and what is too much, by a Role and calls in words.

use super::*;

/// A Role of the account `robot`, with these rules.
fn objects(rules: &str) -> Vec<Value> {
    let yaml = format!(
        "kind: Role\nmetadata: {{ name: robot }}\nrules: {rules}\n---\nkind: RoleBinding\nmetadata: {{ name: b }}\n\
         roleRef: {{ kind: Role, name: robot }}\nsubjects: [{{ kind: ServiceAccount, name: robot, namespace: n }}]\n\
         ---\nkind: Role\nmetadata: {{ name: of-nobody }}\nrules: [{{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }}]\n"
    );
    serde_yaml::from_multiple(&yaml).unwrap()
}

/// `[!+^]account verb resource.group name` or `account verb /path`; `!` is denied, `+` made something, `^` was let by
/// another Role.
fn call(words: &str) -> Call {
    let is_forbidden = words.starts_with('!');
    let code = match words.chars().next() {
        Some('!') => 403,
        Some('+') => 201,
        _ => 200,
    };
    let is_by_another = is_forbidden || words.starts_with('^');
    let mut words = words.trim_start_matches(['!', '+', '^']).split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (account, verb, what, name) = (next(), next(), next(), next());
    let mut call = Call {
        user: format!("system:serviceaccount:test-7:{account}"),
        verb: verb.to_owned(),
        namespace: "test-7".to_owned(),
        name: name.to_owned(),
        code,
        is_forbidden,
        role: if is_by_another { "" } else { account }.to_owned(),
        ..Call::default()
    };
    if what.starts_with('/') {
        call.uri = format!("{what}?timeout=1s");
    } else {
        let (resource, group) = what.split_once('.').unwrap_or((what, ""));
        call.group = group.to_owned();
        call.resource = resource.to_owned();
    }
    call
}

/// Lines begin with `-` for a denied call, `+` for an unused permission, `*` for a wildcard.
fn check(rules: &str, calls: &[&str], expected: &[&str]) {
    let calls: Vec<_> = calls.iter().map(|words| call(words)).collect();
    let told = coverage(&objects(rules), &[calls]);
    let lines = |mark: &str, lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| format!("{mark} {line}")).collect()
    };
    let all = [
        lines("-", &told.denied),
        lines("+", &told.unused),
        lines("*", &told.wildcards),
    ]
    .concat();
    assert_eq!(all, expected, "{rules}");
}

#[test]
fn each_verb_on_each_resource_is_used_or_not() {
    let rules = "[{ apiGroups: [''], resources: [pods, pods/status], verbs: [get, patch] }]";
    check(
        rules,
        &[
            "robot get pods a",
            "robot get pods/status a",
            "robot patch pods a",
            "robot patch pods/status a",
        ],
        &[],
    );
    check(
        rules,
        &[
            "robot get pods a",
            "robot get pods.apps a",
            "other patch pods a",
            "!robot delete pods/status a",
        ],
        &[
            "- robot: delete pods/status a (1 times)",
            "+ robot: get pods/status",
            "+ robot: patch pods",
            "+ robot: patch pods/status",
        ],
    );
}

#[test]
fn denied_calls_are_counted_and_those_of_others_are_not() {
    check(
        "[{ apiGroups: [apps], resources: [deployments], verbs: [list] }]",
        &[
            "robot list deployments.apps",
            "!robot create deployments.apps",
            "!robot create deployments.apps",
            "!jane list secrets",
        ],
        &["- robot: create deployments.apps (2 times)"],
    );
}

#[test]
fn what_an_apply_makes_stands_on_create_too() {
    let rules = "[{ apiGroups: [''], resources: [pods], verbs: [create, patch] }]";
    check(rules, &["robot patch pods a"], &["+ robot: create pods"]);
    check(rules, &["+robot patch pods a"], &[]);
    // Let by the rules as a patch, refused as what makes something.
    let mut refused = call("robot patch pods b");
    refused.code = 403;
    let told = coverage(
        &objects(rules),
        &[vec![call("+robot patch pods a"), refused.clone()]],
    );
    assert_eq!(told.denied, ["robot: patch pods b (1 times)"]);
    // Another one is refused for want of room.
    refused.is_over_quota = true;
    let told = coverage(&objects(rules), &[vec![call("+robot patch pods a"), refused]]);
    assert_eq!(told.denied, Vec::<String>::new());
}

#[test]
fn an_account_without_the_shipped_role_is_somebody_elses() {
    let rules = "[{ apiGroups: [''], resources: [pods], verbs: [get] }]";
    check(
        rules,
        &["^robot get pods a", "!robot list pods"],
        &["+ robot: get pods"],
    );
    // By the log of each server: namespaces of two have the same names.
    let shipped = vec![call("robot get pods a")];
    let other = vec![call("^robot get pods a"), call("!robot list pods")];
    let told = coverage(&objects(rules), &[shipped, other]);
    assert_eq!((told.denied, told.unused, told.calls), (vec![], vec![], 1));
}

#[test]
fn what_the_role_allows_was_denied_too_early_but_not_in_another_namespace() {
    let rules = "[{ apiGroups: [''], resources: [pods], verbs: [get] }]";
    let mut elsewhere = call("!robot get pods a");
    elsewhere.namespace.clear();
    let calls = vec![call("!robot get pods a"), call("robot get pods a"), elsewhere];
    let told = coverage(&objects(rules), &[calls]);
    assert_eq!(
        (told.denied_early, told.denied),
        (1, vec!["robot: get pods a (1 times)".to_owned()])
    );
}

#[test]
fn names_and_paths_are_looked_at() {
    check(
        "[{ apiGroups: [''], resources: [secrets], resourceNames: [a, b], verbs: [get] },
          { nonResourceURLs: [/version, /healthz], verbs: [get] }]",
        &["robot get secrets a", "robot get /version"],
        &["+ robot: get secrets b", "+ robot: get /healthz"],
    );
}

#[test]
fn wildcards_are_told_whether_or_not_they_are_used() {
    check(
        "[{ apiGroups: [''], resources: ['*'], verbs: [get] }, { apiGroups: [''], resources: [pods], verbs: ['*'] },
          { nonResourceURLs: ['/metrics/*'], verbs: [get] }]",
        &["robot get pods a"],
        &["* robot: * pods", "* robot: get *", "* robot: get /metrics/*"],
    );
}

#[test]
fn files_of_folders_are_taken_by_their_extension() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.log", "a.log", "c.txt"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let found = files(&[folder.path().to_owned(), PathBuf::from("given")], "log").unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a.log", "b.log", "given"]);
}
