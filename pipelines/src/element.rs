//! GStreamer in this process: starting it, finding the element `refvsr`, making and setting up elements.

use anyhow::{Context, Result, anyhow, bail};
use gst::{glib, prelude::*};

/// Debian packages of the elements that are not in every installation.
const PACKAGES: [(&str, &str); 12] = [
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("x265enc", "gstreamer1.0-plugins-bad"),
    ("av1enc", "gstreamer1.0-plugins-bad"),
    ("openh264enc", "gstreamer1.0-plugins-bad"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("h265parse", "gstreamer1.0-plugins-bad"),
    ("mpegtsmux", "gstreamer1.0-plugins-bad"),
    ("vp9enc", "gstreamer1.0-plugins-good"),
    ("mp4mux", "gstreamer1.0-plugins-good"),
    ("matroskamux", "gstreamer1.0-plugins-good"),
    ("avenc_ffv1", "gstreamer1.0-libav"),
    ("avenc_prores_ks", "gstreamer1.0-libav"),
];

/// Starts GStreamer.
pub fn init_gstreamer() -> Result<()> {
    if std::env::var_os("GST_DEBUG").is_none() {
        // What plugins say to those who write them is no message for those who use this command.
        glib::log_set_default_handler(|_, _, _| ());
    }
    gst::init().context("GStreamer does not start")
}

/// What to say where GStreamer does not find the element.
pub const NOT_FOUND: &str = "GStreamer does not find the element refvsr; the package refvsr installs it, and where libgstrefvsr.so lies elsewhere \
     GST_PLUGIN_PATH names its folder";

/// Starts GStreamer and sees to it that the element `refvsr` is there: the installed one, one on `GST_PLUGIN_PATH`, or the plugin
/// that cargo has put beside this command.
pub fn init() -> Result<()> {
    init_gstreamer()?;
    if gst::ElementFactory::find("refvsr").is_some() {
        return Ok(());
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("libgstrefvsr.so")))
        .filter(|plugin| plugin.is_file());
    let Some(plugin) = beside else {
        bail!(NOT_FOUND)
    };
    gst::Plugin::load_file(&plugin)
        .with_context(|| format!("GStreamer cannot load {}", plugin.display()))?;
    Ok(())
}

/// A new element.
pub fn make(factory: &str) -> Result<gst::Element> {
    gst::ElementFactory::make(factory)
        .build()
        .map_err(|_| missing(factory))
}

/// What to say where an element is missing.
pub fn missing(factory: &str) -> anyhow::Error {
    match PACKAGES.iter().find(|(name, _)| *name == factory) {
        Some((_, package)) => {
            anyhow!("GStreamer lacks the element {factory}; on Debian: apt-get install {package}")
        }
        None => anyhow!("GStreamer lacks the element {factory}"),
    }
}

/// Sets a property from text, as `gst-launch-1.0` does, with an error in place of a panic for a wrong name or value.
pub fn set(element: &gst::Element, name: &str, text: &str) -> Result<()> {
    let factory = element
        .factory()
        .map(|factory| factory.name())
        .unwrap_or_default();
    let Some(spec) = element.find_property(name) else {
        let all: Vec<_> = element
            .list_properties()
            .iter()
            .map(|spec| spec.name().to_owned())
            .collect();
        bail!(
            "{factory} has no property {name}; it has {}",
            all.join(", ")
        )
    };
    if !spec.flags().contains(glib::ParamFlags::WRITABLE) {
        bail!("the property {name} of {factory} can only be read")
    }
    let Ok(value) = glib::Value::deserialize_with_pspec(text, &spec) else {
        bail!(
            "{factory} takes no {name}={text}; it takes {}",
            allowed(&spec)
        )
    };
    if !in_range(&spec, &value) {
        bail!(
            "{factory} takes no {name}={text}; it takes {}",
            allowed(&spec)
        )
    }
    element.set_property_from_value(name, &value);
    Ok(())
}

/// A property's values, in words.
fn allowed(spec: &glib::ParamSpec) -> String {
    if let Some(class) = glib::EnumClass::with_type(spec.value_type()) {
        let nicks: Vec<_> = class
            .values()
            .iter()
            .map(|value| value.nick().to_owned())
            .collect();
        return nicks.join(", ");
    }
    macro_rules! range {
        ($($spec:ty),*) => {
            $(if let Some(spec) = spec.downcast_ref::<$spec>() {
                return format!("{} to {}", spec.minimum(), spec.maximum());
            })*
        };
    }
    range!(
        glib::ParamSpecInt,
        glib::ParamSpecUInt,
        glib::ParamSpecInt64,
        glib::ParamSpecUInt64,
        glib::ParamSpecFloat,
        glib::ParamSpecDouble
    );
    format!("a value of the type {}", spec.value_type())
}

/// Whether a number lies in its property's range.
fn in_range(spec: &glib::ParamSpec, value: &glib::Value) -> bool {
    macro_rules! within {
        ($($spec:ty: $kind:ty),*) => {
            $(if let (Some(spec), Ok(value)) = (spec.downcast_ref::<$spec>(), value.get::<$kind>()) {
                return (spec.minimum()..=spec.maximum()).contains(&value);
            })*
        };
    }
    within!(
        glib::ParamSpecInt: i32,
        glib::ParamSpecUInt: u32,
        glib::ParamSpecInt64: i64,
        glib::ParamSpecUInt64: u64,
        glib::ParamSpecFloat: f32,
        glib::ParamSpecDouble: f64
    );
    true
}
