use std::sync::Weak;

use expect_test::{Expect, expect};

use super::*;
use crate::metrics::{Attempt, Outcome, Page, RETIRED_SERIES_KEPT, Routed};
use crate::testing::{V1, V2, artifact, linear, model, series, version, wine};

fn weight(percent: u64) -> Weight {
    Weight::try_from(percent).expect("a percent")
}

fn ask(runtime: &Runtime, version: Option<&str>, track: Option<Track>) -> Result<String, NoSlot> {
    let choice = Choice {
        version: version.map(str::to_owned),
        track,
    };
    let model = runtime.model("wine").expect("wine is known");
    let (loaded, routed) = model.route(&choice)?;
    let how = match routed {
        Routed::Split => "split",
        Routed::Explicit => "explicit",
    };
    Ok(format!(
        "{} {} {how}",
        loaded.slot.labels.track, loaded.version_text
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check(runtime: &Runtime, version: Option<&str>, track: Option<Track>, expected: Expect) {
    let shown = ask(runtime, version, track).unwrap_or_else(|reason| format!("refused: {reason}"));
    expected.assert_eq(&shown);
}

#[test]
fn what_is_loaded_alone_answers_whoever_names_no_track() {
    for (track, other) in [(Track::Stable, Track::Canary), (Track::Canary, Track::Stable)] {
        let runtime = Runtime::new(Metrics::new());
        runtime.load_alone(artifact("wine", V1, track, &linear(0.0)));
        let answers = |asked| ask(&runtime, None, asked);
        assert_eq!(answers(None), Ok(format!("{track} {V1} split")));
        assert_eq!(answers(Some(track)), Ok(format!("{track} {V1} explicit")));
        assert_eq!(answers(Some(other)), Err(NoSlot::Track(other)));
    }
}

#[test]
fn a_request_that_names_its_slot_gets_it_or_hears_why_not() {
    let runtime = wine();
    check(&runtime, None, None, expect!["stable v20260101-000000 split"]);
    check(
        &runtime,
        None,
        Some(Track::Stable),
        expect!["stable v20260101-000000 explicit"],
    );
    check(
        &runtime,
        None,
        Some(Track::Canary),
        expect!["canary v20260202-000000 explicit"],
    );
    check(
        &runtime,
        Some(V2),
        None,
        expect!["canary v20260202-000000 explicit"],
    );
    check(
        &runtime,
        Some(V2),
        Some(Track::Canary),
        expect!["canary v20260202-000000 explicit"],
    );
    check(
        &runtime,
        Some(V2),
        Some(Track::Stable),
        expect!["refused: aurora-track is stable, but version v20260202-000000 is loaded on canary"],
    );
    check(
        &runtime,
        Some("v1"),
        None,
        expect!["refused: version v1 is not loaded"],
    );
    runtime.unload(&model("wine"), Track::Canary);
    check(
        &runtime,
        None,
        Some(Track::Canary),
        expect!["refused: there is no canary track"],
    );
    check(
        &runtime,
        Some(V2),
        None,
        expect!["refused: version v20260202-000000 is not loaded"],
    );
    runtime.unload(&model("wine"), Track::Stable);
    check(&runtime, None, None, expect!["refused: no version is loaded yet"]);
}

#[test]
fn during_a_promotion_a_version_on_both_tracks_answers_as_either() {
    let runtime = wine();
    runtime.load(artifact("wine", V2, Track::Stable, &linear(1000.0)));
    check(
        &runtime,
        Some(V2),
        None,
        expect!["stable v20260202-000000 explicit"],
    );
    check(
        &runtime,
        Some(V2),
        Some(Track::Canary),
        expect!["canary v20260202-000000 explicit"],
    );
    check(
        &runtime,
        Some(V2),
        Some(Track::Stable),
        expect!["stable v20260202-000000 explicit"],
    );
}

#[test]
fn explicit_requests_do_not_advance_the_split() {
    let runtime = wine();
    runtime.set_weight(&model("wine"), weight(37));
    let mut canary = 0;
    for _ in 0..1000 {
        let answer = ask(&runtime, None, None).expect("served");
        canary += u64::from(answer.starts_with("canary"));
        for _ in 0..3 {
            ask(&runtime, Some(V2), None).expect("served");
            ask(&runtime, None, Some(Track::Stable)).expect("served");
            ask(&runtime, Some("v1"), None).expect_err("not loaded");
        }
    }
    assert!(canary.abs_diff(370) <= 2, "{canary}");
}

#[test]
fn the_weight_is_zero_without_a_canary_and_does_not_come_back_with_one() {
    let runtime = wine();
    let wine = model("wine");
    runtime.set_weight(&wine, weight(100));
    assert_eq!(runtime.tracks(&wine).weight, weight(100));
    runtime.unload(&wine, Track::Canary);
    assert_eq!(runtime.tracks(&wine).weight, Weight::ZERO);
    runtime.set_weight(&wine, weight(50));
    assert_eq!(runtime.tracks(&wine).weight, Weight::ZERO);
    runtime.load(artifact("wine", V2, Track::Canary, &linear(0.0)));
    check(&runtime, None, None, expect!["stable v20260101-000000 split"]);
}

#[test]
fn tracks_tell_what_serves() {
    let runtime = wine();
    let tracks = runtime.tracks(&model("wine"));
    let serving = |state: &TrackState| state.serving.as_ref().map(|pin| pin.version.clone());
    assert_eq!(serving(&tracks.track.stable), Some(version(V1)));
    assert_eq!(serving(&tracks.track.canary), Some(version(V2)));
    assert_eq!(runtime.tracks(&model("other")), Tracks::default());
    runtime.remove(&model("wine"));
    assert_eq!(runtime.tracks(&model("wine")), Tracks::default());
    assert!(runtime.model("wine").is_none());
}

#[test]
fn a_new_revision_loads_nothing_anew() {
    let runtime = wine();
    let slot = |runtime: &Runtime| {
        let snapshot = runtime.model("wine").expect("known").snapshot();
        let loaded = snapshot.stable.clone().expect("stable is loaded");
        (loaded.slot.clone(), loaded.headers["aurora-revision"].clone())
    };
    let (before, _) = slot(&runtime);
    let revision = "a".repeat(40).parse().expect("a revision");
    runtime.set_revision(&model("wine"), Track::Stable, &revision);
    let (after, shown) = slot(&runtime);
    assert!(Arc::ptr_eq(&before, &after));
    assert_eq!(shown, "a".repeat(40));
    let loaded =
        "aurora_inference_model_loaded{model=\"wine\",track=\"stable\",version=\"v20260101-000000\"}";
    assert_eq!(series(runtime.metrics(), loaded), 1);
}

#[test]
fn a_replaced_model_is_freed_by_the_sweep_once_no_request_holds_it() {
    let runtime = wine();
    let held = runtime.model("wine").expect("known").snapshot();
    let old: Weak<Loaded> = Arc::downgrade(held.stable.as_ref().expect("stable is loaded"));
    runtime.load(artifact("wine", V2, Track::Stable, &linear(1.0)));
    runtime.sweep(Instant::now());
    assert!(old.upgrade().is_some(), "a request still holds it");
    drop(held);
    assert!(old.upgrade().is_some(), "the request itself must not free it");
    runtime.sweep(Instant::now());
    assert!(old.upgrade().is_none());
}

#[test]
fn series_of_a_version_outlive_it_for_a_while_and_go_on_when_it_comes_back() {
    let runtime = wine();
    let metrics = runtime.metrics().clone();
    let shown = || {
        metrics
            .render(Page::Inference)
            .contains("version=\"v20260101-000000\"")
    };
    let now = Instant::now();
    let known = runtime.model("wine").expect("known");
    let (loaded, routed) = known.route(&Choice::default()).expect("served");
    Attempt::start(loaded.meters.clone(), routed, now).finish(Outcome::Ok, 200);
    runtime.load(artifact("wine", V2, Track::Stable, &linear(0.0)));
    runtime.sweep(now + RETIRED_SERIES_KEPT / 2);
    assert!(shown());
    // It is reverted to: nothing is removed however long it serves.
    runtime.load(artifact("wine", V1, Track::Stable, &linear(0.0)));
    runtime.sweep(now + RETIRED_SERIES_KEPT * 4);
    assert!(shown());
    runtime.unload(&model("wine"), Track::Stable);
    runtime.sweep(now + RETIRED_SERIES_KEPT * 2);
    assert!(!shown(), "{}", metrics.render(Page::Inference));
}

fn awaits(name: &str, track: Track, number: &str) -> Awaited {
    Awaited {
        model: model(name),
        track,
        version: version(number),
        training: false,
    }
}

#[test]
fn it_is_ready_once_what_is_expected_is_loaded_whichever_comes_first() {
    let runtime = Runtime::new(Metrics::new());
    let now = Instant::now();
    let stable = |name: &str, number: &str| runtime.load(artifact(name, number, Track::Stable, &linear(0.0)));
    stable("early", V1);
    let early = model("early");
    runtime.expect(&early, vec![awaits("early", Track::Stable, V1)]);
    runtime.expect(
        &model("late"),
        vec![
            awaits("late", Track::Stable, V1),
            awaits("late", Track::Canary, V2),
        ],
    );
    assert!(!runtime.ready(now), "no pass has said all");
    runtime.expected(now);
    stable("late", V1);
    assert!(!runtime.ready(now), "its canary is missing");
    stable("late", V2);
    assert!(!runtime.ready(now), "that is not its canary");
    runtime.load(artifact("late", V2, Track::Canary, &linear(0.0)));
    assert!(runtime.ready(now));
    runtime.expect(&model("new"), vec![awaits("new", Track::Stable, V1)]);
    assert!(runtime.ready(now), "latched");
    runtime.remove(&model("late"));
    assert!(runtime.ready(now), "another is loaded");
    runtime.unload(&early, Track::Stable);
    assert!(!runtime.ready(now), "nothing is loaded");
    stable("early", V1);
    assert!(runtime.ready(now));
    runtime.drain();
    assert!(!runtime.ready(now));
}

#[test]
fn no_load_is_lost_that_comes_while_it_is_expected() {
    for _ in 0..50 {
        let runtime = Runtime::new(Metrics::new());
        let artifacts: Vec<_> = (0..8)
            .map(|number| artifact(&format!("m{number}"), V1, Track::Stable, &linear(0.0)))
            .collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..8 {
                    let name = format!("m{number}");
                    runtime.expect(&model(&name), vec![awaits(&name, Track::Stable, V1)]);
                }
                runtime.expected(Instant::now());
            });
            for artifact in artifacts {
                runtime.load(artifact);
            }
        });
        assert!(runtime.ready(Instant::now()));
    }
}

