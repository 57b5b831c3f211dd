//! Decoders in hardware may leave pictures on the device; the network's element takes them from the system's memory.

use crate::element::make;
use anyhow::{Result, bail};

/// The elements that fetch pictures from a kind of memory.
const FETCHERS: [(&str, &str); 5] = [
    ("memory:CUDAMemory", "cudadownload"),
    ("memory:GLMemory", "gldownload"),
    ("memory:VAMemory", "vapostproc"),
    ("memory:VASurface", "vaapipostproc"),
    ("memory:DMABuf", "vapostproc"),
];

/// The element that brings pictures of these caps into the system's memory; none where they lie there.
pub fn fetcher(caps: &gst::CapsRef) -> Result<Option<gst::Element>> {
    match place(caps)? {
        Some(name) => Ok(Some(make(name)?)),
        None => Ok(None),
    }
}

fn place(caps: &gst::CapsRef) -> Result<Option<&'static str>> {
    let Some(features) = caps.features(0) else {
        return Ok(None);
    };
    let memory = features.iter().find(|feature| {
        feature.starts_with("memory:") && *feature != gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY
    });
    let Some(memory) = memory else {
        return Ok(None);
    };
    match FETCHERS.iter().find(|(known, _)| memory == *known) {
        Some((_, name)) => Ok(Some(name)),
        None => {
            bail!("the decoder leaves its pictures in {memory}, from where they cannot be fetched")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(feature: &str) -> gst::Caps {
        gst::Caps::builder("video/x-raw")
            .features([feature])
            .field("format", "NV12")
            .build()
    }

    #[test]
    fn pictures_on_a_device_are_fetched() {
        gst::init().unwrap();
        assert_eq!(
            place(&gst::Caps::new_empty_simple("video/x-raw")).unwrap(),
            None
        );
        assert_eq!(place(&caps("memory:SystemMemory")).unwrap(), None);
        for (memory, element) in FETCHERS {
            assert_eq!(place(&caps(memory)).unwrap(), Some(element));
        }
        let message = place(&caps("memory:Nowhere")).unwrap_err().to_string();
        assert!(message.contains("memory:Nowhere"), "{message}");
    }
}
