//! Every small case: all pins, tracks, failures and commands over three versions, each with what must hold.

use planner::deployment::{ResolvedDeployment, ResolvedPin};
use planner::names::Weight;
use planner::per_track::PerTrack;
use planner::rollout::{Capacity, Commands, Status, TrackState, Tracks};

use crate::support::{resolved, resolved_deployment, step as decide, time, weight};

fn specs() -> Vec<ResolvedDeployment> {
    let mut specs = vec![resolved_deployment(1, None)];
    for (canary, percent) in [(2, 0), (2, 10), (2, 100), (3, 10)] {
        specs.push(resolved_deployment(1, Some((canary, percent))));
    }
    let suspended = specs.iter().cloned().map(|mut spec| {
        spec.suspend = Some("audit".to_owned());
        spec
    });
    let suspended: Vec<_> = suspended.collect();
    specs.extend(suspended);
    specs
}

fn tracks() -> Vec<Tracks> {
    let servings = || [None, Some(1), Some(2), Some(3)].into_iter();
    let mut all = Vec::new();
    for (stable, canary) in servings().flat_map(|stable| servings().map(move |canary| (stable, canary))) {
        for (stable_failed, canary_failed) in [(false, false), (true, false), (false, true)] {
            for (percent, ready) in [(0, 20), (10, 20), (50, 20), (0, 1), (10, 1), (50, 1)] {
                // Replicas say nothing of loads.
                if ready == 1 && (stable_failed || canary_failed) {
                    continue;
                }
                let capacity = |ready| Capacity { wanted: 20, ready };
                let failed = |n| Some((resolved(n), "no such opset".to_owned()));
                let track = PerTrack {
                    stable: TrackState {
                        serving: stable.map(resolved),
                        unloadable: stable_failed.then(|| failed(1)).flatten(),
                        capacity: capacity(20),
                        ..TrackState::default()
                    },
                    canary: TrackState {
                        serving: canary.map(resolved),
                        unloadable: canary_failed.then(|| failed(2)).flatten(),
                        capacity: capacity(ready),
                        ..TrackState::default()
                    },
                };
                let weight = weight(percent);
                all.push(Tracks {
                    track,
                    weight,
                    ..Tracks::default()
                });
            }
        }
    }
    all
}

fn commands() -> Vec<Commands> {
    let abort = Some((resolved(2).digest, "ann: slow".to_owned()));
    let paused = Some("ann: lunch".to_owned());
    vec![
        Commands::default(),
        Commands {
            abort: abort.clone(),
            paused: None,
        },
        Commands {
            abort: None,
            paused: paused.clone(),
        },
        Commands { abort, paused },
    ]
}

fn check(
    spec: &ResolvedDeployment,
    commands: &Commands,
    tracks: &Tracks,
    before: Option<&Status>,
) -> (Status, Tracks) {
    let step = decide(Some(spec), commands, tracks, before, time(5));
    let case = || format!("{spec:?}\n{commands:?}\n{tracks:?}\n{before:?}\n{step:?}");

    let serving = tracks.track.canary.serving.as_ref();
    let is_promoted = serving.is_some_and(|pin| pin.digest == spec.stable.digest);
    let declared = spec
        .canary
        .as_ref()
        .filter(|canary| serving == Some(&canary.pin))
        .map(|canary| canary.weight);
    if step.weight > Weight::ZERO {
        assert!(serving.is_some(), "weight without a canary: {}", case());
        assert_eq!(
            step.goal.canary.as_ref(),
            serving,
            "weight on a canary that is to go: {}",
            case()
        );
        match declared {
            Some(declared) => assert!(step.weight <= declared, "above the declared weight: {}", case()),
            // A promotion, or what a suspension found: never more than it was.
            None => assert!(
                (is_promoted || spec.suspend.is_some()) && step.weight <= tracks.weight,
                "undeclared weight: {}",
                case()
            ),
        }
        let needed = (u32::from(step.weight.percent()) * tracks.track.stable.capacity.wanted).div_ceil(100);
        assert!(
            is_promoted && spec.suspend.is_none() || needed <= tracks.track.canary.capacity.ready,
            "more than its replicas carry: {}",
            case()
        );
        assert!(
            is_promoted || tracks.track.stable.serving.is_some(),
            "weight beside no stable: {}",
            case()
        );
        let aborted = commands.abort.as_ref().map(|(digest, _)| *digest);
        assert!(
            declared.is_none() || serving.map(|pin| pin.digest) != aborted,
            "aborted: {}",
            case()
        );
    }
    if before.is_none() && commands.paused.is_some() && spec.suspend.is_none() {
        assert!(step.weight <= tracks.weight, "raised in a pause: {}", case());
    }
    let wanted =
        |goal: &Option<ResolvedPin>, serving: &Option<ResolvedPin>| goal.is_some() || serving.is_none();
    assert!(
        wanted(&step.goal.stable, &tracks.track.stable.serving),
        "stable is emptied: {}",
        case()
    );

    // The same inputs give the same memory.
    let carried_out = Tracks {
        weight: step.weight,
        ..tracks.clone()
    };
    let again = decide(Some(spec), commands, &carried_out, Some(&step.status), time(5));
    assert_eq!(
        (&again.status, again.weight),
        (&step.status, step.weight),
        "it churns: {}",
        case()
    );
    (step.status, carried_out)
}

#[test]
fn every_case_and_every_commit_after_it() {
    for first in specs() {
        for commands in commands() {
            for tracks in tracks() {
                let (status, tracks) = check(&first, &commands, &tracks, None);
                for second in specs() {
                    check(&second, &commands, &tracks, Some(&status));
                }
                check(&first, &Commands::default(), &tracks, Some(&status));
                let removed = decide(None, &commands, &tracks, Some(&status), time(6));
                assert_eq!(
                    (removed.goal.stable, removed.goal.canary, removed.weight),
                    (None, None, Weight::ZERO)
                );
            }
        }
    }
}
