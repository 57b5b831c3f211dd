//! How the tensors of a model file differ from those of the network it describes.

use std::fmt;

/// Names that a message has room for, of each kind.
const SHOWN: usize = 5;
/// Characters of a name that a message has room for.
const LONGEST: usize = 100;

/// All that keeps a file's tensors from being a network's weights, and what is in the file besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The network, in words.
    pub network: String,
    /// Names that are not in the file, each with the one of [`unused`](Self::unused) that is most like it.
    pub missing: Vec<(String, Option<String>)>,
    /// Tensors of another shape: name, the file's shape, the network's.
    pub shapes: Vec<(String, Vec<i64>, Vec<i64>)>,
    /// Tensors that are not of a floating-point type: name and type.
    pub types: Vec<(String, String)>,
    /// Tensors of the file that the network has no use for. They alone do no harm.
    pub unused: Vec<String>,
}

impl Mismatch {
    /// Whether the tensors can be the network's weights.
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.shapes.is_empty() && self.types.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = self.missing.iter().map(|(name, nearest)| match nearest {
            Some(nearest) => format!("{} (the file has {})", short(name), short(nearest)),
            None => short(name),
        });
        let shapes = self.shapes.iter().map(|(name, actual, expected)| {
            format!("{} is {actual:?}, {expected:?} expected", short(name))
        });
        let types = self
            .types
            .iter()
            .map(|(name, actual)| format!("{} is {actual}", short(name)));
        let kinds = [
            ("missing", few(missing)),
            ("of another shape", few(shapes)),
            ("not f16, bf16, f32 or f64", few(types)),
            ("of no use", few(self.unused.iter().map(|name| short(name)))),
        ];
        let counts = [
            self.missing.len(),
            self.shapes.len(),
            self.types.len(),
            self.unused.len(),
        ];
        write!(f, "its tensors are not those of {}", self.network)?;
        let mut between = ": ";
        for ((kind, names), count) in kinds.into_iter().zip(counts) {
            if count > 0 {
                write!(f, "{between}{count} {kind}: {names}")?;
                between = "; ";
            }
        }
        Ok(())
    }
}

/// The first few of many names, for a message.
pub fn list(names: &[String]) -> String {
    few(names.iter().map(|name| short(name)))
}

fn few(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let head = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    match more {
        0 => head,
        more => format!("{head}, and {more} more"),
    }
}

/// A name from a file, which may be of any length.
fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}
