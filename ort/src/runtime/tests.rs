//! What is believed of the other process.

use std::io::Cursor;

use expect_test::{Expect, expect};

use super::*;
use crate::protocol::{Answer, MESSAGE_BYTES_MAX, Question, receive, send, send_model};

fn outlet(datatype: &str, lengths: &[u64]) -> Outlet {
    Outlet {
        name: "x".to_owned(),
        datatype: datatype.to_owned(),
        lengths: lengths.to_vec(),
        ..Outlet::default()
    }
}

fn said(inputs: Vec<Outlet>, outputs: Vec<Outlet>) -> String {
    match Outlets::read(Loaded { inputs, outputs }) {
        Ok(Outlets { inputs, outputs }) => {
            let shown = |tensor: &Tensor| format!("{} {:?}", tensor.element, tensor.shape);
            let all: Vec<String> = inputs.iter().chain(&outputs).map(shown).collect();
            all.join(", ")
        }
        Err(why) => why,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check_output(output: Outlet, expected: Expect) {
    expected.assert_eq(&said(vec![outlet("FP32", &[2])], vec![output]));
}

#[test]
fn what_is_said_of_a_model_is_held_within_bounds() {
    check_output(
        outlet("FP32", &[3]),
        expect!["FP32 [Rows(1), Fixed(2)], FP32 [Rows(1), Fixed(3)]"],
    );
    check_output(
        outlet("BYTES", &[]),
        expect!["FP32 [Rows(1), Fixed(2)], BYTES [Rows(1)]"],
    );
    check_output(
        outlet("FP16", &[3]),
        expect![[r#""x" is of the type "FP16", which is not evaluated"#]],
    );
    check_output(
        outlet("FP32", &[0]),
        expect![[r#""x" has 0 values a row, of 1 to 1048576"#]],
    );
    check_output(
        outlet("FP32", &[u64::MAX, 2]),
        expect![[r#""x" has 18446744073709551615 values a row, of 1 to 1048576"#]],
    );
    let labelled = Outlet {
        words: vec!["no".to_owned(), "yes".to_owned()],
        ..outlet("FP32", &[3])
    };
    check_output(labelled, expect![[r#""x" has 3 columns and 2 labels"#]]);
    expect!["it has 0 outputs, of 1 to 1024"].assert_eq(&said(vec![outlet("FP32", &[2])], Vec::new()));
    expect!["it has 1025 inputs, of 1 to 1024"]
        .assert_eq(&said(vec![outlet("FP32", &[2]); 1025], Vec::new()));
    let wide = vec![outlet("FP32", &[1 << 20]); 2];
    expect!["its inputs have 2097152 values a row, of at most 1048576"].assert_eq(&said(wide, Vec::new()));
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check_answer(outputs: Vec<Values>, expected: Expect) {
    let outlets = Outlets::read(Loaded {
        inputs: vec![outlet("FP32", &[2])],
        outputs: vec![outlet("FP32", &[2]), outlet("BYTES", &[])],
    })
    .unwrap();
    let mut answers: Vec<Buffer> = outlets
        .outputs
        .iter()
        .map(|tensor| none(tensor.element))
        .collect();
    let mut symbols = Symbols::default();
    let said = match append(&outlets.outputs, &mut answers, Ran { outputs }, 1, &mut symbols) {
        Ok(()) => {
            let Buffer::Text(labels) = &answers[1] else {
                panic!("texts");
            };
            let labels = labels.iter().map(|label| symbols.text(*label));
            let labels: Vec<_> = labels
                .map(|label| String::from_utf8_lossy(label.unwrap()))
                .collect();
            format!("{:?} {labels:?}", answers[0])
        }
        Err(why) => why,
    };
    expected.assert_eq(&said);
}

#[test]
fn an_answer_is_as_the_model_was_said_to_give_it() {
    let numbers = |numbers: &[f32]| Values {
        numbers: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        ..Values::default()
    };
    let text = |known: &str, place: u32| Values {
        texts: vec![place],
        known: vec![known.as_bytes().to_vec()],
        ..Values::default()
    };
    let fine = || numbers(&[1.0, 2.0]);
    check_answer(
        vec![fine(), text("yes", 0)],
        expect![[r#"F32([1.0, 2.0]) ["yes"]"#]],
    );
    check_answer(vec![fine()], expect!["1 outputs, and the model has 2"]);
    check_answer(
        vec![numbers(&[1.0]), text("yes", 0)],
        expect![[r#"1 elements of output "x", of 2"#]],
    );
    check_answer(
        vec![numbers(&[1.0; 3]), text("yes", 0)],
        expect![[r#"3 elements of output "x", of 2"#]],
    );
    let torn = Values {
        numbers: vec![0; 7],
        ..Values::default()
    };
    check_answer(
        vec![torn, text("yes", 0)],
        expect!["7 bytes, of which 4 are an element"],
    );
    check_answer(vec![fine(), text("yes", 1)], expect!["a text that is not there"]);
    check_answer(
        vec![fine(), text(&"y".repeat(1025), 0)],
        expect!["a text of 1025 bytes, of at most 1024"],
    );
    check_answer(
        vec![fine(), Values::default()],
        expect![[r#"0 elements of output "x", of 1"#]],
    );
}

#[test]
fn what_is_announced_is_not_believed() {
    let read = |bytes: &[u8]| match receive::<Answer>(&mut Cursor::new(bytes)) {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.to_string(),
    };
    expect!["None"].assert_eq(&read(&[]));
    expect!["unexpected end of file"].assert_eq(&read(&[1, 0]));
    expect!["unexpected end of file"].assert_eq(&read(&[0, 0, 0, 16, 1]));
    expect!["a message of 4294967295 bytes, of at most 268500992"].assert_eq(&read(&[255; 4]));
    assert!(
        read(&[1, 0, 0, 0, 255]).starts_with("no message"),
        "{}",
        read(&[1, 0, 0, 0, 255])
    );
    // A model is sent as if it were any question.
    let (mut sent, mut same) = (Vec::new(), Vec::new());
    send_model(&mut sent, b"model").unwrap();
    let question = Question {
        ask: Some(Ask::Load(b"model".to_vec())),
    };
    send(&mut same, &question).unwrap();
    assert_eq!(sent, same);
    let mut sent = Vec::new();
    assert!(send_model(&mut sent, &vec![0; MESSAGE_BYTES_MAX]).is_err() && sent.is_empty());
    let too_long = Question {
        ask: Some(Ask::Load(vec![0; MESSAGE_BYTES_MAX])),
    };
    assert!(send(&mut sent, &too_long).is_err() && sent.is_empty());
}

#[test]
fn who_ends_again_and_again_is_started_ever_later() {
    let pauses: Vec<u64> = [0, 1, 2, 3, 4, 8, 9, 100, u32::MAX]
        .map(|failures| pause(failures).as_secs())
        .to_vec();
    assert_eq!(pauses, [0, 0, 1, 2, 4, 60, 60, 60, 60]);
}
