//! Everything that can go wrong, with the values that made it go wrong.

mod mismatch;

pub use mismatch::Mismatch;

use mismatch::list;
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

impl Error {
    pub(crate) fn shape(
        what: &str,
        actual: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Shape {
            what: what.into(),
            actual: actual.into(),
            expected: expected.into(),
        }
    }
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
    /// Its tensors are not those of the network that it describes.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// Tensors of it are of a type that is not read.
    #[error("tensors are not of a type that is read: {}", list(tensors))]
    WrongType {
        /// Their names and types.
        tensors: Vec<String>,
    },
    /// Tensors hold NaN or infinity.
    #[error("{} tensors hold values that are not finite: {}", names.len(), list(names))]
    NotFinite {
        /// Their names.
        names: Vec<String>,
    },
    /// The config it carries or implies cannot be run.
    #[error("{0}")]
    Config(#[source] Box<Error>),
}
