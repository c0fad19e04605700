//! Time zones as the system has them, for schedules. A country changes its mind between two releases of a program.
//!
//! What is compiled in counts where the system has no such zone, or says that what it has is older.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use planner::desired::Desired;
use planner::environment::Environment;
use planner::schedule::{ZoneRules, bundled_edition, is_zone};
use planner::training::Training;

/// Where a system keeps its zones, unless `TZDIR` says otherwise.
const FOLDER: &str = "/usr/share/zoneinfo";
/// How long what was read counts.
const READ_AGAIN: Duration = Duration::from_hours(1);
/// What a clock shows that nobody has set yet: no zone.
const FACTORY: &str = "Factory";
/// The longest word of a zone's name, and the most that it has: the database's have 14 bytes, and are three.
const WORD_BYTES_MAX: usize = 32;
const WORDS_MAX: usize = 4;
/// The largest file that is read, in bytes: the largest zone has a few thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Which copy of the time zones counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InUse {
    /// The system's, for each zone that it has; the compiled-in one for others.
    System {
        /// Where it lies.
        folder: PathBuf,
        /// Which edition it says that it is.
        edition: Option<String>,
    },
    /// The one that is compiled in: the system has none, or says that its is older.
    Bundled {
        /// The system's edition.
        older: Option<String>,
    },
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bundled = bundled_edition();
        match self {
            Self::System {
                folder,
                edition: Some(edition),
            } => write!(f, "IANA {edition} of {}", folder.display()),
            Self::System {
                folder,
                edition: None,
            } => {
                write!(f, "those of {}, which does not say its edition", folder.display())
            }
            Self::Bundled { older: Some(older) } => {
                write!(f, "IANA {bundled}, compiled in; the system's, {older}, are older")
            }
            Self::Bundled { older: None } => write!(f, "IANA {bundled}, compiled in; the system has none"),
        }
    }
}

/// The zones that were asked for.
#[derive(Debug)]
pub struct Zones {
    folder: PathBuf,
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    read_at: Instant,
    rules: Option<Arc<ZoneRules>>,
}

impl Default for Zones {
    /// The system's zones.
    fn default() -> Self {
        Self::new(folder())
    }
}

/// Returns where the system keeps its zones.
fn folder() -> PathBuf {
    let folder = std::env::var_os("TZDIR").filter(|folder| !folder.is_empty());
    folder.map_or_else(|| FOLDER.into(), PathBuf::from)
}

/// Says whether the system has a time zone of this name, also one that is not compiled in.
pub fn system_knows(name: &str) -> bool {
    read(&folder(), name).is_ok()
}

impl Zones {
    /// Reads zones below a folder.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            known: BTreeMap::new(),
        }
    }

    /// Says which copy counts now.
    pub fn in_use(&self) -> InUse {
        let edition = edition(&self.folder);
        if is_older(edition.as_deref()) {
            InUse::Bundled { older: edition }
        } else if self.folder.is_dir() {
            let folder = self.folder.clone();
            InUse::System { folder, edition }
        } else {
            InUse::Bundled { older: None }
        }
    }

    /// Lets the schedules of an environment be read by the system's rules.
    pub fn read_all(&mut self, desired: &mut Desired) {
        for declared in desired.trainings.values_mut() {
            self.read(&mut declared.spec);
        }
        self.read_windows(&mut desired.environment);
    }

    /// Lets the windows of an environment be read by the system's rules.
    pub(crate) fn read_windows(&mut self, environment: &mut Environment) {
        for window in &mut environment.windows {
            let rules = self.rules(&window.schedule.text().time_zone);
            window.schedule.read_by(rules);
        }
    }

    /// Lets the schedule of a job be read by the system's rules.
    pub fn read(&mut self, training: &mut Training) {
        if let Some(schedule) = training.schedule_mut() {
            let rules = self.rules(&schedule.text().time_zone);
            schedule.read_by(rules);
        }
    }

    fn rules(&mut self, name: &str) -> Option<Arc<ZoneRules>> {
        self.rules_at(name, Instant::now())
    }

    fn rules_at(&mut self, name: &str, now: Instant) -> Option<Arc<ZoneRules>> {
        let known = self.known.get(name);
        if let Some(known) = known.filter(|known| now.duration_since(known.read_at) < READ_AGAIN) {
            return known.rules.clone();
        }
        let rules = read(&self.folder, name)
            .inspect_err(|error| {
                tracing::debug!(zone = name, %error, "the compiled-in copy of a time zone counts");
            })
            .ok()
            .map(Arc::new);
        let known = Known {
            read_at: now,
            rules: rules.clone(),
        };
        self.known.insert(name.to_owned(), known);
        rules
    }
}

/// Reads a zone. An error says why what is compiled in counts instead.
fn read(folder: &Path, name: &str) -> io::Result<ZoneRules> {
    if !is_name(name) {
        return Err(io::Error::other("no zone is called so"));
    }
    // A zone that is not compiled in has no newer rules than the system's.
    if is_zone(name) && is_older(edition(folder).as_deref()) {
        return Err(io::Error::other("the system's copy says that it is older"));
    }
    // Invariant: such a name stays below the folder.
    let bytes = bytes(&folder.join(name))?;
    ZoneRules::tzif(name, &bytes).map_err(io::Error::other)
}

/// Says whether a zone may be called so: a few words of a path, as the database has them.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_uppercase())
            && word.len() <= WORD_BYTES_MAX
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte))
    };
    is_zone(name) || (name != FACTORY && name.split('/').count() <= WORDS_MAX && name.split('/').all(is_word))
}

/// Says whether a system's edition is older than what is compiled in. One that is not told is not.
fn is_older(edition: Option<&str>) -> bool {
    edition.is_some_and(|edition| edition < bundled_edition())
}

