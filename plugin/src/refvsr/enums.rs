//! The enums of the element's properties. What a value means stands in its name, as `gst-inspect-1.0` shows it.

use ::refvsr::Bundled;
use gst::glib;

/// Number format the network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrPrecision")]
pub enum Precision {
    #[default]
    #[enum_value(
        name = "The fastest near fp32: fp16 on a CUDA device, fp32-fast or bf16 on a CPU, as measured there"
    )]
    Auto,
    #[enum_value(name = "32-bit floats, as the paper's code computes")]
    Fp32,
    #[enum_value(name = "32-bit floats, convolutions with fewer multiplications on a CPU")]
    Fp32Fast,
    #[enum_value(name = "16-bit floats (slow on a CPU)")]
    Fp16,
    #[enum_value(
        name = "16-bit floats with the exponent range of 32-bit ones (fast on CPUs with AVX512-BF16)"
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
    #[default]
    #[enum_value(
        name = "quality on a CUDA device, light on a CPU; live where light is too slow for a live pipeline"
    )]
    Auto,
    #[enum_value(name = "The best pictures")]
    Quality,
    #[enum_value(name = "Less work")]
    Light,
    #[enum_value(name = "For viewfinders: no look-ahead, a tenth of light's work")]
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
    #[default]
    #[enum_value(name = "Use the last reference frame again")]
    Repeat,
    #[enum_value(name = "The ultra-wide frame stands in", nick = "self")]
    Own,
    #[enum_value(name = "End with an error")]
    Error,
}

/// Whether a new clip starts where the scene changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrSceneCut")]
pub enum SceneCut {
    #[default]
    #[enum_value(name = "on for models with clean recurrence, as the bundled ones, else off")]
    Auto,
    #[enum_value(name = "A new clip starts at a scene cut")]
    On,
    #[enum_value(name = "The recurrence goes on over scene cuts")]
    Off,
}

/// By which times frames are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrSync")]
pub enum Sync {
    #[default]
    #[enum_value(name = "Running times")]
    RunningTime,
    #[enum_value(name = "The times of GstReferenceTimestampMeta, of one clock for all cameras")]
    ReferenceTimestamp,
    #[enum_value(
        name = "Running times that agree at first, less what the cameras' clocks have drifted since"
    )]
    Drift,
}

/// What the cameras' frames went through before they came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrFootage")]
pub enum Footage {
    #[default]
    #[enum_value(
        name = "recorded where the format's colour has less density than its brightness (I420, NV12), else clean"
    )]
    Auto,
    #[enum_value(name = "As sensors give it in good light")]
    Clean,
    #[enum_value(name = "Back from a video encoder, or noisy")]
    Recorded,
}

/// What becomes of frames that the network would finish too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrOverload")]
pub enum Overload {
    #[default]
    #[enum_value(name = "bypass in live pipelines, wait in others")]
    Auto,
    #[enum_value(name = "They come out late")]
    Wait,
    #[enum_value(name = "They do not come out")]
    Drop,
    #[enum_value(name = "They come out enlarged bicubically, in time")]
    Bypass,
}