#[test]
fn a_removed_model_leaves_no_series_behind() {
    let runtime = wine();
    let metrics = runtime.metrics().clone();
    let name = model("wine");
    let known = runtime.model("wine").expect("known");
    known.unrouted.count(415);
    let shown = || {
        metrics
            .render(Page::Inference)
            .lines()
            .filter(|line| line.contains("\"wine\""))
            .count()
    };
    // Each of two tracks: that it is loaded, what was started, and what failed in two ways.
    assert_eq!(shown(), 1 + 2 * 4);
    runtime.remove(&name);
    let now = Instant::now();
    assert_eq!(shown(), 1, "nothing is loaded, what happened is still to be seen");
    let next = runtime.sweep(now).expect("series are kept for a while");
    assert!(next <= now + RETIRED_SERIES_KEPT);
    assert_eq!(runtime.sweep(now + RETIRED_SERIES_KEPT), None);
    assert_eq!(shown(), 0);
    // It comes back and begins anew.
    runtime.load(artifact("wine", V1, Track::Stable, &linear(0.0)));
    assert_eq!(shown(), 4);
}

#[tokio::test]
async fn there_is_nothing_to_sweep_until_something_is_replaced() {
    let told = async |runtime: &Runtime| {
        let moment = Duration::from_millis(20);
        tokio::time::timeout(moment, runtime.retired()).await.is_ok()
    };
    let runtime = wine();
    assert!(!told(&runtime).await);
    assert_eq!(runtime.sweep(Instant::now()), None);
    runtime.load(artifact("wine", V2, Track::Stable, &linear(0.0)));
    assert!(told(&runtime).await);
    assert!(!told(&runtime).await, "told once");
}

#[test]
fn a_swap_is_never_seen_half() {
    let runtime = wine();
    let wine = model("wine");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..50 {
                runtime.load(artifact("wine", V2, Track::Stable, &linear(1.0)));
                runtime.set_weight(&wine, weight(50));
                runtime.unload(&wine, Track::Canary);
                runtime.load(artifact("wine", V1, Track::Stable, &linear(0.0)));
                runtime.load(artifact("wine", V2, Track::Canary, &linear(1.0)));
                runtime.sweep(Instant::now());
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let snapshot = runtime.model("wine").expect("known").snapshot();
            assert!(snapshot.stable.is_some());
            assert!(snapshot.canary.is_some() || snapshot.weight == Weight::ZERO);
            ask(&runtime, None, None).expect("served throughout");
        }
    });
}
