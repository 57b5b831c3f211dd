//! The element's properties.

use super::{
    enums::{Footage, MissingReference, Model, Overload, Precision, SceneCut, Sync},
    video::MAX_SIZE,
};
use ::refvsr::{DeviceChoice, Error, Network, SessionOptions};
use gst::{glib, prelude::*};
use std::{path::PathBuf, sync::LazyLock};

/// What the user has asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The model to load; `None`: the bundled one that `model` says.
    pub model_file: Option<PathBuf>,
    pub model: Model,
    /// As given: it is read when the element starts, where a mistake can be reported.
    pub device: String,
    pub precision: Precision,
    /// As given, see [`Self::prewarmed`].
    pub prewarm: Option<String>,
    /// -1: the model's.
    pub look_ahead: i32,
    /// -1: the model's.
    pub backward_group: i32,
    /// -1: the model's; 0: never.
    pub reset_interval: i32,
    /// 0: as fits the frames.
    pub matching_step: u32,
    pub use_tele: bool,
    /// `ZERO`: see [`super::timing::Timing::tolerance`].
    pub pts_tolerance: gst::ClockTime,
    pub sync: Sync,
    pub on_missing_reference: MissingReference,
    /// How old a repeated frame may be.
    pub repeat_limit: gst::ClockTime,
    /// 0: the model's own, or found.
    pub wide_zoom: f64,
    pub tele_zoom: f64,
    pub qos: bool,
    pub overload: Overload,
    pub scene_cut: SceneCut,
    pub footage: Footage,
    /// How long a frame takes; `None`: it is measured.
    pub processing_deadline: Option<gst::ClockTime>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model_file: None,
            model: Model::default(),
            device: DeviceChoice::default().to_string(),
            precision: Precision::default(),
            prewarm: None,
            look_ahead: -1,
            backward_group: -1,
            reset_interval: -1,
            matching_step: 0,
            use_tele: true,
            pts_tolerance: gst::ClockTime::ZERO,
            sync: Sync::default(),
            on_missing_reference: MissingReference::default(),
            repeat_limit: gst::ClockTime::SECOND,
            wide_zoom: 0.0,
            tele_zoom: 0.0,
            qos: false,
            overload: Overload::default(),
            scene_cut: SceneCut::default(),
            footage: Footage::default(),
            processing_deadline: None,
        }
    }
}

/// The largest ratio of two lenses' focal lengths that is taken for one.
const MAX_ZOOM: f64 = 100.0;
const MAX_LOOK_AHEAD: i32 = 50;
const MAX_BACKWARD_GROUP: i32 = 50;
const MAX_MATCHING_STEP: u32 = 16;

/// A property that is a zoom, 0 by default, which stands for none.
pub fn zoom<'a>(name: &'a str, blurb: &'a str) -> glib::ParamSpecDoubleBuilder<'a> {
    glib::ParamSpecDouble::builder(name)
        .blurb(blurb)
        .minimum(0.0)
        .maximum(MAX_ZOOM)
        .default_value(0.0)
        .mutable_playing()
}

