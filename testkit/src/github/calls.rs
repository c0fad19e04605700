//! What one repository keeps: statuses, deployments, the comments and heads of pull requests, releases.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Call;
use super::answer::Answer;

/// The longest description of a status, in characters.
const DESCRIPTION_MAX: usize = 140;

/// The longest comment, in characters.
const COMMENT_MAX: usize = 65_536;
/// Who a job's token is.
const AUTHOR: &str = "github-actions[bot]";

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// Of all commits, oldest first, each with its `sha`.
    statuses: Vec<Value>,
    deployments: Vec<Value>,
    /// Each with its `deployment`.
    deployment_statuses: Vec<Value>,
    /// Each with its `pull`.
    comments: Vec<Value>,
    /// How many comments there ever were.
    commented: u64,
    heads: BTreeMap<String, String>,
    /// Pull requests that were opened by a call.
    proposed: Vec<Value>,
    releases: Vec<Value>,
    /// By release and name.
    files: BTreeMap<(String, String), Vec<u8>>,
}

impl Repository {
    pub(super) fn answer(&mut self, call: &Call, api: &str) -> Answer {
        if !call.is_known {
            return Answer::problem(401, "Bad credentials");
        }
        if call.path == "/api/v3/repos/octo/models" {
            return Answer::of(
                200,
                json!({ "full_name": "octo/models", "default_branch": "main" }),
            );
        }
        let Some(below) = call.path.strip_prefix("/api/v3/repos/octo/models/") else {
            return Answer::problem(404, "Not Found");
        };
        let parts: Vec<&str> = below.split('/').collect();
        match (call.method.as_str(), &parts[..]) {
            ("GET", ["commits", sha, "statuses"]) => {
                Answer::page(call, api, newest(&self.statuses, "sha", &json!(sha)))
            }
            ("POST", ["statuses", sha]) => {
                let mut status = call.body.clone();
                if is_long(&status) {
                    return Answer::problem(422, "description is too long (maximum is 140 characters)");
                }
                status["sha"] = json!(sha);
                push(&mut self.statuses, status)
            }
            ("GET", ["deployments"]) => {
                let of = |name: &str| {
                    let mut parameters = call
                        .query
                        .split('&')
                        .filter_map(|parameter| parameter.split_once('='));
                    parameters
                        .find(|(known, _)| *known == name)
                        .map(|(_, value)| json!(value))
                };
                let asked = ["environment", "task"].map(|name| (name, of(name)));
                let mut found = self.deployments.clone();
                found.retain(|kept| {
                    asked
                        .iter()
                        .all(|(name, value)| value.as_ref().is_none_or(|value| kept[*name] == *value))
                });
                found.reverse();
                Answer::page(call, api, found)
            }
            ("POST", ["deployments"]) => {
                let mut deployment = call.body.clone();
                // What a repository with checks and a moved branch would answer, were it not asked for neither.
                if deployment["auto_merge"] != json!(false) || deployment["required_contexts"] != json!([]) {
                    return Answer::problem(409, "Conflict");
                }
                deployment["sha"] = deployment["ref"].clone();
                push(&mut self.deployments, deployment)
            }
            ("GET", ["deployments", id, "statuses"]) => Answer::page(
                call,
                api,
                newest(&self.deployment_statuses, "deployment", &json!(id)),
            ),
            ("POST", ["deployments", id, "statuses"]) => {
                let mut status = call.body.clone();
                status["deployment"] = json!(id);
                push(&mut self.deployment_statuses, status)
            }
            _ => self.answer_of_pulls(call, api, &parts),
        }
    }

    fn answer_of_pulls(&mut self, call: &Call, api: &str, parts: &[&str]) -> Answer {
        match (call.method.as_str(), parts) {
            ("GET", ["pulls", number]) => match self.heads.get(*number) {
                Some(head) => Answer::of(200, json!({ "number": number, "head": { "sha": head } })),
                None => Answer::problem(404, "Not Found"),
            },
            ("GET", ["pulls"]) => {
                let mut found = self.proposed.clone();
                let head = call
                    .query
                    .split('&')
                    .find_map(|part| part.strip_prefix("head=octo:"));
                found.retain(|pull| head.is_none_or(|head| pull["head"]["ref"] == head));
                Answer::page(call, api, found)
            }
            ("POST", ["pulls"]) => {
                let number = self.proposed.len() + 1;
                let mut pull = call.body.clone();
                for side in ["head", "base"] {
                    pull[side] = json!({ "ref": call.body[side] });
                }
                pull["number"] = json!(number);
                pull["html_url"] = json!(format!("https://forge.example/octo/models/pull/{number}"));
                push(&mut self.proposed, pull)
            }
            ("PATCH", ["pulls", number]) => {
                let mut known = self.proposed.iter_mut();
                known.find(|pull| number_of(pull) == *number).map_or_else(
                    || Answer::problem(404, "Not Found"),
                    |pull| {
                        for name in ["title", "body"] {
                            pull[name] = call.body[name].clone();
                        }
                        Answer::of(200, pull.clone())
                    },
                )
            }
            ("GET", ["issues", number, "comments"]) => {
                let mut found = newest(&self.comments, "pull", &json!(number));
                found.reverse();
                Answer::page(call, api, found)
            }
            ("POST", ["issues", number, "comments"]) => {
                let text = call.body["body"].as_str().unwrap_or_default();
                if text.chars().count() > COMMENT_MAX {
                    return Answer::problem(422, "Body is too long (maximum is 65536 characters)");
                }
                Answer::of(201, self.comment(number, AUTHOR, text))
            }
            ("PATCH", ["issues", "comments", id]) => {
                let known = self.comments.iter_mut().find(|comment| id_of(comment) == *id);
                known.map_or_else(
                    || Answer::problem(404, "Not Found"),
                    |comment| {
                        comment["body"] = call.body["body"].clone();
                        Answer::of(200, comment.clone())
                    },
                )
            }
            ("DELETE", ["issues", "comments", id]) => {
                self.comments.retain(|comment| id_of(comment) != *id);
                Answer::of(204, Value::Null)
            }
            _ => self.answer_of_releases(call, api, parts),
        }
    }

