//! What the stamp of a name was when what it names was read, and whether that can be trusted.

use std::path::Path;

use crate::error::StoreError;
use crate::files::Stamp;

/// The stamp of a name. Equal marks mean that nothing changed, unless the older one was distrusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Mark {
    /// It was never read, or too soon after a change: no other mark equals it.
    #[default]
    Distrusted,
    /// There is nothing of this name.
    Absent,
    /// It is there.
    At(Stamp),
}

impl Mark {
    /// Looks at a name, without following it.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        Ok(Stamp::at(path)?.map_or(Self::Absent, Self::At))
    }

    /// Returns the mark to remember of a look that began at the second `now`, before the mark was taken.
    pub(super) fn trusted(self, now: i64) -> Self {
        match self {
            Self::At(stamp) if !stamp.is_settled(now) => Self::Distrusted,
            mark => mark,
        }
    }
}