impl Settings {
    /// All properties, `stats` too.
    pub fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let default = Settings::default();
            vec![
                glib::ParamSpecString::builder("model-file")
                    .blurb("Model to use: .safetensors, or a state dict as upstream publishes (.pytorch, .pth, .pt) (unset = the bundled one that model says)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("model", default.model)
                    .blurb("Which of the bundled models to use where model-file is unset")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("device")
                    .blurb("Where the network runs: auto (the first CUDA device, else the CPU), cpu, cuda or cuda:N")
                    .default_value(Some(default.device.as_str()))
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("precision", default.precision)
                    .blurb("Number format the network computes in")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("prewarm")
                    .blurb("WIDTHxHEIGHT of the ultra-wide video, for which the network is set up while the model loads (unset = with the first frames)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecInt::builder("lookahead")
                    .blurb("Frames that must follow a frame before it is put out; sets the element's latency (-1 = the model's)")
                    .minimum(-1)
                    .maximum(MAX_LOOK_AHEAD)
                    .default_value(default.look_ahead)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecInt::builder("backward-group")
                    .blurb("Frames that share one run of the backward branch: faster, and so many frames less one of latency more (-1 = the model's, in live pipelines 1; 1 = exact)")
                    .minimum(-1)
                    .maximum(MAX_BACKWARD_GROUP)
                    .default_value(default.backward_group)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecInt::builder("reset-interval")
                    .blurb("The recurrence starts anew every so many frames (-1 = the model's, 0 = never)")
                    .minimum(-1)
                    .default_value(default.reset_interval)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("matching-step")
                    .blurb("References are matched in blocks of so many positions a side: 1 (full density), 2, 4, 8 or 16 (0 = 1, or more for frames larger than the model's matching is made for)")
                    .maximum(MAX_MATCHING_STEP)
                    .default_value(default.matching_step)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("use-tele")
                    .blurb("Draw detail from the tele camera too, where its pad is linked")
                    .default_value(default.use_tele)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt64::builder("pts-tolerance")
                    .blurb("A reference frame further than this from its ultra-wide frame is missing, in nanoseconds (0 = half a frame of the slower of the two streams)")
                    .default_value(default.pts_tolerance.nseconds())
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("sync", default.sync)
                    .blurb("By which times frames are paired")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("on-missing-reference", default.on_missing_reference)
                    .blurb("What to do where no reference frame belongs to an ultra-wide frame")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt64::builder("repeat-limit")
                    .blurb("on-missing-reference=repeat uses a frame again for as long as it is no older than this, in nanoseconds")
                    .default_value(default.repeat_limit.nseconds())
                    .mutable_playing()
                    .build(),
                zoom("wide-zoom", "Deprecated: set zoom of the pad wide").deprecated().build(),
                zoom("tele-zoom", "Deprecated: set zoom of the pad tele").deprecated().build(),
                glib::ParamSpecBoolean::builder("qos")
                    .blurb("Deprecated: set overload=drop")
                    .mutable_playing()
                    .deprecated()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("overload", default.overload)
                    .blurb("What becomes of frames that the network would finish too late, as downstream says or, in live pipelines, the clock")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("footage", default.footage)
                    .nick("Footage")
                    .blurb("What the frames went through before: models may have weights of their own for what is noisy or back from a video encoder")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("scene-cut", default.scene_cut)
                    .blurb("Whether a new clip starts where the scene changes: nothing of the old one is remembered, and all of it is put out")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt64::builder("processing-deadline")
                    .blurb("The time a frame takes, which the latency counts beside the look-ahead, in nanoseconds (18446744073709551615 = measured, in whole frames)")
                    .default_value(u64::MAX)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .blurb("Frames in, out, dropped and bypassed, missing references, clips restarted, how the cameras' frames come (interval, delay, drift, residual), zooms found, footage, mean and last latency (time to process a frame), device memory, model")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    /// Takes a property's new value. GObject has checked its name, type and range.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "model-file" => assign(&mut self.model_file, value),
            "model" => assign(&mut self.model, value),
            "device" => {
                self.device = value
                    .get()
                    .ok()
                    .flatten()
                    .unwrap_or_else(|| Self::default().device)
            }
            "precision" => assign(&mut self.precision, value),
            "prewarm" => assign(&mut self.prewarm, value),
            "lookahead" => assign(&mut self.look_ahead, value),
            "backward-group" => assign(&mut self.backward_group, value),
            "reset-interval" => assign(&mut self.reset_interval, value),
            "matching-step" => assign(&mut self.matching_step, value),
            "use-tele" => assign(&mut self.use_tele, value),
            "pts-tolerance" => assign_time(&mut self.pts_tolerance, value),
            "sync" => assign(&mut self.sync, value),
            "on-missing-reference" => assign(&mut self.on_missing_reference, value),
            "repeat-limit" => assign_time(&mut self.repeat_limit, value),
            "wide-zoom" => assign(&mut self.wide_zoom, value),
            "tele-zoom" => assign(&mut self.tele_zoom, value),
            "qos" => assign(&mut self.qos, value),
            "overload" => assign(&mut self.overload, value),
            "scene-cut" => assign(&mut self.scene_cut, value),
            "footage" => assign(&mut self.footage, value),
            "processing-deadline" => self.processing_deadline = value.get().ok().flatten(),
            _ => (),
        }
    }

    /// A property's value; `None` where it is no setting.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "model-file" => self
                .model_file
                .as_ref()
                .and_then(|path| path.to_str())
                .to_value(),
            "model" => self.model.to_value(),
            "device" => self.device.to_value(),
            "precision" => self.precision.to_value(),
            "prewarm" => self.prewarm.to_value(),
            "lookahead" => self.look_ahead.to_value(),
            "backward-group" => self.backward_group.to_value(),
            "reset-interval" => self.reset_interval.to_value(),
            "matching-step" => self.matching_step.to_value(),
            "use-tele" => self.use_tele.to_value(),
            "pts-tolerance" => self.pts_tolerance.nseconds().to_value(),
            "sync" => self.sync.to_value(),
            "on-missing-reference" => self.on_missing_reference.to_value(),
            "repeat-limit" => self.repeat_limit.nseconds().to_value(),
            "wide-zoom" => self.wide_zoom.to_value(),
            "tele-zoom" => self.tele_zoom.to_value(),
            "qos" => self.qos.to_value(),
            "overload" => self.overload.to_value(),
            "scene-cut" => self.scene_cut.to_value(),
            "footage" => self.footage.to_value(),
            "processing-deadline" => self.processing_deadline.to_value(),
            _ => return None,
        })
    }

    /// The size of ultra-wide frames `[1, 3, H, W]` that the network is set up for while the model loads.
    pub fn prewarmed(&self) -> Result<Option<[i64; 4]>, Error> {
        let Some(text) = self.prewarm.as_deref() else {
            return Ok(None);
        };
        let sides = text.split_once('x').and_then(|(width, height)| {
            let side = |text: &str| text.parse::<i64>().ok();
            Some([1, 3, side(height)?, side(width)?])
        });
        let size = sides.filter(|size| size.iter().all(|n| (1..=MAX_SIZE.into()).contains(n)));
        size.map(Some).ok_or_else(|| Error::Parse {
            what: "prewarm",
            value: text.to_owned(),
            allowed: "WIDTHxHEIGHT, as 480x270",
        })
    }

    /// How a session of `network` should run.
    pub fn session_options(&self, network: &Network) -> SessionOptions {
        let models = ::refvsr::Session::options_of(network);
        let (wide_zoom, tele_zoom) = self.zooms(network, (0.0, 0.0));
        SessionOptions {
            look_ahead: usize::try_from(self.look_ahead).ok(),
            // Where the pipeline is not live, the model's own is taken with the first frame. Latencies are asked for before.
            backward_group: usize::try_from(self.backward_group).ok().or(Some(1)),
            precision: self.precision.into(),
            reset_interval: match usize::try_from(self.reset_interval) {
                Ok(0) => None,
                Ok(n) => Some(n),
                Err(_) => models.reset_interval,
            },
            matching_step: match self.matching_step {
                0 => None,
                step => usize::try_from(step).ok(),
            },
            wide_zoom,
            tele_zoom,
            ..models
        }
    }

    /// The wide and the tele camera's zoom for a session of `network`: those of their pads, else the
    /// element's, else the model's. 0 is none.
    pub fn zooms(&self, network: &Network, pads: (f64, f64)) -> (f64, f64) {
        let models = ::refvsr::Session::options_of(network);
        let first = |zooms: [f64; 3]| zooms.into_iter().find(|zoom| *zoom > 0.0).unwrap_or(0.0);
        (
            first([pads.0, self.wide_zoom, models.wide_zoom]),
            first([pads.1, self.tele_zoom, models.tele_zoom]),
        )
    }
}

/// The largest number of all stands for "no time"; as a limit it means the same as the one before it.
fn assign_time(slot: &mut gst::ClockTime, value: &glib::Value) {
    if let Ok(nanoseconds) = value.get::<u64>() {
        *slot = gst::ClockTime::from_nseconds(nanoseconds.min(gst::ClockTime::MAX.nseconds()));
    }
}

fn assign<'a, T: glib::value::FromValue<'a>>(slot: &mut T, value: &'a glib::Value) {
    if let Ok(value) = value.get() {
        *slot = value;
    }
}
