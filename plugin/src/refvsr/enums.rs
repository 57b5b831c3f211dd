//! The enums of the element's properties.

use gst::glib;

/// Number format the network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRefVsrPrecision")]
pub enum Precision {
    /// The fastest that keeps the picture.
    #[default]
    #[enum_value(name = "The fastest that keeps the picture", nick = "auto")]
    Auto,
    /// 32-bit floats.
    #[enum_value(name = "32-bit floats", nick = "fp32")]
    Fp32,
    /// 16-bit floats.
    #[enum_value(name = "16-bit floats", nick = "fp16")]
    Fp16,
    /// 16-bit floats with the exponent range of 32-bit ones.
    #[enum_value(
        name = "16-bit floats with the exponent range of 32-bit ones",
        nick = "bf16"
    )]
    Bf16,
}

impl From<Precision> for ::refvsr::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Auto => Self::Auto,
            Precision::Fp32 => Self::Fp32,
            Precision::Fp16 => Self::Fp16,
            Precision::Bf16 => Self::Bf16,
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
