//! GStreamer plugin with the `refvsr` element: multi-camera (reference-based) video super-resolution.
//!
//! The element's own page is [`refvsr`](crate::refvsr). The network behind it lives in the `refvsr` library crate.

use gst::glib;

pub mod refvsr;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    refvsr::register(plugin)
}

gst::plugin_define!(
    refvsr,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
