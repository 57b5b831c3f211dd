//! What the commands `refvsr` and `refvsr-train` have in common: the one evaluator, by which both come to the same figures, and the
//! folder that they start in.

pub mod curve;
pub mod enlarge;
pub mod figures;
pub mod folder;
pub mod picture;
