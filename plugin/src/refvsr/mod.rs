/**
 * SECTION:element-refvsr
 *
 * Puts out an ultra-wide camera's video at a multiple of its size (4 or 2, as the model has it), with detail drawn from a wide
 * and, if there is one, a tele camera that film the same scene: the network of RefVSR (CVPR 2022).
 *
 * ## Pads
 *
 * `ultrawide` is the video to enlarge; its timestamps, flags and metadata are the output's. `wide`, the wide camera's video, and `tele`,
 * the tele camera's, are request pads, which may come and go while playing. Each may have a format, size and frame rate of its own. The output has the
 * ultra-wide video's format, unless downstream wants another one that this element knows.
 *
 * A wide or tele frame is paired to each ultra-wide frame by running time: the nearest, if it lies within `pts-tolerance`. Every
 * ultra-wide frame comes out once, whatever the other streams do. Where no frame belongs to it (or only a GAP),
 * `on-missing-reference` decides:
 *
 * * `repeat`: the camera's last frame is used again, if it is no older than `repeat-limit`; else as `self`;
 * * `self`: the ultra-wide frame stands in for the wide one (and tele is left out);
 * * `error`: the pipeline ends with an error.
 *
 * An element message `refvsr-missing-references` tells where a camera's frames begin to be missing and where they come again:
 * `pad` (its name), `missing` (whether they begin to be), `running-time`, and `frames`, how many were missing when they come again.
 *
 * While nothing is linked to a requested pad, all its frames count as missing, and nothing waits for them; the same holds for `tele`
 * with `use-tele=false`, but that its frames are not missed. At half speed frames may lie twice as far apart.
 * If nothing is linked to `ultrawide` ten seconds after another camera's first frame came, that is an error.
 *
 * Registered models find each reference camera's zoom, rotation and shift; they search near the pad's property `zoom` if it is set.
 * An INFO message with details `refvsr-camera-found` (`pad`, `zoom`, `rotation` in degrees, `shift-x` and `shift-y` in ultra-wide pixels)
 * tells where a camera has been found, at first and after it was lost; `stats` has the zooms of the last frame. Other models take 2 and
 * 5 where no zoom is given. The pads' property `time-offset` moves the camera's frames in time where its clock is steadily off.
 * `gst-launch-1.0` sets both as in `refvsr wide::zoom=1.9`; they apply from the next frame on.
 *
 * With `sync=reference-timestamp` frames are paired by when they were filmed, as GstReferenceTimestampMeta says, which has to be of
 * one clock for all cameras. With `sync=drift` running times have to agree at the start; what the cameras' clocks drift from
 * then on is measured, by these metas or by when frames arrive, and made up for. `stats` tells of each camera its `interval`, `delay`,
 * `drift` (by how many millionths its clock runs fast) and `residual` (how much later the frame paired last was filmed), as `wide-drift`.
 *
 * ## What a frame was made of
 *
 * Each buffer that comes out has a custom meta `GstRefVsrMeta` (`gst_buffer_get_custom_meta`): `enlarged` (by the network, not bicubically), `wide`
 * and `tele` (whether that camera's picture went in), `wide-residual` and `tele-residual` (how much later it was filmed, in nanoseconds), and `wide-agreement` and `tele-agreement`, correlations of local detail, of registered
 * models, or `confidence`, the mean of the matching, of others. 1 is equal, 0 unrelated.
 *
 * The request source pad `confidence` puts out a grey picture (GRAY8, of the ultra-wide video's
 * size) with each frame, before it and with its timestamps: how alike each pixel is to what its
 * references show, 0 to 255. Registered models show 0 outside of the references' fields. It needs a
 * queue of its own, as every branch does. For frames that the network has not enlarged it puts out a GAP. Tags
 * and other events of the stream are the pad `src`'s alone.
 *
 * ## Where a clip starts anew
 *
 * The recurrence forgets a clip, after all its frames have been put out, where a frame starts more than a second after the end of the
 * last one (or two durations of it, if that is longer; GAPs between do not count) or more than a second before it, and where the scene
 * changes (`scene-cut`). An element message `refvsr-clip-restarts` says so, once a second at the most: `pad`, `reason` (`timestamps` or
 * `scene-cut`), `running-time`; `stats` counts them as `clips-restarted`.
 *
 * Within a clip it begins anew where it runs away, as that of a network trained on short clips can over long still shots: where an output,
 * reduced as the input was, no longer gives the input, and a fresh run makes a better one. `precision=fp32`, which gives what the paper's
 * code gives, does without. An element message `refvsr-recurrence-restarted` says so, once a second at the most (`running-time`,
 * `count`); `stats` counts them as `recurrence-restarted`.
 *
 * ## What the element chooses
 *
 * An element message `refvsr-footage` says which footage a clip is taken for (`kind`: `clean` or `recorded`, `running-time`), at the start and
 * where a later clip differs. Where `model=auto` goes on with *live*, until the element stops, the message `refvsr-model` says so once (`model`,
 * `description`, `reason`). *live* looks ahead at nothing and takes no tele camera. `stats` has both, as `footage` and `model`.
 *
 * ## Events
 *
 * Tags, TOC and custom events of the ultra-wide stream come out between the same frames that they came in between. Those of the
 * other streams end here. The output's stream is of the ultra-wide stream's group.
 *
 * ## Time
 *
 * A frame comes out after as many more have come in as the model's look-ahead says (`lookahead` overrides it). The element's
 * latency is that, plus the time a frame takes, which is measured and counted in whole frames, at least one
 * (`processing-deadline` fixes it): with a look-ahead of 3 at 25 frames a second and 90 ms a frame, 3 x 40 ms + 3 x 40 ms = 240 ms.
 * How long a frame lasts is measured: a camera in dim light delivers fewer than its caps say.
 *
 * In a live pipeline an ultra-wide frame waits for its references as long as the latency of the cameras' branches (and the
 * property `latency` of the base class) allows, or as long as the cameras have lately been seen to take, and half a frame more.
 * Where cameras are later than they say, the latency grows by that, by a second at most. The frames held come out at the end of the stream, before new ultra-wide caps or a new segment take effect; a flush
 * forgets them. A flush, and new ultra-wide caps or segments, start a new clip. New caps on the other pads apply from their
 * first frame on and start nothing anew.
 *
 * ## Overload
 *
 * A frame is late if downstream says so in QOS events or, in a live pipeline, if the network would not be done with it by
 * its time plus the latency, and three quarters of a frame more. (Where the camera itself is later than it says, that counts from when
 * its frames come.) It is judged before the work, and `overload` decides what becomes of the frame:
 *
 * * `wait`: nothing is judged, frames come out late;
 * * `drop`: it does not come out, and a QOS message is posted; the network makes only the step that later frames build on;
 * * `bypass`: it comes out in time, enlarged bicubically, and the network goes on as if it had not been filmed;
 * * `auto`: `bypass` in live pipelines and `wait` in others.
 *
 * With `bypass` a live pipeline starts at once: its first frames are bypassed while the network rehearses with one of them, for eight
 * seconds at the most, until it is known how long a frame takes. Work on a frame is given up after a second (or two frames), and the
 * frame bypassed. Where that happens twice in a row, none is tried for ten seconds, then for twenty, and so on up to five minutes.
 *
 * An element message `refvsr-overload` tells where frames begin to be late, and when none has been for a second: `overloaded`,
 * `running-time`, and `dropped` and `bypassed`, how many were. `stats` counts them too. Upstream is never told to drop frames.
 * A flush of the ultra-wide pad, a flushing seek, and a stop, end the work on the frame at hand. Seeks are refused where the ultra-wide
 * stream cannot seek.
 *
 * The model loads on a thread of its own from READY on, with PROGRESS messages; going to PAUSED waits for it, and tells what is wrong
 * with the model or the device. `prewarm` sets the network up for a size of frames, too, so that a live start needs no rehearsal.
 *
 * ## Example pipelines
 *
 * Two recordings to one file:
 *
 * ```bash
 * gst-launch-1.0 -e refvsr name=r @preset=Archive ! queue ! videoconvert ! x264enc ! matroskamux ! filesink location=out.mkv \
 *     filesrc location=ultrawide.mkv ! decodebin ! queue ! r.ultrawide \
 *     filesrc location=wide.mkv ! decodebin ! queue ! r.wide
 * ```
 *
 * Two cameras to the screen:
 *
 * ```bash
 * gst-launch-1.0 refvsr name=r @preset=Viewfinder ! queue ! videoconvert ! autovideosink \
 *     v4l2src device=/dev/video0 ! videoconvert ! queue ! r.ultrawide \
 *     v4l2src device=/dev/video2 ! videoconvert ! queue ! r.wide
 * ```
 */
