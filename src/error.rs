//! Everything that can go wrong, with the values that made it go wrong.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. The message carries what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model file could not be read or does not hold a model that this crate can run.
    #[error("model file {}: {problem}", path.display())]
    Checkpoint {
        /// The file (or the name given to a model in memory).
        path: PathBuf,
        /// What is wrong with it.
        problem: CheckpointProblem,
    },
    /// A value of a [`ModelConfig`](crate::ModelConfig) is outside what the network can be built with.
    #[error("model config: {field} is {actual}, allowed is {allowed}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        actual: String,
        /// What would have been accepted.
        allowed: String,
    },
    /// No preset has this name.
    #[error("no preset is named '{name}'; there are {known}")]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// All names there are.
        known: String,
    },
    /// The compute device asked for is not there.
    #[error("device '{wanted}' is not available: {why}")]
    DeviceUnavailable {
        /// The device asked for.
        wanted: String,
        /// What is missing, and what is there instead.
        why: String,
    },
    /// A device, precision or other choice could not be parsed.
    #[error("{what} '{value}' is not one of {allowed}")]
    Parse {
        /// What the value was meant to be.
        what: &'static str,
        /// The text found.
        value: String,
        /// The texts that are understood.
        allowed: &'static str,
    },
    /// A choice that this version cannot serve.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// The thing asked for.
        what: String,
        /// Why not, and what to use instead.
        why: String,
    },
    /// An image or tensor has the wrong shape, size or amount of data.
    #[error("{what}: {actual} found, {expected} expected")]
    Shape {
        /// Which input.
        what: String,
        /// What it is.
        actual: String,
        /// What it should be.
        expected: String,
    },
    /// [`Session::send`](crate::Session::send) was called although finished frames are waiting to be received.
    #[error("the session holds {held} frames and has one ready; receive it before sending more")]
    Full {
        /// Frames held.
        held: usize,
    },
    /// [`Session::send`](crate::Session::send) was called after [`Session::drain`](crate::Session::drain).
    #[error("the session has been drained; reset it before sending the frames of another clip")]
    Drained,
    /// The work was told to stop by its [`Stopper`](crate::Stopper).
    #[error("stopped")]
    Stopped,
    /// The work was not done by the time of [`Session::receive_until`](crate::Session::receive_until).
    #[error("out of time")]
    OutOfTime,
    /// Something that this crate itself keeps was not kept. Please report it.
    #[error("internal error: {0}")]
    Broken(String),
    /// libtorch refused an operation (out of memory, most often).
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// What is wrong with a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointProblem {
    /// The operating system refused to read or write it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is neither a zip-format PyTorch state dict nor a safetensors file.
    #[error(
        "{found}; a zip-format PyTorch state dict (.pytorch, .pth, .pt) or a .safetensors file was expected"
    )]
    UnknownFormat {
        /// What it looks like.
        found: String,
    },
    /// It is larger than any model this crate can run.
    #[error("{actual} bytes large, at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        actual: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It is damaged, cut short, or not what its header says.
    #[error("damaged or cut short: {0}")]
    Malformed(String),
    /// It is a pickle with something else than tensors in it. Nothing of it was executed.
    #[error(
        "refused, its pickle holds '{0}'; only a dictionary of tensors is read, and no code in a file is ever run"
    )]
    NotOnlyTensors(String),
    /// Its config metadata cannot be understood.
    #[error("config metadata: {0}")]
    Metadata(String),
    /// Its tensors do not tell which network they belong to.
    #[error("not a RefVSR model: {0}")]
    NotRefVsr(String),
    /// Tensors of the network are not in it.
    #[error("{count} tensors are missing: {}", list(names))]
    Missing {
        /// How many.
        count: usize,
        /// Their names.
        names: Vec<String>,
    },
    /// A tensor has another shape than the network's.
    #[error("tensor '{name}' is {actual:?}, {expected:?} expected")]
    WrongShape {
        /// Its name.
        name: String,
        /// The shape in the file.
        actual: Vec<i64>,
        /// The network's shape.
        expected: Vec<i64>,
    },
    /// A tensor is not of a floating-point type.
    #[error("tensor '{name}' is of type {actual}; f16, bf16, f32 or f64 expected")]
    WrongType {
        /// Its name.
        name: String,
        /// Its type.
        actual: String,
    },
    /// A tensor holds NaN or infinity.
    #[error("tensor '{name}' holds values that are not finite")]
    NotFinite {
        /// Its name.
        name: String,
    },
    /// The config it carries or implies cannot be run.
    #[error("{0}")]
    Config(#[source] Box<Error>),
}

/// The first few of many names, for a message.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let head = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        format!("{head}, and {} more", names.len() - SHOWN)
    } else {
        head
    }
}
