//! Pull requests of branches: https://docs.github.com/rest/pulls/pulls

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::json;
use web::Method;

use super::GitHub;
use crate::error::ForgeError;

/// The longest title, in characters.
const TITLE_CHARACTERS_MAX: usize = 256;

/// What is to be merged.
#[derive(Debug, Clone)]
pub struct Proposal<'a> {
    /// The branch, which the repository has.
    pub branch: &'a str,
    /// The branch that it is to be merged into.
    pub into: &'a str,
    /// What it does, on one line.
    pub title: &'a str,
    /// What else is to be said, in Markdown.
    pub body: &'a str,
}

/// The pull request that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub page: String,
    /// Whether it was not there before.
    pub is_new: bool,
}

#[derive(Debug, Deserialize)]
struct About {
    default_branch: String,
}

#[derive(Debug, Deserialize)]
struct Pull {
    number: u64,
    html_url: String,
    title: String,
    #[serde(default)]
    body: Option<String>,
    head: Branch,
    base: Branch,
}

#[derive(Debug, Deserialize)]
struct Branch {
    #[serde(rename = "ref")]
    name: String,
}

impl GitHub {
    /// Returns the branch that is merged into where none is named.
    ///
    /// # Errors
    ///
    /// It could not be read.
    pub async fn default_branch(&self) -> Result<String, ForgeError> {
        let about: About = self.get("tell of the repository", "").await?;
        Ok(about.default_branch)
    }

    /// Lets a branch have one open pull request that says so.
    ///
    /// # Errors
    ///
    /// It could not be read or written.
    pub async fn propose(&self, proposal: &Proposal<'_>) -> Result<Opened, ForgeError> {
        let title: String = proposal.title.chars().take(TITLE_CHARACTERS_MAX).collect();
        let owner = self.repository().owner();
        let below = format!("pulls?state=open&head={owner}:{}", encoded(proposal.branch));
        let open: Vec<Pull> = self.list("tell of pull requests", &below).await?;
        let known = open
            .into_iter()
            .find(|pull| pull.head.name == proposal.branch && pull.base.name == proposal.into);
        let is_new = known.is_none();
        let says = json!({ "title": title, "body": proposal.body });
        let pull: Pull = match known {
            Some(pull)
                if pull.title == title && pull.body.as_deref().unwrap_or_default() == proposal.body =>
            {
                pull
            }
            Some(pull) => {
                let below = format!("pulls/{}", pull.number);
                self.write("update a pull request", Method::PATCH, &below, &says)
                    .await?
            }
            None => {
                let mut new = says;
                new["head"] = proposal.branch.into();
                new["base"] = proposal.into.into();
                self.write("open a pull request", Method::POST, "pulls", &new)
                    .await?
            }
        };
        Ok(Opened {
            number: pull.number,
            page: pull.html_url,
            is_new,
        })
    }
}

/// Encodes what is not plain in a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("invariant: a String takes all that is written");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_query_would_take_for_its_own_is_encoded() {
        assert_eq!(
            super::encoded("aurora/dev-iris&x=1 #é%"),
            "aurora/dev-iris%26x%3D1%20%23%C3%A9%25"
        );
    }
}
