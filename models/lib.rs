//! The bundled models' files.

/// Name and file name of each model, best pictures first.
pub const FILES: [(&str, &str); 3] = include!("files.rs");

/// Their contents, `None` for a file that was not there at build time.
pub static CONTENTS: [Option<&[u8]>; 3] = include!(concat!(env!("OUT_DIR"), "/contents.rs"));