use gst::{glib, prelude::*};

mod allocation;
mod camera;
mod caps;
mod confidence;
mod drift;
mod element;
mod enums;
mod epochs;
mod errors;
mod events;
mod fates;
mod footage;
mod frames;
mod imp;
mod intake;
mod last_frame;
mod links;
mod log;
mod model;
mod negotiation;
mod networks;
mod origin;
mod output;
mod overload;
mod pace;
mod pairing;
mod queries;
mod recent;
mod reference_pad;
mod references;
mod rehearsal;
mod restarts;
mod settings;
mod sightings;
mod state;
mod stats;
mod timing;
mod video;
mod work;

pub use enums::{Footage, MissingReference, Model, Overload, Precision, SceneCut, Sync};

glib::wrapper! {
    /// The element.
    pub struct RefVsr(ObjectSubclass<element::RefVsr>) @extends gst_base::Aggregator, gst::Element, gst::Object, @implements gst::ChildProxy, gst::Preset;
}

glib::wrapper! {
    /// The pad of the wide or the tele camera.
    pub struct RefVsrPad(ObjectSubclass<reference_pad::RefVsrPad>) @extends gst_base::AggregatorPad, gst::Pad, gst::Object;
}

/// Registers the element and its enums.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    origin::register();
    let types = [
        RefVsrPad::static_type(),
        Precision::static_type(),
        Model::static_type(),
        Sync::static_type(),
        MissingReference::static_type(),
        Overload::static_type(),
        Footage::static_type(),
        SceneCut::static_type(),
    ];
    for own in types {
        own.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(
        Some(plugin),
        "refvsr",
        gst::Rank::NONE,
        RefVsr::static_type(),
    )
}
