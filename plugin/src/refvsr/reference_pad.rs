//! The wide and tele cameras' pads, which have properties of their own.

use super::settings;
use gst::{glib, prelude::*, subclass::prelude::*};
use gst_base::subclass::prelude::*;
use std::sync::{LazyLock, Mutex, atomic::AtomicBool};

/// Behind a reference camera's pad.
#[derive(Debug, Default)]
pub struct RefVsrPad {
    /// 0: as the element says.
    zoom: Mutex<f64>,
    /// Nanoseconds. GstPad's own offset moves segments, and only those that come after it was set.
    offset: Mutex<i64>,
    /// The application has released it.
    pub released: AtomicBool,
}

impl RefVsrPad {
    /// The zoom that was set, 0 if none was.
    pub fn zoom(&self) -> f64 {
        *self.zoom.lock().unwrap()
    }

    /// How far this camera's frames are moved in time, in nanoseconds.
    pub fn offset(&self) -> i64 {
        *self.offset.lock().unwrap()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RefVsrPad {
    const NAME: &'static str = "GstRefVsrPad";
    type Type = super::RefVsrPad;
    type ParentType = gst_base::AggregatorPad;
}

impl ObjectImpl for RefVsrPad {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                settings::zoom("zoom", "This camera's focal length over the ultra-wide's, 0.1 to 100; registered models start their search there (0 = found by registered models, 2 and 5 for others)")
                    .build(),
                glib::ParamSpecInt64::builder("time-offset")
                    .blurb("Moves this camera's frames in time, in nanoseconds: below 0 where its clock is late")
                    .mutable_playing()
                    .build(),
                // Hides GstPad's own, which moves segments.
                glib::ParamSpecInt64::builder("offset")
                    .blurb("Deprecated: the former name of time-offset")
                    .mutable_playing()
                    .deprecated()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if matches!(pspec.name(), "time-offset" | "offset") {
            *self.offset.lock().unwrap() = value.get().unwrap_or_default();
        } else if let Ok(zoom) = value.get() {
            *self.zoom.lock().unwrap() = zoom;
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "time-offset" | "offset" => self.offset().to_value(),
            _ => self.zoom().to_value(),
        }
    }
}

impl GstObjectImpl for RefVsrPad {}
impl PadImpl for RefVsrPad {}
impl AggregatorPadImpl for RefVsrPad {}
