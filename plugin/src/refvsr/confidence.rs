//! The pad that puts out how alike each pixel is to what its references show, as a grey picture.

use super::{
    element::RefVsr,
    log::CAT,
    video::{MAX_SIZE, Video},
    work::Work,
};
use gst::{prelude::*, subclass::prelude::*};
use gst_video::{VideoFormat, VideoInfo, prelude::*};
use tch::{Kind, Tensor};

/// Its name.
pub const PAD: &str = "confidence";

/// Its template.
pub fn template() -> Option<gst::PadTemplate> {
    let caps = gst_video::VideoCapsBuilder::new()
        .format(VideoFormat::Gray8)
        .width_range(1..=MAX_SIZE)
        .height_range(1..=MAX_SIZE)
        .build();
    gst::PadTemplate::new(
        PAD,
        gst::PadDirection::Src,
        gst::PadPresence::Request,
        &caps,
    )
    .ok()
}

/// What it puts out beside ultra-wide video.
fn info_beside(video: &Video) -> Result<VideoInfo, gst::glib::BoolError> {
    let (width, height) = (video.info.width(), video.info.height());
    VideoInfo::builder(VideoFormat::Gray8, width, height)
        .fps(video.info.fps())
        .par(video.info.par())
        .build()
}

/// The map `[H, W]` as a picture.
fn picture(map: &Tensor, info: &VideoInfo) -> Result<gst::Buffer, Box<dyn std::error::Error>> {
    let bytes = map.f_to_device(tch::Device::Cpu)?.f_flatten(0, -1)?;
    let bytes = Vec::<u8>::try_from(&bytes)?;
    let buffer = gst::Buffer::with_size(info.size())?;
    let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, info)
        .map_err(|_| "the buffer has no room for the picture")?;
    let (width, stride) = (
        info.width() as usize,
        info.stride()[0].unsigned_abs() as usize,
    );
    let rows = frame.plane_data_mut(0)?;
    for (row, from) in rows.chunks_mut(stride).zip(bytes.chunks(width)) {
        for (to, from) in row.iter_mut().zip(from) {
            *to = *from;
        }
    }
    Ok(frame.into_buffer())
}

impl RefVsr {
    fn confidence_pad(&self) -> Option<gst::Pad> {
        self.obj().static_pad(PAD)
    }

    /// The pad, at an application's request.
    pub fn new_confidence(&self, template: &gst::PadTemplate) -> gst::Pad {
        gst::Pad::builder_from_template(template)
            .name(PAD)
            .event_function(Self::confidence_event)
            .query_function(Self::confidence_query)
            .build()
    }

    /// The application needs it no more.
    pub fn remove_confidence(&self, pad: &gst::Pad) {
        // A pad that is not active any more may be removed at any time.
        if pad.set_active(false).is_err() || self.obj().remove_pad(pad).is_err() {
            gst::error!(CAT, imp = self, "Pad '{PAD}' could not be removed");
        }
    }

    /// What comes from downstream of it concerns the element as if it came to the source pad; but QOS does
    /// not, which the network's output decides.
    fn confidence_event(pad: &gst::Pad, parent: Option<&gst::Object>, event: gst::Event) -> bool {
        if matches!(
            event.type_(),
            gst::EventType::Qos | gst::EventType::Reconfigure
        ) {
            return true;
        }
        let element = parent.and_then(|parent| parent.downcast_ref::<super::RefVsr>());
        match element {
            // It is of the ultra-wide video's size.
            Some(element) if event.type_() == gst::EventType::Navigation => {
                element.imp().ultrawide.push_event(event)
            }
            Some(element) => element.src_pad().send_event(event),
            None => gst::Pad::event_default(pad, parent, event),
        }
    }

    fn confidence_query(
        pad: &gst::Pad,
        parent: Option<&gst::Object>,
        query: &mut gst::QueryRef,
    ) -> bool {
        let is_pads_own = matches!(
            query.type_(),
            gst::QueryType::Caps | gst::QueryType::AcceptCaps | gst::QueryType::Allocation
        );
        match parent.and_then(|parent| parent.downcast_ref::<super::RefVsr>()) {
            Some(element) if !is_pads_own => element.src_pad().query(query),
            _ => gst::Pad::query_default(pad, parent, query),
        }
    }

