//! What stands for an image: programs of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a container of an image runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    entrypoint: Vec<String>,
    files: BTreeMap<String, PathBuf>,
    variables: BTreeMap<String, String>,
}

impl Image {
    /// Returns an image with one program, which is its entrypoint: `inside` is its path in the image, e.g. `/aurora`.
    pub fn of_program(inside: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            entrypoint: vec![inside.to_owned()],
            files: BTreeMap::from([(inside.to_owned(), program.into())]),
            variables: BTreeMap::new(),
        }
    }

    /// Returns the image with a variable that its containers have unless they say otherwise. Its value is translated as
    /// theirs are: where a program has a path in its code, this is the place to say it.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Returns the image with one more program in it.
    #[must_use]
    pub fn with(mut self, inside: &str, program: impl Into<PathBuf>) -> Self {
        self.files.insert(inside.to_owned(), program.into());
        self
    }

    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        self.variables.clone()
    }

    /// Returns what a container with this `command` and `args` runs, as Kubernetes has it: `command` is instead of the
    /// entrypoint, `args` follow either.
    pub(crate) fn words(&self, command: Option<&[String]>, args: Option<&[String]>) -> Vec<String> {
        let command = command.filter(|command| !command.is_empty());
        let first = command.unwrap_or(&self.entrypoint);
        first.iter().chain(args.unwrap_or_default()).cloned().collect()
    }

    /// Returns the program on this machine of the first word: of the image, by its path or name, else the machine's own.
    pub(crate) fn program(&self, word: &str) -> PathBuf {
        let by_name = || {
            let mut named = self
                .files
                .iter()
                .filter(|(inside, _)| Path::new(inside).file_name() == Some(word.as_ref()));
            named.next().map(|(_, program)| program)
        };
        let found = self.files.get(word).or_else(by_name);
        found.cloned().unwrap_or_else(|| PathBuf::from(word))
    }
}

/// Finds the image of a reference: by the whole reference, else by the last part of its name without tag and digest.
pub(crate) fn find<'a>(images: &'a BTreeMap<String, Image>, reference: &str) -> Option<&'a Image> {
    let named = reference.split('@').next().unwrap_or_default();
    let named = named.rsplit('/').next().unwrap_or_default();
    let named = named.split(':').next().unwrap_or_default();
    images.get(reference).or_else(|| images.get(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_whole_or_by_name() {
        let image = |name: &str| Image::of_program("/x", name);
        let images = BTreeMap::from([
            ("aurora".to_owned(), image("a")),
            ("team/trainer:1".to_owned(), image("b")),
        ]);
        for (reference, expected) in [
            ("aurora", Some("a")),
            ("registry.example.org:5000/x/aurora:1.2@sha256:00", Some("a")),
            ("team/trainer:1", Some("b")),
            ("team/trainer:2", None),
            ("aurora2", None),
        ] {
            let found = find(&images, reference).map(|image| image.program("/x"));
            assert_eq!(found, expected.map(PathBuf::from), "{reference}");
        }
    }

    #[test]
    fn command_is_instead_of_the_entrypoint_and_args_follow_either() {
        let image = Image::of_program("/aurora", "/h/aurora").with("/tools/other", "/h/other");
        let words = |command: &[&str], args: &[&str]| {
            let own =
                |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
            image.words(Some(&own(command)), Some(&own(args))).join(" ")
        };
        assert_eq!(words(&[], &["serve"]), "/aurora serve");
        assert_eq!(words(&["aurora", "train"], &["-x"]), "aurora train -x");
        for (word, program) in [
            ("/aurora", "/h/aurora"),
            ("aurora", "/h/aurora"),
            ("other", "/h/other"),
            ("sh", "sh"),
            ("/bin/aurora", "/bin/aurora"),
        ] {
            assert_eq!(image.program(word), PathBuf::from(program));
        }
    }
}
