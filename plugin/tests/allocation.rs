//! Where buffers come from, and how long those of upstream are held.

mod common;
use common::*;
use gst::prelude::*;
use gst_video::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Size of the output pictures.
fn out_size() -> (usize, usize) {
    (SIZE.0 * SCALE, SIZE.1 * SCALE)
}

/// Answers the element's allocation queries as a sink with such a pool and such padding would.
fn answer(
    rig: &Rig,
    pool: Option<gst::BufferPool>,
    (least, most): (u32, u32),
    padding: Option<gst::Structure>,
) {
    let source = rig.element.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(query) = info.query_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let gst::QueryViewMut::Allocation(query) = query.view_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        let caps = query.get_owned().0.unwrap();
        let size = gst_video::VideoInfo::from_caps(&caps).unwrap().size() as u32;
        query.add_allocation_pool(pool.as_ref(), size, least, most);
        query.add_allocation_meta::<gst_video::VideoMeta>(padding.as_deref());
        gst::PadProbeReturn::Handled
    });
}

fn feed(rig: &mut Rig, range: std::ops::Range<usize>) {
    for n in range {
        rig.wide().push(frame(WIDE, n)).unwrap();
        rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
    }
}

#[test]
fn upstream_is_told_how_many_buffers_are_held() {
    let mut rig = Rig::new(element());
    rig.link_tele();
    rig.tele.as_mut().unwrap().push(frame(TELE, 0)).unwrap();
    feed(&mut rig, 0..1);
    for (pad, held) in [("ultrawide", 2), ("wide", 4), ("tele", 4)] {
        let pad = rig.element.static_pad(pad).unwrap();
        let mut query = gst::query::Allocation::new(Some(&caps()), true);
        assert!(pad.query(&mut query));
        let pools: Vec<_> = query.allocation_pools().collect();
        let size = (SIZE.0 * SIZE.1 * 3) as u32;
        assert!(
            matches!(pools[..], [(None, of, least, 0)] if of == size && least == held),
            "{pools:?}"
        );
    }
}

#[test]
fn downstreams_pool_its_least_number_and_its_padding_are_honoured() {
    let mut rig = Rig::new(with_lookahead(0));
    let pool: gst::BufferPool = gst_video::VideoBufferPool::new().upcast();
    let padding = gst::Structure::builder("video-meta")
        .field("padding-right", 8_u32)
        .field("padding-bottom", 4_u32)
        .field("stride-align0", 63_u32)
        .build();
    answer(&rig, Some(pool.clone()), (4, 0), Some(padding));
    feed(&mut rig, 0..1);
    let out = pulled(&mut rig.ultrawide);
    assert!(pool.is_active(), "downstream's pool is in use");
    let (_, size, least, most) = pool.config().params().unwrap();
    assert_eq!((least, most), (4, 0));
    assert!(out.size() <= size as usize);
    let meta = out.meta::<gst_video::VideoMeta>().unwrap();
    let (width, height) = out_size();
    assert_eq!((meta.width(), meta.height()), (width as u32, height as u32));
    assert_eq!(meta.stride()[0] % 64, 0);
    assert!(meta.stride()[0] as usize >= (width + 8) * 3);
    // And the picture lies in it as it would anywhere.
    let caps = rig.element.static_pad("src").unwrap().current_caps();
    let info = gst_video::VideoInfo::from_caps(&caps.unwrap()).unwrap();
    let shown = gst_video::VideoFrameRef::from_buffer_ref_readable(&out, &info).unwrap();
    let stride = shown.plane_stride()[0] as usize;
    let rows = shown.plane_data(0).unwrap().chunks(stride);
    let tight: Vec<u8> = rows
        .take(height)
        .flat_map(|row| &row[..width * 3])
        .copied()
        .collect();
    assert_eq!(tight, expected(&together(0..1), 0)[0]);
}

#[test]
fn a_stop_does_not_wait_for_a_buffer_of_an_exhausted_pool() {
    for flush in [false, true] {
        let mut rig = Rig::new(with_lookahead(0));
        let pool: gst::BufferPool = gst_video::VideoBufferPool::new().upcast();
        answer(&rig, Some(pool.clone()), (1, 2), None);
        feed(&mut rig, 0..1);
        let kept = [pulled(&mut rig.ultrawide)];
        feed(&mut rig, 1..2);
        let kept = [&kept[..], &[pulled(&mut rig.ultrawide)]].concat();
        // The third frame waits for one of the two.
        feed(&mut rig, 2..3);
        eventually("the third frame", || rig.stat("frames-in") == 3);
        assert_eq!(rig.ultrawide.buffers_in_queue(), 0);
        std::thread::sleep(Duration::from_millis(50));
        let before = Instant::now();
        if flush {
            let seqnum = gst::Seqnum::next();
            let start = gst::event::FlushStart::builder().seqnum(seqnum).build();
            let stop = gst::event::FlushStop::builder(true).seqnum(seqnum).build();
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            for event in [start, stop, gst::event::Segment::new(&segment)] {
                rig.ultrawide.push_event(event.clone());
                rig.wide().push_event(event);
            }
            drop(kept);
            feed(&mut rig, 0..1);
            let out = pulled(&mut rig.ultrawide);
            assert_eq!(bytes(&out), expected(&together(0..1), 0)[0]);
        } else {
            rig.element.set_state(gst::State::Null).unwrap();
        }
        assert!(before.elapsed() < Duration::from(PATIENCE));
    }
}

/// Memory that tells when it is let go of.
struct Watched(Arc<AtomicBool>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &[0; 10]
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn frames_held_do_not_hold_upstreams_memory() {
    let mut rig = Rig::new(with_lookahead(3));
    let gone = Arc::new(AtomicBool::new(false));
    let parent = gst::Buffer::from_slice(Watched(gone.clone()));
    let mut first = frame(ULTRAWIDE, 0);
    {
        let first = first.get_mut().unwrap();
        gst::ParentBufferMeta::add(first, &parent);
        gst_video::VideoRegionOfInterestMeta::add(first, "face", (1, 2, 3, 4));
    }
    drop(parent);
    rig.wide().push(frame(WIDE, 0)).unwrap();
    rig.ultrawide.push(first).unwrap();
    feed(&mut rig, 1..2);
    eventually("the second frame", || rig.stat("frames-in") == 2);
    assert!(
        gone.load(Ordering::SeqCst),
        "the frame held keeps the parent buffer"
    );
    feed(&mut rig, 2..4);
    let out = pulled(&mut rig.ultrawide);
    assert!(out.meta::<gst_video::VideoRegionOfInterestMeta>().is_some());
    assert!(out.meta::<gst::ParentBufferMeta>().is_none());
}