    /// What the pad is to put out with the frame that was received last; `None` where there is no pad.
    pub fn confidence_map(&self, work: &Work) -> Result<Option<Tensor>, gst::FlowError> {
        if !self.confidence_pad().is_some_and(|pad| pad.is_linked()) {
            return Ok(None);
        }
        let bytes = |map: Tensor| -> ::refvsr::Result<Tensor> {
            let scaled = map.f_mul_scalar(255.0)?.f_add_scalar(0.5)?;
            Ok(scaled
                .f_clamp(0.0, 255.0)?
                .f_to_kind(Kind::Uint8)?
                .f_squeeze()?)
        };
        let map = work.session.confidence_map();
        map.and_then(|map| map.map(bytes).transpose())
            .map_err(|e| self.failed(&e))
    }

    /// Puts out a frame's map before the frame.
    pub fn put_out_confidence(
        &self,
        map: &Tensor,
        shell: &gst::BufferRef,
        input: &Video,
    ) -> Result<(), gst::FlowError> {
        let Some(pad) = self.confidence_pad() else {
            return Ok(());
        };
        let info = info_beside(input).map_err(|e| self.bad_output(&e.to_string()))?;
        let mut buffer = picture(map, &info).map_err(|why| self.bad_output(&why.to_string()))?;
        if let Some(buffer) = buffer.get_mut() {
            shell
                .copy_into(
                    buffer,
                    gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS,
                    ..,
                )
                .map_err(|e| self.bad_output(&e.to_string()))?;
        }
        self.begin_confidence(&pad, &info)?;
        match pad.push(buffer) {
            // Whoever does not want it any more, or at present, does not end the video. If the video is
            // flushed too, it says so itself.
            Err(gst::FlowError::NotLinked | gst::FlowError::Eos | gst::FlowError::Flushing) => {
                Ok(())
            }
            Err(gst::FlowError::NotNegotiated) => Err(self.no_confidence(&pad)),
            result => result.map(|_| ()),
        }
    }

    /// Tells that a frame has no map: the network did not see it.
    pub fn skip_confidence(&self, shell: &gst::BufferRef) {
        if let Some((pad, pts)) = self.confidence_pad().zip(shell.pts()) {
            let gap = gst::event::Gap::builder(pts).duration(shell.duration());
            self.put_out_confidence_gap(&pad, gap.build());
        }
    }

    /// Nothing comes before caps and segment.
    fn put_out_confidence_gap(&self, pad: &gst::Pad, gap: gst::Event) {
        if pad.current_caps().is_some() {
            self.announce_confidence_segment(pad);
            pad.push_event(gap);
        }
    }

    /// Tells of what comes, as far as that is news.
    fn begin_confidence(&self, pad: &gst::Pad, info: &VideoInfo) -> Result<(), gst::FlowError> {
        self.start_confidence(pad);
        let caps = info
            .to_caps()
            .map_err(|e| self.bad_output(&e.to_string()))?;
        if pad.current_caps().as_ref() != Some(&caps) {
            pad.push_event(gst::event::Caps::new(&caps));
        }
        self.announce_confidence_segment(pad);
        Ok(())
    }

    fn announce_confidence_segment(&self, pad: &gst::Pad) {
        let Some(segment) = self.running(|running| running.segment.clone()).flatten() else {
            return;
        };
        let told = pad.sticky_event::<gst::event::Segment>(0);
        if !told.is_some_and(|told| told.segment() == segment.upcast_ref()) {
            let news = gst::event::Segment::builder(&segment);
            pad.push_event(news.seqnum_if_some(self.segment_seqnum()).build());
        }
    }

    fn start_confidence(&self, pad: &gst::Pad) {
        if pad.sticky_event::<gst::event::StreamStart>(0).is_none()
            && let Some(start) = self.stream_start("refvsr/confidence")
        {
            pad.push_event(start);
        }
    }

    /// Sends on what holds for both outputs, when it leaves the element.
    pub fn pass_on_confidence_event(&self, event: &gst::EventRef) {
        let Some(pad) = self.confidence_pad() else {
            return;
        };
        match event.type_() {
            gst::EventType::FlushStart | gst::EventType::FlushStop => {
                pad.push_event(event.to_owned());
            }
            gst::EventType::Eos => {
                self.start_confidence(&pad);
                pad.push_event(event.to_owned());
            }
            gst::EventType::Gap => self.put_out_confidence_gap(&pad, event.to_owned()),
            _ => (),
        }
    }
}
