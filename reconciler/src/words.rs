//! Actions and waits in words, one line each: for logs, reports and the command line.

use planner::plan::{Action, Waiting};

/// Says what an action does.
pub fn action(action: &Action) -> String {
    action.to_string()
}

/// Says what is waited for.
pub fn waiting(waiting: &Waiting) -> String {
    waiting.to_string()
}
