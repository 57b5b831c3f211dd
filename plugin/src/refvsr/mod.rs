/**
 * SECTION:element-refvsr
 *
 * Puts out an ultra-wide camera's video at a multiple of its size (4 or 2, as the model has it), with detail drawn from a wide
 * and, if there is one, a tele camera that film the same scene: the network of RefVSR (CVPR 2022).
 *
 * ## Pads
 *
 * `ultrawide` is the video to enlarge; its timestamps, flags and metadata are the output's. `wide` is the wide camera's video and
 * `tele`, a request pad, the tele camera's. Each may have a format, size and frame rate of its own. The output has the
 * ultra-wide video's format, unless downstream wants another one that this element knows.
 *
 * A wide or tele frame is paired to each ultra-wide frame by running time: the nearest, if it lies within `pts-tolerance`. Every
 * ultra-wide frame comes out once, whatever the other streams do. Where no frame belongs to it (or only a GAP),
 * `on-missing-reference` decides:
 *
 * * `repeat`: the camera's last frame is used again, and before its first one the ultra-wide frame stands in for it;
 * * `self`: the ultra-wide frame stands in for the wide one (and tele is left out);
 * * `error`: the pipeline ends with an error.
 *
 * If nothing is linked to `wide` a second after the ultra-wide caps came, all its frames count as missing (a warning says so).
 * It may still be linked later. If nothing is linked to `ultrawide` ten seconds after another camera's caps came, that is an error.
 *
 * ## Time
 *
 * A frame comes out after as many more have come in as the model's look-ahead says (`lookahead` overrides it); that is the element's
 * latency. The frames held come out at the end of the stream, before new ultra-wide caps or a new segment take effect; a flush
 * forgets them. A flush, and new ultra-wide caps or segments, start a new clip. New caps on the other pads apply from their
 * first frame on and start nothing anew.
 *
 * With `qos` on, frames that downstream would drop as too late are not put out: the network still runs on them, since the
 * frames after them build on it, but converting and copying is saved, and a QOS message is posted. It is off by default.
 *
 * While the model loads, PROGRESS messages are posted. A model file that cannot be used, or a device that is not there, is an error
 * that says so when the element goes to PAUSED.
 *
 * ## Example pipeline
 *
 * ```bash
 * gst-launch-1.0 refvsr name=r ! videoconvert ! autovideosink \
 *     videotestsrc num-buffers=30 ! video/x-raw,width=64,height=48 ! r.ultrawide \
 *     videotestsrc num-buffers=30 ! video/x-raw,width=64,height=48 ! r.wide
 * ```
 *
 * With two files, a model and a GPU:
 *
 * ```bash
 * gst-launch-1.0 refvsr name=r model-file=model.safetensors device=cuda ! x264enc ! matroskamux ! filesink location=out.mkv \
 *     filesrc location=ultrawide.mkv ! decodebin ! queue ! r.ultrawide \
 *     filesrc location=wide.mkv ! decodebin ! queue ! r.wide
 * ```
 */
use gst::{glib, prelude::*};

mod caps;
mod flushes;
mod frames;
mod imp;
mod model;
mod pairing;
mod qos;
mod settings;
mod stats;
mod unlinked;
mod work;

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

glib::wrapper! {
    /// The element.
    pub struct RefVsr(ObjectSubclass<imp::RefVsr>) @extends gst_base::Aggregator, gst::Element, gst::Object;
}

/// Registers the element and its enums.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    Precision::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    MissingReference::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(
        Some(plugin),
        "refvsr",
        gst::Rank::NONE,
        RefVsr::static_type(),
    )
}
