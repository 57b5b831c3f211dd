//! Where buffers come from: upstream's proposal, and the pool of the output buffers.

use super::log::CAT;
use gst::prelude::*;

/// Tells upstream what its buffers may look like.
pub fn propose(query: &mut gst::query::Allocation) {
    // Rows may lie anywhere.
    query.add_allocation_meta::<gst_video::VideoMeta>(None);
}

/// Settles the pool of the output buffers in downstream's answer.
pub fn decide(query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
    let caps = query
        .get_owned()
        .0
        .ok_or_else(|| gst::loggable_error!(CAT, "no caps to allocate for"))?;
    let info = gst_video::VideoInfo::from_caps(&caps)?;
    let size = u32::try_from(info.size())
        .map_err(|_| gst::loggable_error!(CAT, "{caps} is too large a picture"))?;
    let (allocator, params) = query.allocation_params().next().unwrap_or_default();
    // A pool with a limited number of buffers could keep the element waiting for one while it is told to stop.
    let theirs = query
        .allocation_pools()
        .find_map(|(pool, _, _, max)| (max == 0).then_some(pool).flatten());
    let pool = theirs.unwrap_or_else(|| gst_video::VideoBufferPool::new().upcast());
    let mut config = pool.config();
    config.set_params(Some(&caps), size, 0, 0);
    config.set_allocator(allocator.as_ref(), Some(&params));
    if query
        .find_allocation_meta::<gst_video::VideoMeta>()
        .is_some()
    {
        config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
    }
    let pool = match pool.set_config(config) {
        Ok(()) => pool,
        Err(_) => {
            let pool = gst_video::VideoBufferPool::new();
            let mut config = pool.config();
            config.set_params(Some(&caps), size, 0, 0);
            pool.set_config(config)?;
            pool.upcast()
        }
    };
    if query.allocation_pools().next().is_some() {
        query.set_nth_allocation_pool(0, Some(&pool), size, 0, 0);
    } else {
        query.add_allocation_pool(Some(&pool), size, 0, 0);
    }
    Ok(())
}
