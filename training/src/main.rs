//! The refvsr-train command.
fn main() {}
