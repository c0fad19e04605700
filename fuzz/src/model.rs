//! An ONNX file of any team's, as the engine reads it.

use engine::{Buffer, Limits, Program, Scratch, Symbol, Type};

/// What is read is answered, each row as it is alone, within what was said that it costs.
pub(crate) fn take(bytes: &[u8]) {
    let limits = Limits {
        constants_max: 1 << 20,
        row_bytes_max: 1 << 20,
        row_work_max: 1 << 22,
        ..Limits::default()
    };
    let Ok(program) = Program::read(bytes, &limits) else {
        return;
    };
    let mut scratch = Scratch::default();
    let mut answers = |rows: usize, from: usize| {
        let inputs: Vec<Buffer> = program
            .inputs()
            .iter()
            .map(|tensor| fill(tensor.element, from * tensor.width(), rows * tensor.width()))
            .collect();
        program.run(&mut scratch, &inputs, rows)
    };
    let all = match answers(ROWS, 0) {
        Ok(all) => all,
        Err(refused) => {
            assert!(answers(1, refused.row).is_err(), "{refused}");
            return;
        }
    };
    for row in 0..ROWS {
        let alone = answers(1, row).expect("it has an answer among others");
        for ((tensor, all), alone) in program.outputs().iter().zip(&all).zip(&alone) {
            let width = tensor.width();
            assert_eq!(all.len(), width * ROWS, "{tensor:?}");
            let among = &bits(all)[row * width..(row + 1) * width];
            assert_eq!(among, bits(alone), "row {row} of {tensor:?}");
        }
    }
}

const ROWS: usize = 10;

/// Returns what a request may bring: `count` entries from one on.
fn fill(element: Type, from: usize, count: usize) -> Buffer {
    const NUMBERS: [f64; 7] = [0.5, -3.0, f64::NAN, 1e300, f64::NEG_INFINITY, 0.0, 2.0];
    let numbers = (from..from + count).map(|at| NUMBERS[at % NUMBERS.len()]);
    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    match element {
        Type::F32 => Buffer::F32(numbers.map(|number| number as f32).collect()),
        Type::F64 => Buffer::F64(numbers.collect()),
        Type::I64 => Buffer::I64(numbers.map(|number| number as i64).collect()),
        Type::I32 => Buffer::I32(numbers.map(|number| number as i32).collect()),
        Type::Bool => Buffer::Bool(numbers.map(|number| number > 0.0).collect()),
        Type::Text => Buffer::Text(vec![Symbol::UNKNOWN; count]),
    }
}

/// NaN is one of the numbers here, whatever its sign: which of two is kept, the order of operands says.
fn bits(buffer: &Buffer) -> Vec<u64> {
    let of_double = |number: f64| if number.is_nan() { f64::NAN } else { number }.to_bits();
    match buffer {
        Buffer::F32(numbers) => numbers.iter().map(|number| of_double((*number).into())).collect(),
        Buffer::F64(numbers) => numbers.iter().map(|number| of_double(*number)).collect(),
        Buffer::I64(numbers) => numbers.iter().map(|number| number.cast_unsigned()).collect(),
        Buffer::I32(numbers) => numbers
            .iter()
            .map(|number| u64::from(number.cast_unsigned()))
            .collect(),
        Buffer::Bool(truths) => truths.iter().map(|truth| u64::from(*truth)).collect(),
        Buffer::Text(texts) => texts
            .iter()
            .map(|text| u64::from(*text != Symbol::UNKNOWN))
            .collect(),
    }
}
