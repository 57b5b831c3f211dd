//! The enums of the element's properties.

use ::refvsr::Bundled;
use gst::glib;

/// Number format the network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrPrecision")]
pub enum Precision {
    /// The fastest that stays over 50 dB against fp32.
    #[default]
    #[enum_value(
        name = "The fastest near fp32: fp16 on a CUDA device, fp32-fast or bf16 on a CPU, as measured there",
        nick = "auto"
    )]
    Auto,
    /// 32-bit floats, as the paper's code computes.
    #[enum_value(name = "32-bit floats, as the paper's code computes", nick = "fp32")]
    Fp32,
    /// 32-bit floats, convolutions with fewer multiplications on a CPU.
    #[enum_value(
        name = "32-bit floats, convolutions with fewer multiplications on a CPU",
        nick = "fp32-fast"
    )]
    Fp32Fast,
    /// 16-bit floats.
    #[enum_value(name = "16-bit floats (slow on a CPU)", nick = "fp16")]
    Fp16,
    /// 16-bit floats with the exponent range of 32-bit ones.
    #[enum_value(
        name = "16-bit floats with the exponent range of 32-bit ones (fast on CPUs with AVX512-BF16)",
        nick = "bf16"
    )]
    Bf16,
}

impl From<Precision> for ::refvsr::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Auto => Self::Auto,
            Precision::Fp32 => Self::Fp32,
            Precision::Fp32Fast => Self::Fp32Fast,
            Precision::Fp16 => Self::Fp16,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// Which of the bundled models to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrModel")]
pub enum Model {
    /// quality on a CUDA device, light on a CPU, and live where light is too slow for a live pipeline.
    #[default]
    #[enum_value(
        name = "quality on a CUDA device, light on a CPU; live where light is too slow for a live pipeline",
        nick = "auto"
    )]
    Auto,
    /// The best pictures.
    #[enum_value(name = "The best pictures", nick = "quality")]
    Quality,
    /// Less work.
    #[enum_value(name = "Less work", nick = "light")]
    Light,
    /// For viewfinders: no look-ahead, a tenth of light's work.
    #[enum_value(
        name = "For viewfinders: no look-ahead, a tenth of light's work",
        nick = "live"
    )]
    Live,
}

impl From<Model> for Option<Bundled> {
    fn from(model: Model) -> Self {
        match model {
            Model::Auto => None,
            Model::Quality => Some(Bundled::Quality),
            Model::Light => Some(Bundled::Light),
            Model::Live => Some(Bundled::Live),
        }
    }
}

/// What to do where no reference frame belongs to an ultra-wide frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrMissingReference")]
pub enum MissingReference {
    /// Use the camera's last frame again; before its first one as `Own`.
    #[default]
    #[enum_value(name = "Use the last reference frame again", nick = "repeat")]
    Repeat,
    /// The ultra-wide frame stands in.
    #[enum_value(name = "The ultra-wide frame stands in", nick = "self")]
    Own,
    /// End with an error.
    #[enum_value(name = "End with an error", nick = "error")]
    Error,
}

/// Whether a new clip starts where the scene changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrSceneCut")]
pub enum SceneCut {
    /// `On` for models with clean recurrence, as the bundled ones.
    #[default]
    #[enum_value(
        name = "on for models with clean recurrence, as the bundled ones, else off",
        nick = "auto"
    )]
    Auto,
    /// It does.
    #[enum_value(name = "A new clip starts at a scene cut", nick = "on")]
    On,
    /// It does not.
    #[enum_value(name = "The recurrence goes on over scene cuts", nick = "off")]
    Off,
}

/// By which times frames are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrSync")]
pub enum Sync {
    /// Running times.
    #[default]
    #[enum_value(name = "Running times", nick = "running-time")]
    RunningTime,
    /// Sensor times, of one clock for all cameras.
    #[enum_value(
        name = "The times of GstReferenceTimestampMeta, of one clock for all cameras",
        nick = "reference-timestamp"
    )]
    ReferenceTimestamp,
    /// Running times that agree at the start, less what the cameras' clocks drift.
    #[enum_value(
        name = "Running times that agree at first, less what the cameras' clocks have drifted since",
        nick = "drift"
    )]
    Drift,
}

/// What the cameras' frames went through before they came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrFootage")]
pub enum Footage {
    /// `Recorded` where colour has less density than brightness.
    #[default]
    #[enum_value(
        name = "recorded where the format's colour has less density than its brightness (I420, NV12), else clean",
        nick = "auto"
    )]
    Auto,
    /// Nothing that took much from them.
    #[enum_value(name = "As sensors give it in good light", nick = "clean")]
    Clean,
    /// A video encoder.
    #[enum_value(name = "Back from a video encoder, or noisy", nick = "recorded")]
    Recorded,
}

/// What becomes of frames that the network would finish too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrOverload")]
pub enum Overload {
    /// `Bypass` in live pipelines and `Wait` in others.
    #[default]
    #[enum_value(name = "bypass in live pipelines, wait in others", nick = "auto")]
    Auto,
    /// They come out late.
    #[enum_value(name = "They come out late", nick = "wait")]
    Wait,
    /// They do not come out.
    #[enum_value(name = "They do not come out", nick = "drop")]
    Drop,
    /// They come out enlarged bicubically, in time.
    #[enum_value(name = "They come out enlarged bicubically, in time", nick = "bypass")]
    Bypass,
}
