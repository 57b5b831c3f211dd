//! Where buffers come from: upstream's proposal, and the pool of the output buffers.

use super::{camera::Camera, element::RefVsr, log::CAT};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::prelude::*;
use gst_video::{VideoAlignment, VideoInfo, VideoMeta, prelude::*};

/// Buffers of an ultra-wide stream held at once: the one at the head, and in live pipelines one behind
/// it. Its picture is read when it is taken.
const HELD: u32 = 2;
/// Buffers of a reference stream held at once: those, and two that later ultra-wide frames may be paired
/// to, see [`pairing`](super::pairing).
const HELD_REFERENCES: u32 = 4;

/// Tells upstream what its buffers may look like, and how many it needs to have.
pub fn propose(camera: Camera, query: &mut gst::query::Allocation) {
    // Rows may lie anywhere.
    query.add_allocation_meta::<VideoMeta>(None);
    let size = query
        .get()
        .0
        .and_then(|caps| VideoInfo::from_caps(caps).ok())
        .and_then(|info| u32::try_from(info.size()).ok());
    if let Some(size) = size {
        let held = match camera {
            Camera::UltraWide => HELD,
            Camera::Wide | Camera::Tele => HELD_REFERENCES,
        };
        query.add_allocation_pool(None::<&gst::BufferPool>, size, held, 0);
    }
}

/// What downstream asks of the output buffers.
struct Wishes {
    caps: gst::Caps,
    size: u32,
    least: u32,
    /// 0: any number.
    most: u32,
    allocator: Option<gst::Allocator>,
    params: gst::AllocationParams,
    video_meta: bool,
    alignment: Option<VideoAlignment>,
}

/// Settles the pool of the output buffers in downstream's answer: its own pool if it has one.
pub fn decide(query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
    let caps = query
        .get_owned()
        .0
        .ok_or_else(|| gst::loggable_error!(CAT, "no caps to allocate for"))?;
    let size = VideoInfo::from_caps(&caps)?.size();
    let size = u32::try_from(size)
        .map_err(|_| gst::loggable_error!(CAT, "{caps} is too large a picture"))?;
    let (allocator, params) = query.allocation_params().next().unwrap_or_default();
    let answer = query.allocation_pools().next();
    let is_answered = answer.is_some();
    let (theirs, asked, least, most) = answer.unwrap_or_default();
    let wishes = Wishes {
        caps,
        size: size.max(asked),
        least,
        most,
        allocator,
        params,
        video_meta: query.find_allocation_meta::<VideoMeta>().is_some(),
        alignment: alignment(query),
    };
    let pool = match theirs.filter(|pool| wishes.apply(pool, most).is_ok()) {
        Some(pool) => pool,
        None => {
            let pool = gst_video::VideoBufferPool::new().upcast();
            wishes.apply(&pool, 0)?;
            pool
        }
    };
    let Wishes { size, least, .. } = wishes;
    if is_answered {
        query.set_nth_allocation_pool(0, Some(&pool), size, least, wishes.most);
    } else {
        query.add_allocation_pool(Some(&pool), size, least, wishes.most);
    }
    Ok(())
}

/// The padding that downstream needs about pictures, which it tells with the meta of their planes.
fn alignment(query: &gst::query::Allocation) -> Option<VideoAlignment> {
    let wanted = VideoMeta::meta_api();
    let told = query
        .allocation_metas()
        .find_map(|(api, told)| (api == wanted).then_some(told))??;
    let number = |name: &str| told.get::<u32>(name).unwrap_or(0);
    let strides = std::array::from_fn(|plane| number(&format!("stride-align{plane}")));
    let [top, bottom, left, right] =
        ["top", "bottom", "left", "right"].map(|side| number(&format!("padding-{side}")));
    Some(VideoAlignment::new(top, bottom, left, right, &strides))
}

impl Wishes {
    /// Sets a pool up for them, with at most so many buffers.
    fn apply(&self, pool: &gst::BufferPool, most: u32) -> Result<(), gst::glib::BoolError> {
        let mut config = pool.config();
        config.set_params(Some(&self.caps), self.size, self.least, most);
        config.set_allocator(self.allocator.as_ref(), Some(&self.params));
        if self.video_meta {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        }
        let aligned = gst_video::BUFFER_POOL_OPTION_VIDEO_ALIGNMENT;
        if let Some(alignment) = self.alignment.filter(|_| pool.has_option(aligned)) {
            config.add_option(aligned);
            config.set_video_alignment(&alignment);
        }
        let Err(refused) = pool.set_config(config) else {
            return Ok(());
        };
        // It may have changed what it can do otherwise.
        let config = pool.config();
        match config.validate_params(Some(&self.caps), self.size, self.least, most) {
            Ok(()) => pool.set_config(config),
            Err(_) => Err(refused),
        }
    }
}

impl RefVsr {
    /// Ends waiting for a buffer of a pool that has so many of them, or allows it again.
    pub fn flush_pool(&self, flushing: bool) {
        if let Some(pool) = self.obj().buffer_pool().filter(|pool| pool.is_active()) {
            pool.set_flushing(flushing);
        }
    }
}
