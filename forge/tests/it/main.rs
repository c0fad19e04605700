//! Against a stand-in for GitHub's API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge::{Comment, Commented, CommitState, ForgeRepository, GitHub, Reporter, Settings, State};
use planner::finding::Disposition;
use planner::names::{EnvironmentName, Revision};
use testkit::Refusal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use web::Client;

/// Far shorter than in use, and long enough to be seen.
const BETWEEN_WRITES: Duration = Duration::from_millis(40);

fn github(forge: &testkit::GitHub, token: &str) -> GitHub {
    let token = token.to_owned();
    GitHub::new(Settings {
        client: Client::new(web::Settings::default()).expect("a client"),
        repository: ForgeRepository::new(&forge.api(), "octo/models").expect("a repository"),
        token: Arc::new(move || Ok(token.clone())),
        now: Arc::new(|| 1_000),
        between_writes: BETWEEN_WRITES,
    })
}

fn revision(digit: char) -> Revision {
    digit.to_string().repeat(40).parse().expect("a revision")
}

fn state(digit: char, state: State, description: &str) -> CommitState {
    CommitState {
        revision: revision(digit),
        state,
        description: description.to_owned(),
    }
}

/// A reporter that runs until its states end.
struct Running {
    states: watch::Sender<Option<CommitState>>,
    task: JoinHandle<()>,
    counted: Arc<Mutex<Vec<&'static str>>>,
}

impl Running {
    fn start(forge: &testkit::GitHub) -> Self {
        let (states, received) = watch::channel(None);
        let counted: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let counting = counted.clone();
        let told = Arc::new(move |result| counting.lock().expect("no test panicked").push(result));
        let environment: EnvironmentName = "prod".parse().expect("a name");
        let reporter = Reporter::new(github(forge, forge.token()), environment, None, told);
        Self {
            states,
            task: tokio::spawn(reporter.run(received)),
            counted,
        }
    }

