//! What may hold a webhook's secrets.

use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;

use super::WebhookSecrets;

#[test]
fn one_secret_or_two_of_a_file_that_is_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    let secret = "0123456789abcdef";
    let mut table = String::new();
    for (text, mode) in [
        (secret.to_owned(), 0o600),
        (format!("{secret}\n{secret}\n"), 0o400),
        (format!("{secret}\n{secret}\n{secret}\n"), 0o600),
        (String::new(), 0o600),
        ("short\n".to_owned(), 0o600),
        (secret.to_owned(), 0o604),
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = match WebhookSecrets::open(path.clone()) {
            Ok(secrets) => format!("{} secrets", secrets.read().unwrap().len()),
            Err(error) => error.to_string(),
        };
        table.push_str(&said);
        table.push('\n');
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let table = table.replace(&folder.path().display().to_string(), "FOLDER");
    expect![[r#"
        1 secrets
        2 secrets
        secrets of the webhook: FOLDER/secrets holds 3 lines: one secret, or two, are expected
        secrets of the webhook: FOLDER/secrets holds 0 lines: one secret, or two, are expected
        secrets of the webhook: FOLDER/secrets holds a secret of fewer than 16 bytes; openssl rand -hex 32 makes one
        secrets of the webhook: FOLDER/secrets has mode 0604: others must not read or write it; chmod 600, or 640 where it belongs to root
    "#]].assert_eq(&table);
}
