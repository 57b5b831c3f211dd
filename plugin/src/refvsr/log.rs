//! The element's debug category.

use std::sync::LazyLock;

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "refvsr",
        gst::DebugColorFlags::empty(),
        Some("Multi-camera video super-resolution"),
    )
});
