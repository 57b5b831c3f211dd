//! What a frame that comes out was made of, told in a meta of its buffer.

use super::{camera::Camera, overload::Fate, sightings::Sources};
use gst::meta::CustomMeta;

/// The meta's name.
pub const META: &str = "GstRefVsrMeta";

/// Makes the meta known to GStreamer.
pub fn register() {
    if !CustomMeta::is_registered(META) {
        CustomMeta::register(META, &[]);
    }
}

/// Adds the meta to a frame that comes out.
pub fn describe(
    output: &mut gst::BufferRef,
    sources: &Sources,
    fate: Fate,
) -> Result<(), gst::glib::BoolError> {
    let mut meta = CustomMeta::add(output, META)?;
    let told = meta.mut_structure();
    let enlarged = fate == Fate::Enlarged;
    told.set("enlarged", enlarged);
    for camera in Camera::REFERENCES {
        let name = camera.name();
        told.set(name, enlarged && sources.used[camera]);
        if let Some(residual) = sources.residuals[camera] {
            told.set(format!("{name}-residual"), residual);
        }
        if let Some(agreement) = sources.agreement[camera] {
            told.set(format!("{name}-agreement"), agreement);
        }
    }
    let confidence = sources.confidence.as_ref();
    if let Some(confidence) = confidence.and_then(|mean| mean.f_double_value(&[]).ok()) {
        told.set("confidence", confidence);
    }
    Ok(())
}
