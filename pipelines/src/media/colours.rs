//! What a recording says of its colours, in the bitstream and in the file around it.
//!
//! GStreamer's parsers let the file's word count for more. Action cameras write full-range pictures into files that say nothing of the
//! range, or the opposite; players go by the bitstream.

use gst::prelude::*;
use gst_video::{VideoColorMatrix, VideoColorRange, VideoColorimetry};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const FIELD: &str = "colorimetry";

/// What was said of the colours of one picture.
#[derive(Debug, Clone, Default)]
pub struct Colours(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    by_the_file: Option<VideoColorimetry>,
    by_the_bitstream: bool,
}

impl Colours {
    /// Keeps the file's word from a parser, so that the bitstream's is heard.
    pub fn listen(&self, element: &gst::Element) {
        let name = element.factory().map(|factory| factory.name());
        let parses = matches!(name.as_deref(), Some("h264parse" | "h265parse"));
        let pads = (element.static_pad("sink"), element.static_pad("src"));
        let (true, (Some(sink), Some(source))) = (parses, pads) else {
            return;
        };
        let said = self.clone();
        replace_caps(&sink, move |caps| {
            let colours = said_by(caps)?;
            said.lock().by_the_file = Some(colours);
            let mut caps = caps.clone();
            caps.make_mut().structure_mut(0)?.remove_field(FIELD);
            Some(caps)
        });
        let said = self.clone();
        replace_caps(&source, move |caps| {
            said.lock().by_the_bitstream = said_by(caps).is_some();
            None
        });
    }

    /// Adds the file's word to the decoded pictures where the bitstream does not say it.
    pub fn settle(&self, pad: &gst::Pad) {
        let said = self.clone();
        replace_caps(pad, move |caps| {
            let said = said.lock();
            let file = said.by_the_file.filter(|_| !said.by_the_bitstream)?;
            let colours = settled(file, said_by(caps));
            let mut caps = caps.clone();
            caps.make_mut().set(FIELD, colours.to_string());
            Some(caps)
        });
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file's colours; decoders know a full range from the bitstream even where it says nothing else.
fn settled(file: VideoColorimetry, decoder: Option<VideoColorimetry>) -> VideoColorimetry {
    let full = decoder.is_some_and(|own| own.range() == VideoColorRange::Range0_255);
    let limited = file.range() == VideoColorRange::Unknown;
    let range = match (full, limited) {
        (true, _) => VideoColorRange::Range0_255,
        (false, true) => VideoColorRange::Range16_235,
        (false, false) => file.range(),
    };
    VideoColorimetry::new(range, file.matrix(), file.transfer(), file.primaries())
}

/// The colours in caps, where they say how YUV is meant.
fn said_by(caps: &gst::Caps) -> Option<VideoColorimetry> {
    let text = caps.structure(0)?.get::<String>(FIELD).ok()?;
    let colours = VideoColorimetry::from_str(&text).ok()?;
    (colours.matrix() != VideoColorMatrix::Unknown).then_some(colours)
}

/// Changes caps on their way through a pad; none leaves them.
pub fn replace_caps(
    pad: &gst::Pad,
    change: impl Fn(&gst::Caps) -> Option<gst::Caps> + Send + Sync + 'static,
) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let changed = info.event().and_then(|event| match event.view() {
            gst::EventView::Caps(event) => change(&event.caps_owned()),
            _ => None,
        });
        if let Some(caps) = changed {
            info.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_counts_where_the_bitstream_is_silent() {
        gst::init().unwrap();
        let colours = |text: &str| VideoColorimetry::from_str(text).unwrap();
        let settle = |file, decoder: &str| settled(colours(file), Some(colours(decoder)));
        assert_eq!(settle("bt709", "2:4:16:3"), colours("bt709"));
        assert_eq!(settle("bt709", "1:4:16:3"), colours("1:3:5:1"));
        assert_eq!(settle("0:3:5:1", "2:4:16:3"), colours("bt709"));
        assert_eq!(settle("1:3:5:1", "2:4:16:3"), colours("1:3:5:1"));
    }
}
