//! One comment on a pull request, kept up to date: https://docs.github.com/rest/issues/comments

use planner::names::Revision;
use serde::Deserialize;
use serde_json::{Value, json};
use web::{Method, Request};

use super::GitHub;
use crate::error::ForgeError;

/// The longest comment, in bytes, which are never fewer than GitHub's 65,536 characters; below it, for what GitHub adds.
const BODY_BYTES_MAX: usize = 60_000;
/// What stands in the place of what does not fit.
const CUT: &str = "\n\n…and more than a comment holds: see the summary of the job.";

/// What to say where.
#[derive(Debug, Clone)]
pub struct Comment<'a> {
    /// The number of the pull request.
    pub pull: u64,
    /// The commit that it is about: where the pull request has another one by now, nothing is said.
    pub head: &'a Revision,
    /// What tells this comment from the author's others: one line, which is not shown.
    pub marker: &'a str,
    /// Whose comments ours are, e.g. `github-actions[bot]`: anybody may write the marker.
    pub author: &'a str,
    /// What it says, in Markdown.
    pub body: &'a str,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commented {
    /// A comment was made.
    Made,
    /// The one that was there says it now.
    Updated,
    /// It said so already.
    Same,
    /// The pull request has a newer commit.
    Outdated,
}

#[derive(Debug, Deserialize)]
struct Pull {
    head: Head,
}

#[derive(Debug, Deserialize)]
struct Head {
    sha: String,
}

#[derive(Debug, Deserialize)]
struct Found {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct User {
    login: String,
}

impl GitHub {
    /// Lets a pull request have one comment of ours, and lets that say so.
    ///
    /// # Errors
    ///
    /// It could not be read or written.
    pub async fn comment(&self, comment: &Comment<'_>) -> Result<Commented, ForgeError> {
        let pull: Pull = self
            .get("tell of a pull request", &format!("pulls/{}", comment.pull))
            .await?;
        if pull.head.sha != comment.head.as_str() {
            return Ok(Commented::Outdated);
        }
        let text = format!("{}\n{}", comment.marker, fitting(comment.body));
        if let Some(done) = self.keep_one(comment, &text).await? {
            return Ok(done);
        }
        let below = format!("issues/{}/comments", comment.pull);
        let body = json!({ "body": text });
        let _made: Value = self.write("comment", Method::POST, &below, &body).await?;
        // Another job may have found none either: the oldest stays.
        self.keep_one(comment, &text).await?;
        Ok(Commented::Made)
    }

    /// Lets the oldest comment of ours say `text`, and removes the others; nothing where there is none.
    async fn keep_one(&self, comment: &Comment<'_>, text: &str) -> Result<Option<Commented>, ForgeError> {
        let below = format!("issues/{}/comments", comment.pull);
        let mut ours: Vec<Found> = self.list("tell its comments", &below).await?;
        ours.retain(|found| {
            let is_marked =
                found.body.as_deref().and_then(|body| body.lines().next()) == Some(comment.marker);
            is_marked
                && found
                    .user
                    .as_ref()
                    .is_some_and(|user| user.login == comment.author)
        });
        ours.sort_by_key(|found| found.id);
        let Some((oldest, others)) = ours.split_first() else {
            return Ok(None);
        };
        for other in others {
            self.remove(other.id).await?;
        }
        if oldest.body.as_deref() == Some(text) {
            return Ok(Some(Commented::Same));
        }
        let (below, body) = (format!("issues/comments/{}", oldest.id), json!({ "body": text }));
        let _updated: Value = self
            .write("update a comment", Method::PATCH, &below, &body)
            .await?;
        Ok(Some(Commented::Updated))
    }

    async fn remove(&self, id: u64) -> Result<(), ForgeError> {
        let what = "remove a comment";
        let url = self.url(what, &format!("issues/comments/{id}"))?;
        self.call(what, Request::new(Method::DELETE, url)).await.map(drop)
    }
}

/// Cuts a text between two lines where it is longer than a comment may be.
fn fitting(body: &str) -> String {
    if body.len() <= BODY_BYTES_MAX {
        return body.to_owned();
    }
    let mut end = BODY_BYTES_MAX - CUT.len();
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let end = body[..end].rfind('\n').unwrap_or(end);
    format!("{}{CUT}", &body[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_lines() {
        assert_eq!(fitting("short"), "short");
        let long = "é line\n".repeat(20_000);
        let cut = fitting(&long);
        assert!(
            cut.len() <= BODY_BYTES_MAX && cut.len() > BODY_BYTES_MAX - 100,
            "{}",
            cut.len()
        );
        assert!(cut.ends_with(&format!("é line{CUT}")));
        let one_line = fitting(&"é".repeat(40_000));
        assert!(one_line.len() <= BODY_BYTES_MAX && one_line.ends_with(CUT));
    }
}
