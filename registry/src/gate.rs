//! Whether this process may write at a moment, where that is not its own to say: in a cluster another replica may lead by now.

use std::fmt;
use std::sync::Arc;

use crate::error::StoreError;

/// Says whether a write may begin now. Asked before each write, after whatever had to be waited for.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn() -> bool + Send + Sync>);

impl Gate {
    /// Makes one of whoever knows.
    pub fn new(permits: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(permits))
    }

    /// Fails where nothing may be written.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if (self.0)() {
            Ok(())
        } else {
            Err(StoreError::NotPermitted)
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}
