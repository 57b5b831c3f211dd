//! Queries that the element answers itself.

use super::{
    camera::Camera,
    caps,
    element::RefVsr,
    video::{TEMPLATE, Video, foreign_memory},
};
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

impl RefVsr {
    /// Answers a query on a sink pad; `None`: it is the base class's to answer.
    pub fn answer_sink(&self, camera: Camera, query: &mut gst::QueryRef) -> Option<bool> {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let caps = match camera {
                    Camera::UltraWide => self.acceptable_ultrawide_caps(),
                    Camera::Wide | Camera::Tele => TEMPLATE.clone(),
                };
                answer_caps(query, caps);
                Some(true)
            }
            gst::QueryViewMut::AcceptCaps(query) => {
                // Caps that do not say how they are interlaced are progressive.
                let caps = query.caps();
                let accepted = caps.can_intersect(&TEMPLATE) && Video::new(caps).is_ok();
                // Upstream's own error will not say why.
                if let Some(why) = foreign_memory(caps) {
                    let text = format!("Video on pad {}: {why}", camera.name());
                    gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
                }
                query.set_result(accepted);
                Some(true)
            }
            _ => None,
        }
    }

    /// Answers a query on the source pad; `None`: it is the base class's to answer.
    pub fn answer_source(&self, query: &mut gst::QueryRef) -> Option<bool> {
        match query.view_mut() {
            gst::QueryViewMut::Position(query) => {
                let here = self.running(|running| {
                    let (segment, position) = running.segment.as_ref().zip(running.position)?;
                    segment.to_stream_time(position)
                });
                match here
                    .flatten()
                    .filter(|_| query.format() == gst::Format::Time)
                {
                    Some(here) => query.set(here),
                    None => return Some(self.ultrawide.peer_query(query.query_mut())),
                }
                Some(true)
            }
            // The output is as long, and as seekable, as the ultra-wide video is.
            gst::QueryViewMut::Duration(_)
            | gst::QueryViewMut::Seeking(_)
            | gst::QueryViewMut::Uri(_) => Some(self.ultrawide.peer_query(query)),
            gst::QueryViewMut::Caps(query) => {
                let video = self.running(|running| {
                    let video = running.videos[Camera::UltraWide].clone();
                    video.map(|video| (video, running.scale))
                });
                let caps = video
                    .flatten()
                    .and_then(|(video, scale)| caps::source_caps(&video, scale))
                    .unwrap_or_else(|| TEMPLATE.clone());
                answer_caps(query, caps);
                Some(true)
            }
            _ => None,
        }
    }

    /// Ultra-wide caps whose output downstream takes.
    fn acceptable_ultrawide_caps(&self) -> gst::Caps {
        match self.running(|running| running.scale) {
            Some(scale) => caps::ultrawide_caps(
                &self.obj().src_pad().peer_query_caps(Some(&TEMPLATE)),
                scale,
            ),
            None => TEMPLATE.clone(),
        }
    }
}

fn answer_caps(query: &mut gst::query::Caps, caps: gst::Caps) {
    let caps = match query.filter() {
        Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
        None => caps,
    };
    query.set_result(&caps);
}