/// Returns which edition a folder of zones says that it is, e.g. `2026f`.
fn edition(folder: &Path) -> Option<String> {
    let text = |name: &str, most: u64| {
        let mut text = String::new();
        let file = File::open(folder.join(name)).ok()?;
        // What follows the first line is cut off, wherever that is in a character.
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).ok()?;
        text.push_str(&String::from_utf8_lossy(&bytes));
        Some(text)
    };
    let listed = text("tzdata.zi", 64).and_then(|text| {
        let line = text.lines().next()?;
        Some(line.strip_prefix("# version ")?.trim().to_owned())
    });
    listed.or_else(|| Some(text("+VERSION", 64)?.lines().next()?.trim().to_owned()))
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use planner::Timestamp;
    use planner::schedule::{Schedule, ScheduleText};

    use super::*;

    fn noon(zone: &str) -> Schedule {
        ScheduleText {
            cron: "0 12 * * *".to_owned(),
            time_zone: zone.to_owned(),
        }
        .try_into()
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The smallest file of a zone without a change: `offset` seconds ahead of UTC for ever.
    fn fixed(offset: i32, footer: &str) -> Vec<u8> {
        let mut file = Vec::new();
        for version in 0..2 {
            file.extend(*b"TZif2");
            file.extend([0; 15]);
            // No leap seconds, transitions or indicators; one type, and four characters of abbreviation.
            for count in [0_u32, 0, 0, 0, 1, 4] {
                file.extend(count.to_be_bytes());
            }
            file.extend(offset.to_be_bytes());
            file.extend([0, 0]);
            file.extend(*b"TST\0");
            if version == 1 {
                file.extend(format!("\n{footer}\n").bytes());
            }
        }
        file
    }

    #[test]
    fn the_systems_rules_count_unless_they_are_older() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        // A country that stays at one hour ahead, all year.
        write("Europe/Paris", &fixed(3_600, "TST-1"));
        write("Europe/Rome", b"nothing that makes sense");
        let next = |zone: &str| {
            let mut schedule = noon(zone);
            schedule.read_by(Zones::new(folder.path().to_owned()).rules(zone));
            schedule.next_after(at("2026-07-01T00:00:00Z"))
        };
        let (new, old) = (Some(at("2026-07-01T11:00:00Z")), Some(at("2026-07-01T10:00:00Z")));
        assert_eq!(next("Europe/Paris"), new);
        assert_eq!((next("Europe/Rome"), next("Europe/Berlin")), (old, old));
        let zones = || Zones::new(folder.path().to_owned()).in_use().to_string();
        let place = folder.path().display();
        assert_eq!(
            zones(),
            format!("those of {place}, which does not say its edition")
        );
        let bundled = bundled_edition();
        write("tzdata.zi", b"# version 1999a\n# more\n");
        assert_eq!(next("Europe/Paris"), old);
        assert_eq!(
            zones(),
            format!("IANA {bundled}, compiled in; the system's, 1999a, are older")
        );
        // The same edition, or a newer one.
        for edition in [bundled, "2999z"] {
            write("tzdata.zi", format!("# version {edition}\n").as_bytes());
            assert_eq!((next("Europe/Paris"), next("Europe/Berlin")), (new, old));
            assert_eq!(zones(), format!("IANA {edition} of {place}"));
        }
        std::fs::remove_file(folder.path().join("tzdata.zi")).unwrap();
        write("+VERSION", b"1999a\n");
        assert_eq!(next("Europe/Paris"), old);
    }

    #[test]
    fn a_zone_that_only_the_system_has_is_the_systems() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("Mars")).unwrap();
        std::fs::write(folder.path().join("Mars/Olympus"), fixed(3_600, "TST-1")).unwrap();
        std::fs::write(folder.path().join("Beside"), fixed(3_600, "TST-1")).unwrap();
        // There are no newer rules of it, however old the system's are.
        std::fs::write(folder.path().join("tzdata.zi"), "# version 1999a\n").unwrap();
        let has = |name: &str| read(folder.path(), name).is_ok();
        assert!(has("Mars/Olympus") && has("Beside"));
        for name in [
            "Mars/Tharsis",
            "mars/Olympus",
            "Mars",
            "",
            "/Beside",
            "Mars/../Beside",
            "Factory",
            "tzdata.zi",
        ] {
            assert!(!has(name), "{name}");
        }
        let mut schedule = Schedule::accepted(ScheduleText {
            cron: "0 12 * * *".to_owned(),
            time_zone: "Mars/Olympus".to_owned(),
        })
        .unwrap();
        schedule.read_by(Zones::new(folder.path().to_owned()).rules("Mars/Olympus"));
        assert_eq!(
            schedule.next_after(at("2026-07-01T00:00:00Z")),
            Some(at("2026-07-01T11:00:00Z"))
        );
    }

    #[test]
    fn a_system_without_zones_has_what_is_compiled_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut zones = Zones::new(folder.path().join("none"));
        let bundled = bundled_edition();
        let in_use = format!("IANA {bundled}, compiled in; the system has none");
        assert_eq!(zones.in_use().to_string(), in_use);
        assert_eq!(zones.rules("Europe/Paris"), None);
    }

    #[test]
    fn a_zone_is_read_again_after_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("UTC");
        std::fs::write(&path, fixed(3_600, "TST-1")).unwrap();
        let mut zones = Zones::new(folder.path().to_owned());
        let first = zones.rules("UTC").unwrap();
        std::fs::write(&path, fixed(7_200, "TST-2")).unwrap();
        assert_eq!(zones.rules("UTC"), Some(first.clone()));
        let later = Instant::now() + READ_AGAIN;
        assert_ne!(zones.rules_at("UTC", later), Some(first));
    }
}
