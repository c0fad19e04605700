use expect_test::expect;

use super::*;

fn measured(models: usize, values: &[(Quantity, &[f64])]) -> Measured {
    let mut measured = Measured::new(models);
    for (quantity, values) in values {
        for value in *values {
            measured.add(*quantity, *value);
        }
    }
    measured
}

#[test]
fn each_size_is_held_against_what_is_promised_of_it() {
    let check = |quantity: Quantity, models: usize, expect: Limit| {
        assert_eq!(quantity.limit(models), expect, "{quantity:?} of {models}");
    };
    check(Quantity::Resident, 100, Limit::MedianAtMost(60.0));
    check(Quantity::Resident, 1_000, Limit::MedianAtMost(60.0));
    check(Quantity::Resident, 1_001, Limit::MedianAtMost(500.0));
    check(Quantity::Resident, 10_000, Limit::MedianAtMost(500.0));
    check(Quantity::Resident, 10_001, Limit::None);
    check(Quantity::Convergence, 1_000, Limit::MedianAtMost(20.0));
    check(Quantity::Convergence, 10_000, Limit::None);
    check(Quantity::RestartFirst, 1_000, Limit::MedianAtMost(1.0));
    check(Quantity::RestartFirst, 10_000, Limit::MedianAtMost(10.0));
    check(Quantity::Rest, 10_000, Limit::MedianAtMost(1.0));
    check(Quantity::Metrics, 100, Limit::None);
}

#[test]
fn a_report_names_sizes_limits_and_growth() {
    let sizes = [
        measured(
            100,
            &[
                (Quantity::Commit, &[4.0, 5.0, 90.0]),
                (Quantity::Convergence, &[2.0]),
                (Quantity::Rest, &[0.0]),
            ],
        ),
        measured(
            1_000,
            &[
                (Quantity::Commit, &[9.0, 10.0, 11.0]),
                (Quantity::Convergence, &[25.0]),
                (Quantity::Rest, &[0.5]),
            ],
        ),
        measured(
            10_000,
            &[
                (Quantity::Commit, &[30.0]),
                (Quantity::Adoption, &[7.0]),
                (Quantity::Rest, &[0.75]),
            ],
        ),
    ];
    let report = report(&sizes);
    assert!(!report.holds());
    expect![[r#"
        benchmark scale                                                   median           maximum  limit
        100 models: cold convergence                                         2 s               2 s  median <= 20 s  holds
        100 models: at rest                                        0 % of a core     0 % of a core  median <= 1 % of a core  holds
        100 models: processor of a one-weight commit                        5 ms             90 ms  median <= 100 ms  holds
        1,000 models: cold convergence                                      25 s              25 s  median <= 20 s  FALLS SHORT
        1,000 models: at rest                                    0.5 % of a core   0.5 % of a core  median <= 1 % of a core  holds
        1,000 models: processor of a one-weight commit                     10 ms             11 ms  median <= 100 ms  holds
        10,000 models: first start, all versions there                       7 s               7 s
        10,000 models: at rest                                  0.75 % of a core  0.75 % of a core  median <= 1 % of a core  holds
        10,000 models: processor of a one-weight commit                    30 ms             30 ms  median <= 100 ms  holds
        1,000 models: a commit's processor, times that of 100                  2                 2  median <= 2  holds
        10,000 models: a commit's processor, times that of 100                 6                 6  median <= 2  FALLS SHORT
        growth of the medians, 100 -> 1,000 -> 10,000 models:
          cold convergence                      x 12.5       -
          first start, all versions there            -       -
          at rest                                    -   x 1.5
          processor of a one-weight commit       x 2.0   x 3.0
    "#]]
    .assert_eq(&report.to_string());
}

#[test]
fn a_ratio_that_cannot_be_computed_does_not_hold() {
    let sizes = [measured(100, &[]), measured(1_000, &[(Quantity::Commit, &[5.0])])];
    assert!(!report(&sizes).holds());
    assert!(report(&sizes[1..]).holds());
}

#[test]
fn numbers_are_grouped_by_thousands() {
    for (number, text) in [
        (0, "0"),
        (100, "100"),
        (1_000, "1,000"),
        (10_000, "10,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(grouped(number), text);
    }
}
