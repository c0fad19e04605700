//! A YAML file of an environment.

/// Every document is one of our kinds or has a finding, and each says where.
pub(crate) fn take(bytes: &[u8]) {
    let crds::parse::ParsedFile {
        documents: parsed,
        findings,
        ..
    } = crds::parse::parse_file("environments/dev/model.yaml", bytes);
    for document in &parsed {
        let canonical: serde_json::Value = serde_json::from_slice(&document.canonical).unwrap();
        assert!(canonical.is_object(), "what is written canonically is JSON");
    }
    for finding in &findings {
        assert!(finding.location.is_some(), "{finding:?}");
        assert!(!finding.message.is_empty(), "{finding:?}");
    }
    let again = crds::parse::parse_file("environments/dev/model.yaml", bytes).documents;
    assert_eq!(
        format!("{parsed:?}"),
        format!("{again:?}"),
        "the same file, the same documents"
    );
}
