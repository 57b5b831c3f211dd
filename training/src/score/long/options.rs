//! What `--long` measures.

use crate::{
    footage::{recorded::Encoder, shot::Motion},
    synthesize::parse_size,
};
use clap::ValueEnum;
use std::path::PathBuf;

/// What is measured by `--long`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Long shots (with --long)")]
pub struct LongOptions {
    /// Photos that a virtual camera films, and videos that it films as they play.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "long")]
    pub sources: Vec<PathBuf>,
    /// Recordings whose middle is enlarged as it is: there is no truth, but steps, warping error and residual.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "long")]
    pub as_recorded: Vec<PathBuf>,
    /// Further model files, beside the first.
    #[arg(long, value_name = "MODEL", requires = "long")]
    pub against: Vec<PathBuf>,
    /// How the camera is held [default: all].
    #[arg(long, value_enum, value_delimiter = ',', requires = "long")]
    pub only: Vec<Motion>,
    /// Sensor noise: standard deviation in codes.
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_values_t = [0.0, 2.0], requires = "long")]
    pub noise: Vec<f64>,
    /// Constant quantizers of the encoders, say none,18,23,28,33; none is 8-bit RGB.
    #[arg(long, value_name = "Q", value_delimiter = ',', value_parser = parse_quantizer, default_value = "none", requires = "long")]
    pub quantizer: Vec<Quantizer>,
    /// Video encoders.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Encoder::X264], requires = "long")]
    pub encoder: Vec<Encoder>,
    /// At most so many frames between key frames.
    #[arg(long, default_value_t = 30, value_name = "FRAMES", requires = "long")]
    pub group: u32,
    /// Size of the truth.
    #[arg(long, value_parser = parse_size, default_value = "384x256", requires = "long")]
    pub size: (usize, usize),
    /// What models are given beside the ultra-wide camera [default: all].
    #[arg(long, value_enum, value_delimiter = ',', requires = "long")]
    pub references: Vec<References>,
    /// The wide camera has an image processor of its own, as unlike the ultra-wide one's as a phone's.
    #[arg(long, requires = "long")]
    pub processing: bool,
    /// What chance comes from.
    #[arg(long, default_value_t = 0, requires = "long")]
    pub seed: u64,
    /// Keep rows in this file, one JSON object a line. Rows that it holds already are not measured again.
    #[arg(long, value_name = "FILE", requires = "long")]
    pub json: Option<PathBuf>,
    /// Write the rows as CSV.
    #[arg(long, value_name = "FILE", requires = "long")]
    pub csv: Option<PathBuf>,
}

/// A quantizer, or none: no encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantizer(pub Option<u32>);

fn parse_quantizer(text: &str) -> Result<Quantizer, String> {
    match text {
        "none" => Ok(Quantizer(None)),
        number => match number.parse() {
            Ok(quantizer) => Ok(Quantizer(Some(quantizer))),
            Err(_) => Err(format!("'{number}' is neither a number nor none")),
        },
    }
}

/// What a model is given beside the ultra-wide camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum References {
    /// Nothing.
    None,
    /// The wide camera, recorded as the ultra-wide one.
    Wide,
    /// The wide camera of the next source, filmed the same way.
    Another,
}

impl References {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "no reference",
            Self::Wide => "wide",
            Self::Another => "another's wide",
        }
    }
}
