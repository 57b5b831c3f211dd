//! Caps and segments as they come in and as they go out.

use super::{
    camera::Camera,
    caps,
    element::RefVsr,
    log::CAT,
    video::Video,
    work::{Held, Segment},
};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, AggregatorPad, prelude::*};
use std::sync::Arc;

/// How many times as tall for its width as the ultra-wide picture a reference may be. At the ultra-wide camera's scale it
/// would take all memory else.
const MOST_TALLER: f64 = 8.0;

impl RefVsr {
    /// New caps on a pad. They apply from the pad's next frame on.
    pub fn take_caps(&self, pad: &AggregatorPad, camera: Camera, caps: &gst::CapsRef) -> bool {
        let video = match Video::new(caps) {
            Ok(video) => Arc::new(video),
            Err(why) => return self.refuse(&format!("Video on pad {}: {why}", pad.name())),
        };
        gst::info!(CAT, obj = pad, "New caps {caps}");
        if let Some(why) = self.unlike(camera, &video) {
            return self.refuse(&why);
        }
        if camera == Camera::UltraWide {
            return self.take_ultrawide_caps(video);
        }
        self.running(|running| running.take_video(camera, video));
        true
    }

    /// An event is refused with an error.
    fn refuse(&self, why: &str) -> bool {
        self.post_error(gst::StreamError::Format, why);
        false
    }

    /// Why two cameras cannot film the same scene, where that is so with this video of one of them.
    fn unlike(&self, camera: Camera, video: &Arc<Video>) -> Option<String> {
        let mut videos = self.running(|running| running.videos.clone())?;
        videos[camera] = Some(video.clone());
        let ultrawide = videos[Camera::UltraWide].clone()?;
        let tall = |video: &Video| {
            let (width, height) = (video.info.width(), video.info.height());
            f64::from(height) / f64::from(width.max(1)) / video.pixel_aspect()
        };
        let size = |video: &Video| format!("{}x{}", video.info.width(), video.info.height());
        Camera::REFERENCES.into_iter().find_map(|camera| {
            let video = videos[camera].as_ref()?;
            let times = tall(video) / tall(&ultrawide);
            (times > MOST_TALLER).then(|| {
                format!(
                    "Video of {} on pad {} is {times:.0} times as tall for its width as the ultra-wide video of {}; at most {MOST_TALLER} times are expected",
                    size(video),
                    camera.name(),
                    size(&ultrawide)
                )
            })
        })
    }

    /// New ultra-wide caps: the latency follows from them at once, the output caps when the frames
    /// held are out.
    fn take_ultrawide_caps(&self, video: Arc<Video>) -> bool {
        let Some(scale) = self.running(|running| running.scale) else {
            return false;
        };
        if caps::source_caps(&video, scale).is_none() {
            let (width, height) = (video.info.width(), video.info.height());
            return self.refuse(&format!(
                "Ultra-wide video of {width}x{height} is too large to be enlarged {scale} times"
            ));
        }
        let before = self.running(|running| running.take_video(Camera::UltraWide, video.clone()));
        let before = before.flatten();
        if before.as_ref() != Some(&video) {
            self.hold(Held::Caps {
                same_picture: before.is_some_and(|before| before.is_same_picture(&video)),
                video,
            });
        }
        self.update_latency();
        true
    }

    /// The frames that come out next are of these caps.
    pub fn apply_caps(&self, video: Arc<Video>) -> Result<(), gst::FlowError> {
        let old = self.running(|running| running.source.replace(video));
        drop(old);
        if self.obj().negotiate() {
            Ok(())
        } else {
            Err(self.not_negotiated())
        }
    }

    /// A new ultra-wide segment; it applies once the frames held are out. `false`: it is no segment in
    /// time.
    pub fn take_segment(
        &self,
        pad: &AggregatorPad,
        camera: Camera,
        event: &gst::event::Segment,
    ) -> bool {
        let segment = event.segment();
        let Some(segment) = segment.downcast_ref::<ClockTime>() else {
            let (name, format) = (pad.name(), segment.format());
            return self.refuse(&format!(
                "Pad {name} has a segment in {format}, time expected"
            ));
        };
        if camera == Camera::UltraWide {
            let before = self.running(|running| running.segment_in.replace(segment.clone()));
            if before.flatten().as_ref() != Some(segment) {
                self.hold(Held::Segment(segment.clone(), event.seqnum()));
            }
        }
        true
    }

    /// The frames that come out next are of this segment.
    pub fn apply_segment(&self, segment: Segment, seqnum: gst::Seqnum) {
        self.obj().update_segment(&segment);
        self.running(|running| {
            running.segment = Some(segment);
            running.segment_seqnum = Some(seqnum);
        });
    }

    /// The seqnum of the segment of the frames that come out at present.
    pub fn segment_seqnum(&self) -> Option<gst::Seqnum> {
        self.running(|running| running.segment_seqnum).flatten()
    }

    /// Tells downstream of the segment, where the base class has not yet: it does so with frames only.
    pub fn announce_segment(&self) {
        let news = self.running(|running| {
            let segment = running
                .segment
                .as_ref()
                .map(|segment| segment.clone().upcast());
            segment.filter(|segment| running.segment_out.as_ref() != Some(segment))
        });
        if let Some(segment) = news.flatten() {
            self.obj()
                .src_pad()
                .push_event(gst::event::Segment::new(&segment)); // see_leaving() numbers it
        }
    }

    /// Tells the base class of the latency; it tells the pipeline of a new one.
    pub fn update_latency(&self) {
        let deadline = self.settings().processing_deadline;
        let latency = self.running(|running| {
            let latency = running.timing.latency(deadline);
            running.told_latency = latency.0;
            latency
        });
        if let Some((least, most)) = latency {
            self.obj().set_latency(least, most);
        }
    }

    /// The caps to put out, of those that downstream takes.
    pub fn source_caps(&self, downstream: &gst::Caps) -> Result<gst::Caps, gst::FlowError> {
        let source = self.running(|running| running.source.clone().map(|v| (v, running.scale)));
        let (video, scale) = source.flatten().ok_or(AGGREGATOR_FLOW_NEED_DATA)?;
        let caps = caps::source_caps(&video, scale).ok_or(gst::FlowError::NotNegotiated)?;
        let caps = caps.intersect_with_mode(downstream, gst::CapsIntersectMode::First);
        if caps.is_empty() {
            return Err(gst::FlowError::NotNegotiated);
        }
        Ok(caps::fixate_source(&video, caps))
    }
}
