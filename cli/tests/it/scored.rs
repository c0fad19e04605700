//! `aurora predict` and `aurora model compare`, over the files that a data directory holds.

use expect_test::expect;
use serde_json::Value;

use crate::harness::{Ground, aurora, run, text};

/// What the data directory of a converged environment says of rows of `environments/dev`'s flowers and wines.
#[test]
fn rows_of_a_file_are_predicted_and_two_versions_compared() {
    let ground = Ground::dev();
    let data = ground.data();
    drop(ground.up());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let asked = |arguments: &[&str]| {
        let output = run(aurora().args(arguments).arg("--data-dir").arg(&data));
        (output.status.code(), text(&output))
    };
    let flowers = file(
        "flowers.csv",
        "id,petal length,petal width,sepal length,sepal width\na,1.4,0.2,5.1,3.5\n\"b,c\",6.0,2.5,6.3,3.3\n",
    );
    let (code, said) = asked(&["predict", "iris", &flowers, "--keep", "id", "--probabilities"]);
    assert_eq!(code, Some(0), "{said}");
    let mut lines = said.lines();
    assert_eq!(
        lines.next().unwrap(),
        "id,prediction,probability:setosa,probability:versicolor,probability:virginica"
    );
    assert!(lines.next().unwrap().starts_with("a,setosa,0.9"), "{said}");
    assert!(lines.next().unwrap().starts_with("\"b,c\",virginica,"), "{said}");

    let (code, said) = asked(&["predict", "iris@stable", &flowers, "--output", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let rows: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((&rows[0]["line"], rows.len()), (&Value::from(2), 2));
    assert_eq!(rows[1]["said"][0]["prediction"], "virginica");

    let (code, said) = asked(&["model", "compare", "wine-quality"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("signature: same"), "{said}");
    let metrics = said.lines().filter(|line| line.starts_with("r2 ")).count();
    assert_eq!(metrics, 1, "{said}");
    let (code, said) = asked(&[
        "model", "compare", "iris", "stable", "stable", "--data", &flowers, "--by", "id",
    ]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 rows get another class"), "{said}");

    // Nothing stands below the names of columns: a file without rows is no fault.
    let empty = file("empty.csv", "petal length,petal width,sepal length,sepal width\n");
    assert_eq!(
        asked(&["predict", "iris", &empty]),
        (Some(0), "prediction\n".to_owned())
    );

    let refused = |arguments: &[&str]| {
        let (code, said) = asked(arguments);
        assert_eq!(code, Some(2), "{said}");
        said.replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    let short = file(
        "short.csv",
        "petal length,petal width,sepal length\n1.4,0.2,5.1\n",
    );
    let bad = file(
        "bad.csv",
        "petal length,petal width,sepal length,sepal width\n1.4,0.2,long,3.5\n",
    );
    expect![[r#"
        error: FOLDER/short.csv: there is no column "sepal width", which the model needs; the columns: petal length, petal width, sepal length
        hint: `aurora model show MODEL` names the columns that it takes
        error: FOLDER/bad.csv, line 2, column 3 (sepal length): "long" is not a number
        hint: `aurora model show MODEL` names the columns that it takes
        error: iris has no alias canary
        error: a version is named twice, by MODEL@REFERENCE and by --compare
        hint: give the model alone, and both versions by --compare
        error: v20261101-120000 gives no probabilities: it predicts numbers, or classes alone
        hint: leave out --probabilities
        error: the registry has no model gone
        hint: it has iris, wine-quality
        error: nowhere.csv (nowhere.csv): No such file or directory (os error 2)
        hint: `aurora model show MODEL` names the columns that it takes
        error: iris has no alias canary
    "#]].assert_eq(
        &[
            refused(&["predict", "iris", &short]),
            refused(&["predict", "iris", &bad]),
            refused(&["predict", "iris@canary", &flowers]),
            refused(&[
                "predict",
                "iris@stable",
                &flowers,
                "--compare",
                "stable",
                "canary",
            ]),
            refused(&["predict", "wine-quality", &flowers, "--probabilities"]),
            refused(&["predict", "gone", &flowers]),
            refused(&["predict", "iris", "nowhere.csv"]),
            refused(&["model", "compare", "iris"]),
        ]
        .concat(),
    );
}