    fn answer_of_releases(&mut self, call: &Call, api: &str, parts: &[&str]) -> Answer {
        match (call.method.as_str(), parts) {
            ("POST", ["releases"]) => {
                let mut release = call.body.clone();
                let id = self.releases.len() + 1;
                let place = format!("{api}/repos/octo/models/releases/{id}/assets{{?name,label}}");
                release["upload_url"] = json!(place);
                push(&mut self.releases, release)
            }
            ("POST", ["releases", id, "assets"]) => match call.query.strip_prefix("name=") {
                Some(name) => {
                    let key = ((*id).to_owned(), name.to_owned());
                    self.files.insert(key, call.bytes.clone());
                    Answer::of(201, json!({ "name": name }))
                }
                None => Answer::problem(400, "name is missing"),
            },
            ("PATCH", ["releases", id]) => {
                let known = self.releases.iter_mut().find(|release| id_of(release) == *id);
                known.map_or_else(
                    || Answer::problem(404, "Not Found"),
                    |release| {
                        release["draft"] = call.body["draft"].clone();
                        Answer::of(200, release.clone())
                    },
                )
            }
            _ => Answer::problem(404, "Not Found"),
        }
    }

    pub(super) fn releases(&self) -> Vec<(String, BTreeMap<String, Vec<u8>>)> {
        let files = |release: &Value| {
            let of_release = self.files.iter().filter(|((id, _), _)| *id == id_of(release));
            of_release
                .map(|((_, name), bytes)| (name.clone(), bytes.clone()))
                .collect()
        };
        let state = |release: &Value| {
            let is_draft = release["draft"] == json!(true);
            let tag = release["tag_name"].as_str().unwrap_or_default();
            format!("{tag} {}", if is_draft { "draft" } else { "published" })
        };
        let releases = self.releases.iter();
        releases.map(|release| (state(release), files(release))).collect()
    }

    pub(super) fn comment(&mut self, pull: &str, author: &str, text: &str) -> Value {
        self.commented += 1;
        let comment =
            json!({ "id": self.commented, "pull": pull, "body": text, "user": { "login": author } });
        self.comments.push(comment.clone());
        comment
    }

    pub(super) fn comments(&self, pull: &str) -> Vec<String> {
        let of_pull = self.comments.iter().filter(|comment| comment["pull"] == pull);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        of_pull
            .map(|comment| format!("{}: {}", text(&comment["user"]["login"]), text(&comment["body"])))
            .collect()
    }

    pub(super) fn open(&mut self, pull: &str, head: &str) {
        self.heads.insert(pull.to_owned(), head.to_owned());
    }

    pub(super) fn proposed(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let shown = |pull: &Value| {
            let [head, base] = ["head", "base"].map(|side| text(&pull[side]["ref"]));
            format!("{head} into {base}: {}", text(&pull["title"]))
        };
        self.proposed.iter().map(shown).collect()
    }

    pub(super) fn statuses(&self, revision: &str) -> Vec<String> {
        let of_commit = self.statuses.iter().filter(|status| status["sha"] == revision);
        of_commit
            .map(|status| {
                let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
                format!("{} {} {}", text("context"), text("state"), text("description"))
            })
            .collect()
    }

    pub(super) fn deployments(&self) -> Vec<String> {
        let shown = |deployment: &Value| {
            let id = json!(deployment["id"].to_string());
            let newest = newest(&self.deployment_statuses, "deployment", &id);
            let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
            let state = newest
                .first()
                .map_or_else(|| "none".to_owned(), |status| text(&status["state"]));
            format!(
                "{} {} {state}",
                text(&deployment["environment"]),
                text(&deployment["sha"])
            )
        };
        self.deployments.iter().map(shown).collect()
    }
}

/// Returns a pull request's number as it stands in a path.
fn number_of(pull: &Value) -> String {
    pull["number"].to_string()
}

/// Returns an id as it stands in a path.
fn id_of(kept: &Value) -> String {
    kept["id"].to_string()
}

fn is_long(status: &Value) -> bool {
    let description = status["description"].as_str().unwrap_or_default();
    description.chars().count() > DESCRIPTION_MAX
}

fn push(all: &mut Vec<Value>, mut new: Value) -> Answer {
    new["id"] = json!(all.len() + 1);
    all.push(new.clone());
    Answer::of(201, new)
}

/// Returns those whose field says so, newest first.
fn newest(all: &[Value], field: &str, value: &Value) -> Vec<Value> {
    all.iter()
        .rev()
        .filter(|kept| kept[field] == *value)
        .cloned()
        .collect()
}
