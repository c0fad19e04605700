//! The three kinds: types, schema, parsing.
