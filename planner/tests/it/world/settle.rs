//! Nothing goes wrong any more: everything must come to rest where Git says.

use planner::desired::Completeness;
use planner::finding::{Reason, Subject};
use planner::names::{ModelName, Track, Weight};
use planner::object::ObjectId;
use planner::observed::ObservedAlias;
use planner::plan::{Plan, Waiting, plan};
use planner::rollout::State;

use super::machine::Ending;
use super::{MODELS, World};
use crate::support::model;

impl World {
    /// Lets everything work, and time pass, until nothing changes.
    pub(super) fn settle(&mut self) {
        for turn in 0..60 {
            let before = format!("{:?}{:?}", self.truth, self.slots);
            let plan = plan(&self.head, &self.truth, self.now);
            self.check_plan(&plan, &self.truth);
            for action in plan.actions {
                self.act(action);
            }
            for name in MODELS {
                let model = model(name);
                self.operate(&model);
                self.load(&model, Track::Stable);
                self.load(&model, Track::Canary);
                let slots = self.slots.get_mut(&model).unwrap();
                if slots.is_cluster() {
                    slots.canary_ready(u32::MAX);
                }
            }
            let is_busy = self.train();
            self.end_runs(Ending::Published);
            let is_at_rest = !is_busy && before == format!("{:?}{:?}", self.truth, self.slots);
            // What waits for a back-off is at rest before time has passed.
            if is_at_rest && turn > 0 {
                return self.check_rest();
            }
            // Longer than any back-off.
            self.now += chrono::Duration::seconds(601);
        }
        // Attempts at what does not load go on for ever; all else must have come to rest.
        let is_attempted = self.truth.deployments.values().any(|deployment| {
            let status = deployment.status.as_ref();
            status.is_some_and(|status| status.retry.stable.is_some() || status.retry.canary.is_some())
        });
        let plan = plan(&self.head, &self.truth, self.now);
        assert!(is_attempted, "it does not come to rest:\n{plan}\n{self:#?}");
        self.check_rest();
    }

    fn check_rest(&self) {
        let plan = plan(&self.head, &self.truth, self.now);
        assert!(
            plan.actions.is_empty(),
            "a converged world is not planned to change:\n{plan}"
        );
        if self.head.environment.suspend.is_some() {
            return;
        }
        self.check_waits(&plan);
        for name in MODELS {
            self.check_model(&model(name), &plan);
        }
    }

    /// Nothing waits for what will not come: for a model that another object has, only while not all files can be read,
    /// to leave one, only while that is refused besides, and for a track, only while a finding says what keeps it.
    fn check_waits(&self, plan: &Plan) {
        let is_partial = self.head.completeness == Completeness::Partial;
        let is_refused = plan
            .findings
            .iter()
            .any(|finding| finding.reason == Reason::RemovalRefused);
        for waiting in &plan.waiting {
            let is_justified = match waiting {
                Waiting::ForModel { .. } => is_partial,
                Waiting::ToLeave { .. } => is_partial || is_refused,
                Waiting::ForTrack { .. } => {
                    let subject = Subject::from(ObjectId::deployment(waiting.deployment()));
                    plan.findings.iter().any(|finding| finding.subject == subject)
                }
                Waiting::ForVersion { .. } | Waiting::ForImport { .. } | Waiting::ForTime { .. } => false,
            };
            assert!(is_justified, "waits for ever: {waiting}:\n{plan}");
        }
        // Whatever is wrong with a manifest, its model's object has its name.
        for (name, declared) in self.head.deployments.iter().filter(|_| !is_partial) {
            let holders = self.objects_of(&declared.spec.model);
            assert!(
                holders.iter().all(|holder| holder == name),
                "{holders:?} of {name}:\n{plan}"
            );
        }
    }

    fn check_model(&self, model: &ModelName, plan: &Plan) {
        let tracks = &self.slots[model].tracks;
        let declared = self
            .head
            .deployments
            .iter()
            .find(|(_, declared)| declared.spec.model == *model);
        let Some((name, declared)) = declared else {
            let refused = plan
                .findings
                .iter()
                .any(|finding| finding.reason == Reason::RemovalRefused);
            // An object whose manifest turned to another model, and is stopped, stays.
            let held = self.objects_of(model);
            let is_held = held.iter().any(|name| self.head.deployments.contains_key(name));
            if self.head.completeness == Completeness::Complete && !refused && !is_held {
                assert_eq!(held, [], "{model} was removed");
                assert_eq!(tracks.weight, Weight::ZERO);
                assert_eq!(
                    (&tracks.track.stable.serving, &tracks.track.canary.serving),
                    (&None, &None)
                );
                assert_eq!(self.left.get(model), None, "{model} was forgotten");
            }
            return;
        };
        let subject = Subject::from(ObjectId::deployment(name));
        let is_stopped = plan.findings.iter().any(|finding| finding.subject == subject);
        let waits = plan.waiting.iter().any(|waiting| waiting.deployment() == name);
        // A rename that was cut short: the old object stays while not all files can be read.
        let is_shared = self.objects_of(model).len() > 1;
        if is_stopped || waits || is_shared || declared.spec.suspend.is_some() {
            return;
        }
        let deployment = &self.truth.deployments[name];
        let case = || format!("{model}: {deployment:#?}\n{tracks:#?}\n{plan}");
        let spec = &deployment.object.spec;
        assert_eq!(spec.stable.version, declared.spec.stable.version, "{}", case());
        assert_eq!(
            tracks.track.stable.serving.as_ref(),
            Some(&spec.stable),
            "{}",
            case()
        );
        let aliases = &self.truth.models[model].aliases;
        let names = |version| Some(ObservedAlias::To(version));
        assert_eq!(
            aliases.get(&Track::Stable).cloned(),
            names(spec.stable.version.clone()),
            "{}",
            case()
        );

        let pins = spec
            .canary
            .as_ref()
            .map(|canary| (&canary.pin.version, canary.weight));
        let wanted = declared
            .spec
            .canary
            .as_ref()
            .map(|canary| (&canary.pin.version, canary.weight));
        assert_eq!(pins, wanted, "{}", case());
        let status = deployment.status.as_ref().unwrap();
        let Some(canary) = &spec.canary else {
            assert_eq!(
                (&tracks.track.canary.serving, tracks.weight),
                (&None, Weight::ZERO),
                "{}",
                case()
            );
            assert_eq!(aliases.get(&Track::Canary), None, "{}", case());
            return;
        };
        if deployment.object.abort.is_some() {
            assert!(matches!(status.state, State::Aborted { .. }), "{}", case());
            assert_eq!(tracks.weight, Weight::ZERO, "{}", case());
            return;
        }
        let is_forgotten = self.aborted.get(model) == Some(&canary.pin.digest);
        assert!(!is_forgotten, "an abort was forgotten: {}", case());
        assert_eq!(
            tracks.track.canary.serving.as_ref(),
            Some(&canary.pin),
            "{}",
            case()
        );
        assert_eq!(
            aliases.get(&Track::Canary).cloned(),
            names(canary.pin.version.clone()),
            "{}",
            case()
        );
        if self.commands[model].paused.is_some() {
            assert!(tracks.weight <= canary.weight, "{}", case());
        } else {
            assert_eq!(tracks.weight, canary.weight, "{}", case());
            assert_eq!(status.state, State::Idle, "{}", case());
        }
    }
}
