//! The element's properties.

use super::{
    enums::{Footage, MissingReference, Model, Overload, Precision, SceneCut, Sync},
    video::MAX_SIZE,
};
use ::refvsr::{DeviceChoice, Error, Network, SessionOptions};
use gst::{glib, prelude::*};
use std::{path::PathBuf, sync::LazyLock};

/// What the user has asked for, as given; the properties' blurbs say what it means.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub model_file: Option<PathBuf>,
    pub model: Model,
    pub device: String,
    pub precision: Precision,
    pub prewarm: Option<String>,
    pub look_ahead: i32,
    pub backward_group: i32,
    pub reset_interval: i32,
    pub matching_step: u32,
    pub use_tele: bool,
    pub pts_tolerance: gst::ClockTime,
    pub sync: Sync,
    pub on_missing_reference: MissingReference,
    pub repeat_limit: gst::ClockTime,
    pub wide_zoom: f64,
    pub tele_zoom: f64,
    pub qos: bool,
    pub overload: Overload,
    pub scene_cut: SceneCut,
    pub footage: Footage,
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

    /// The setting that a property stands for; `None` where it stands for none.
    fn slot(&mut self, name: &str) -> Option<&mut dyn Setting> {
        let slot: &mut dyn Setting = match name {
            "model-file" => &mut self.model_file,
            "model" => &mut self.model,
            "device" => &mut self.device,
            "precision" => &mut self.precision,
            "prewarm" => &mut self.prewarm,
            "lookahead" => &mut self.look_ahead,
            "backward-group" => &mut self.backward_group,
            "reset-interval" => &mut self.reset_interval,
            "matching-step" => &mut self.matching_step,
            "use-tele" => &mut self.use_tele,
            "pts-tolerance" => &mut self.pts_tolerance,
            "sync" => &mut self.sync,
            "on-missing-reference" => &mut self.on_missing_reference,
            "repeat-limit" => &mut self.repeat_limit,
            "wide-zoom" => &mut self.wide_zoom,
            "tele-zoom" => &mut self.tele_zoom,
            "qos" => &mut self.qos,
            "overload" => &mut self.overload,
            "scene-cut" => &mut self.scene_cut,
            "footage" => &mut self.footage,
            "processing-deadline" => &mut self.processing_deadline,
            _ => return None,
        };
        Some(slot)
    }

    /// Takes a property's new value. GObject has checked its name, type and range.
    pub fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "device" if value.get() == Ok(None::<&str>) => self.device = Self::default().device,
            // The largest number of all stands for "no time"; as a limit it means the same as the one before it.
            "pts-tolerance" | "repeat-limit" if value.get() == Ok(u64::MAX) => {
                self.set(name, &gst::ClockTime::MAX.to_value());
            }
            _ => {
                if let Some(slot) = self.slot(name) {
                    slot.set(value);
                }
            }
        }
    }

    /// A property's value; `None` where it is no setting.
    pub fn get(&mut self, name: &str) -> Option<glib::Value> {
        self.slot(name).map(|slot| slot.get())
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

/// A setting that is a property's value as it is.
trait Setting {
    fn get(&self) -> glib::Value;
    fn set(&mut self, value: &glib::Value);
}

impl<T: ToValue + for<'a> glib::value::FromValue<'a>> Setting for T {
    fn get(&self) -> glib::Value {
        self.to_value()
    }

    fn set(&mut self, value: &glib::Value) {
        if let Ok(value) = value.get() {
            *self = value;
        }
    }
}