    /// Tells, and waits until so many attempts were made.
    async fn tell(&self, state: CommitState, attempts: usize) {
        self.states.send_replace(Some(state));
        let counted = || self.counted.lock().expect("no test panicked").len();
        let all = async {
            while counted() < attempts {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .expect("it is told");
    }

    async fn end(self) -> Vec<&'static str> {
        drop(self.states);
        self.task.await.expect("it ends by itself");
        self.counted.lock().expect("no test panicked").clone()
    }
}

#[tokio::test]
async fn a_commit_goes_from_pending_to_applied_and_a_restart_says_nothing_again() {
    let forge = testkit::GitHub::start().unwrap();
    let running = Running::start(&forge);
    running.tell(state('a', State::Pending, "being applied"), 1).await;
    running.tell(state('a', State::Success, "applied"), 2).await;
    assert_eq!(running.end().await, ["ok", "ok"]);
    let expected = ["aurora/prod pending being applied", "aurora/prod success applied"];
    assert_eq!(forge.statuses(revision('a').as_str()), expected);
    assert_eq!(forge.deployments(), [format!("prod {} success", revision('a'))]);
    let calls = forge.calls();
    let writes: Vec<_> = calls
        .iter()
        .filter(|(_, call)| !call.starts_with("GET "))
        .collect();
    assert!(
        writes
            .windows(2)
            .all(|pair| pair[1].0 - pair[0].0 >= BETWEEN_WRITES),
        "{writes:?}"
    );
    let writes = forge.writes();

    let restarted = Running::start(&forge);
    restarted.tell(state('a', State::Success, "applied"), 1).await;
    assert_eq!(forge.writes(), writes);
    restarted.tell(state('b', State::Success, "applied"), 2).await;
    restarted.end().await;
    // In production's environment too, where the forge retires nothing by itself.
    let expected = [
        format!("prod {} inactive", revision('a')),
        format!("prod {} success", revision('b')),
    ];
    assert_eq!(forge.deployments(), expected);
}

#[tokio::test]
async fn a_refused_commit_fails_with_its_finding_and_is_no_deployment() {
    let forge = testkit::GitHub::start().unwrap();
    let running = Running::start(&forge);
    running
        .tell(state('a', State::Failure, "VersionMissing: there is none"), 1)
        .await;
    running.end().await;
    assert_eq!(
        forge.statuses(revision('a').as_str()),
        ["aurora/prod failure VersionMissing: there is none"]
    );
    assert_eq!(forge.deployments(), [""; 0]);
}

#[tokio::test]
async fn a_commit_that_is_overtaken_does_not_stay_pending() {
    let forge = testkit::GitHub::start().unwrap();
    let running = Running::start(&forge);
    running.tell(state('a', State::Pending, "being applied"), 1).await;
    running.tell(state('b', State::Success, "applied"), 2).await;
    running.end().await;
    let expected = [
        "aurora/prod pending being applied".to_owned(),
        format!(
            "aurora/prod error overtaken by {} before it was applied",
            revision('b').short()
        ),
    ];
    assert_eq!(forge.statuses(revision('a').as_str()), expected);
}

#[tokio::test]
async fn a_forge_that_is_away_is_told_the_newest_when_it_is_back() {
    let forge = testkit::GitHub::start().unwrap();
    let away = |code| Refusal {
        code,
        headers: Vec::new(),
    };
    forge.refuse([away(0), away(502)]);
    let running = Running::start(&forge);
    running.tell(state('a', State::Pending, "being applied"), 1).await;
    running.tell(state('b', State::Pending, "being applied"), 1).await;
    running.tell(state('c', State::Success, "applied"), 3).await;
    assert_eq!(running.end().await, ["failed", "failed", "ok"]);
    for overtaken in ['a', 'b'] {
        assert_eq!(forge.statuses(revision(overtaken).as_str()), [""; 0]);
    }
    assert_eq!(
        forge.statuses(revision('c').as_str()),
        ["aurora/prod success applied"]
    );
}

#[tokio::test]
async fn the_statuses_of_others_are_read_past_their_first_page() {
    let forge = testkit::GitHub::start().unwrap();
    let github = github(&forge, forge.token());
    let told = state('a', State::Success, "applied");
    github.set_status("aurora/prod", &told, None).await.unwrap();
    for other in 0..130 {
        let status = CommitState {
            description: other.to_string(),
            ..told.clone()
        };
        // Not a second apart: these are the test's.
        forge_status(&forge, &status).await;
    }
    let before = forge.writes().len();
    github.set_status("aurora/prod", &told, None).await.unwrap();
    assert_eq!(forge.writes().len(), before);
}

/// Lets another one set a status.
async fn forge_status(forge: &testkit::GitHub, told: &CommitState) {
    let other = GitHub::new(Settings {
        client: Client::new(web::Settings::default()).expect("a client"),
        repository: ForgeRepository::new(&forge.api(), "octo/models").expect("a repository"),
        token: {
            let token = forge.token();
            Arc::new(move || Ok(token.to_owned()))
        },
        now: Arc::new(|| 0),
        between_writes: Duration::ZERO,
    });
    let context = format!("other/{}", told.description);
    other.set_status(&context, told, None).await.expect("it is set");
}

#[tokio::test]
async fn limits_and_refusals_say_when_to_ask_again() {
    let cases = [
        (403, vec!["retry-after: 7"], Disposition::Transient, 7),
        (429, vec![], Disposition::Transient, 60),
        (
            403,
            vec!["x-ratelimit-remaining: 0", "x-ratelimit-reset: 1090"],
            Disposition::Transient,
            90,
        ),
        (
            403,
            vec!["x-ratelimit-remaining: 0", "x-ratelimit-reset: 999999"],
            Disposition::Transient,
            3600,
        ),
        (403, vec!["x-ratelimit-remaining: 12"], Disposition::Invalid, 600),
        (404, vec![], Disposition::Invalid, 600),
        (422, vec![], Disposition::Invalid, 600),
        (503, vec!["retry-after: 30"], Disposition::Transient, 30),
        (500, vec![], Disposition::Transient, 1),
        (0, vec![], Disposition::Transient, 1),
    ];
    let forge = testkit::GitHub::start().unwrap();
    for (code, headers, disposition, rest) in cases {
        let headers: Vec<String> = headers.into_iter().map(str::to_owned).collect();
        forge.refuse([Refusal {
            code,
            headers: headers.clone(),
        }]);
        let told = state('a', State::Pending, "being applied");
        let error = github(&forge, forge.token())
            .set_status("aurora/prod", &told, None)
            .await
            .unwrap_err();
        let found = (error.disposition(), error.rest(0).as_secs());
        assert_eq!(found, (disposition, rest), "{code} {headers:?}: {error}");
    }
    let error = github(&forge, "s3cret")
        .set_status("aurora/prod", &state('a', State::Pending, ""), None)
        .await
        .unwrap_err();
    assert_eq!(error.disposition(), Disposition::Invalid);
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_pull_request_has_one_comment_that_says_the_newest() {
    const MARKER: &str = "<!-- aurora plan prod -->";
    let forge = testkit::GitHub::start().unwrap();
    let github = github(&forge, forge.token());
    let (first, second) = (revision('a'), revision('b'));
    forge.open(7, first.as_str());
    // Somebody writes what only we should, and many write much.
    forge.comment(7, "mallory", &format!("{MARKER}\nno change"));
    for other in 0..120 {
        forge.comment(7, "ann", &other.to_string());
    }
    let say = async |head: &Revision, body: &str| {
        let author = "github-actions[bot]";
        let comment = Comment {
            pull: 7,
            head,
            marker: MARKER,
            author,
            body,
        };
        github.comment(&comment).await.unwrap()
    };
    assert_eq!(say(&first, "one").await, Commented::Made);
    assert_eq!(say(&first, "one").await, Commented::Same);
    assert_eq!(say(&first, "two").await, Commented::Updated);
    forge.open(7, second.as_str());
    // A job of the commit before ends late.
    assert_eq!(say(&first, "three").await, Commented::Outdated);
    // Two jobs that found none made one each.
    forge.comment(7, "github-actions[bot]", &format!("{MARKER}\ntwo of it"));
    assert_eq!(say(&second, "four").await, Commented::Updated);
    let comments = forge.comments(7);
    assert_eq!(comments.len(), 122);
    assert_eq!(comments[0], format!("mallory: {MARKER}\nno change"));
    assert_eq!(comments[121], format!("github-actions[bot]: {MARKER}\nfour"));
    assert_eq!(say(&second, &"long\n".repeat(20_000)).await, Commented::Updated);
}
