//! The element's virtual functions.
//!
//! Two locks, `settings` and `state`, each held for a moment only and never over a call into the base class, the bus or the network. The
//! streaming thread takes [`Work`] out of the state for as long as it needs it. The one exception is [`Unlinked`]'s lock
//! of the pads that were ended, held over their events so that an end and its taking back keep their order; the streaming thread never takes it.

use super::{
    MissingReference, caps,
    caps::Video,
    flushes::Flushes,
    frames::{self, Reference},
    model,
    pairing::{Pair, Stamped, automatic_tolerance},
    qos::Qos,
    settings::Settings,
    stats::Stats,
    unlinked::{self, Unlinked},
    work::{Camera, Held, Work},
};
use gst::{ClockTime, glib, prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, AggregatorPad, prelude::*, subclass::prelude::*};
use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Instant,
};
use tch::Tensor;

pub static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "refvsr",
        gst::DebugColorFlags::empty(),
        Some("Multi-camera video super-resolution"),
    )
});

/// Everything that changes while the element runs.
#[derive(Default)]
struct State {
    /// `None` while stopped, and while the streaming thread has it.
    work: Option<Work>,
    /// Grows with every flush and stop: what the streaming thread works on is then of no use any more.
    generation: u64,
    /// Output size over input size; 0 while stopped.
    scale: i32,
    look_ahead: usize,
    /// The latency follows from the ultra-wide caps, or from a frame since them.
    latency_known: bool,
    ultrawide: Option<Arc<Video>>,
    wide: Option<Arc<Video>>,
    tele: Option<Arc<Video>>,
    output: Option<Arc<Video>>,
    /// Ultra-wide caps that apply once the frames held are out.
    pending_caps: Option<Arc<Video>>,
    /// Likewise a segment.
    pending_segment: Option<gst::FormattedSegment<ClockTime>>,
    /// The segment downstream has.
    segment: Option<gst::FormattedSegment<ClockTime>>,
    flushes: Flushes,
    /// What was flushed since the streaming thread's last turn.
    flushed: Flushed,
    stats: Stats,
    qos: Qos,
}

/// One turn of the streaming thread.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// [`State::generation`] when it began.
    generation: u64,
    /// What has not come yet is too late.
    timeout: bool,
}

/// Pads that were flushed: their frames so far are to be forgotten.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Flushed {
    ultrawide: bool,
    wide: bool,
    tele: bool,
}

pub struct RefVsr {
    ultrawide: AggregatorPad,
    wide: AggregatorPad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    unlinked: Unlinked,
}

#[glib::object_subclass]
impl ObjectSubclass for RefVsr {
    const NAME: &'static str = "GstRefVsr";
    type Type = super::RefVsr;
    type ParentType = gst_base::Aggregator;

    fn with_class(class: &Self::Class) -> Self {
        let pad = |name: &str| match class.pad_template(name) {
            Some(template) => gst::PadBuilder::<AggregatorPad>::from_template(&template).build(),
            None => gst::PadBuilder::<AggregatorPad>::new(gst::PadDirection::Sink)
                .name(name)
                .build(),
        };
        Self {
            ultrawide: pad("ultrawide"),
            wide: pad("wide"),
            settings: Mutex::default(),
            state: Mutex::default(),
            unlinked: Unlinked::default(),
        }
    }
}

impl ObjectImpl for RefVsr {
    fn properties() -> &'static [glib::ParamSpec] {
        Settings::properties()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings.lock().unwrap();
        settings.set(pspec.name(), value);
        gst::debug!(CAT, imp = self, "{} = {value:?}", pspec.name());
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let value = self.settings.lock().unwrap().get(pspec.name());
        value.unwrap_or_else(|| self.state.lock().unwrap().stats.to_structure().to_value())
    }

    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.ultrawide, &self.wide] {
            if let Err(error) = self.obj().add_pad(pad) {
                gst::error!(CAT, imp = self, "{error}");
            }
        }
        self.follow_links(&self.wide);
    }
}

impl GstObjectImpl for RefVsr {}

impl ElementImpl for RefVsr {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Multi-camera video super-resolution",
                "Filter/Converter/Video/Scaler",
                "Enlarges an ultra-wide camera's video with detail from a wide and a tele camera (RefVSR)",
                "The refvsr developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            use gst::{PadDirection::*, PadPresence::*};
            [
                ("ultrawide", Sink, Always),
                ("wide", Sink, Always),
                ("tele", Sink, Request),
                ("src", Src, Always),
            ]
            .into_iter()
            .filter_map(|(name, direction, presence)| {
                gst::PadTemplate::with_gtype(
                    name,
                    direction,
                    presence,
                    &caps::TEMPLATE,
                    AggregatorPad::static_type(),
                )
                .ok()
            })
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::PausedToReady {
            self.unlinked.clear();
            // The streaming thread gives up after the frame it is at.
            self.state.lock().unwrap().generation += 1;
        }
        self.parent_change_state(transition)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        if let Some(pad) = pad.downcast_ref() {
            self.unlinked.forget(pad);
        }
        let name = pad.name();
        self.parent_release_pad(pad);
        // A pad of the same name may be requested again.
        let mut state = self.state.lock().unwrap();
        state.flushes.forget(&name);
        state.tele = None;
        state.flushed.tele = true;
    }
}

impl AggregatorImpl for RefVsr {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings.lock().unwrap().clone();
        let (session, model) = model::load(&self.obj(), &settings)?;
        let mut state = self.state.lock().unwrap();
        *state = State {
            generation: state.generation,
            scale: i32::try_from(session.network().config().scale).unwrap_or(0),
            look_ahead: session.look_ahead(),
            stats: Stats::new(model, session.memory()),
            work: Some(Work::new(session)),
            ..State::default()
        };
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let old = {
            let mut state = self.state.lock().unwrap();
            let fresh = State {
                generation: state.generation + 1,
                stats: state.stats.clone(),
                ..State::default()
            };
            std::mem::replace(&mut *state, fresh)
        };
        drop(old); // frees the device's memory, with no lock held
        Ok(())
    }

    fn clip(&self, pad: &AggregatorPad, buffer: gst::Buffer) -> Option<gst::Buffer> {
        // Called with the pad's lock held: nothing of ours may be locked here.
        let Some((segment, pts)) = pad.segment().downcast::<ClockTime>().ok().zip(buffer.pts())
        else {
            return Some(buffer);
        };
        let end = buffer
            .duration()
            .map(|duration| pts.saturating_add(duration));
        if segment.clip(pts, end).is_none() {
            gst::debug!(
                CAT,
                obj = pad,
                "Dropped a buffer outside of the segment: {buffer:?}"
            );
            return None;
        }
        Some(buffer)
    }

    fn create_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<AggregatorPad> {
        if template.name_template() != "tele" || self.tele().is_some() {
            gst::error!(
                CAT,
                imp = self,
                "There is one pad to request, 'tele', and it can be requested once"
            );
            return None;
        }
        let pad = gst::PadBuilder::<AggregatorPad>::from_template(template)
            .name("tele")
            .build();
        self.follow_links(&pad);
        if self.state.lock().unwrap().scale != 0 {
            self.watch_unlinked();
        }
        Some(pad)
    }

    fn sink_event(&self, pad: &AggregatorPad, event: gst::Event) -> bool {
        let ultrawide = *pad == self.ultrawide;
        match event.view() {
            gst::EventView::Caps(caps) => {
                return match Video::new(caps.caps()) {
                    Ok(video) if ultrawide => self.take_ultrawide_caps(video),
                    Ok(video) => {
                        gst::info!(CAT, obj = pad, "New caps {}", video.caps);
                        {
                            let mut state = self.state.lock().unwrap();
                            let slot = if *pad == self.wide {
                                &mut state.wide
                            } else {
                                &mut state.tele
                            };
                            *slot = Some(Arc::new(video));
                        }
                        if !self.ultrawide.is_linked() {
                            self.watch_ultrawide();
                        }
                        true
                    }
                    Err(why) => {
                        gst::element_imp_error!(
                            self,
                            gst::StreamError::Format,
                            ("Video on pad {}: {why}", pad.name())
                        );
                        false
                    }
                };
            }
            gst::EventView::Segment(segment) => {
                let Some(segment) = segment.segment().downcast_ref::<ClockTime>() else {
                    let format = segment.segment().format();
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Format,
                        (
                            "Pad {} has a segment in {format}, time expected",
                            pad.name()
                        )
                    );
                    return false;
                };
                if ultrawide {
                    self.take_segment(segment);
                }
            }
            gst::EventView::SegmentDone(_) if !ultrawide => return true, // the output is as long as the ultra-wide video
            gst::EventView::SegmentDone(_) => self.drain_now(),
            gst::EventView::FlushStart(_) => {
                self.state.lock().unwrap().flushes.start(pad.name());
                if ultrawide {
                    self.forget_clip();
                    self.flush_unlinked(&event);
                }
            }
            gst::EventView::FlushStop(_) => {
                // Nothing of the base class's flush() is left to do: by then each pad's frames have been forgotten with its own flush.
                if ultrawide {
                    self.forget_clip();
                    self.flush_unlinked(&event);
                }
                let seqnum = event.seqnum();
                {
                    let mut state = self.state.lock().unwrap();
                    let flushed = &mut state.flushed;
                    *(if ultrawide {
                        &mut flushed.ultrawide
                    } else if *pad == self.wide {
                        &mut flushed.wide
                    } else {
                        &mut flushed.tele
                    }) = true;
                }
                let done = self.parent_sink_event(pad, event);
                self.state.lock().unwrap().flushes.stop(pad.name(), seqnum);
                return done;
            }
            _ => (),
        }
        self.parent_sink_event(pad, event)
    }

    fn sink_query(&self, pad: &AggregatorPad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let mut caps = if *pad == self.ultrawide {
                    self.acceptable_ultrawide_caps()
                } else {
                    caps::TEMPLATE.clone()
                };
                if let Some(filter) = query.filter() {
                    caps = filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
                }
                query.set_result(&caps);
                true
            }
            gst::QueryViewMut::AcceptCaps(query) => {
                // Caps that do not say how they are interlaced are progressive.
                let accepted =
                    query.caps().can_intersect(&caps::TEMPLATE) && Video::new(query.caps()).is_ok();
                query.set_result(accepted);
                true
            }
            _ => self.parent_sink_query(pad, query),
        }
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            let (_, proportion, late, timestamp) = qos.get();
            let mut state = self.state.lock().unwrap();
            let duration = state
                .ultrawide
                .as_ref()
                .and_then(|video| video.frame_duration());
            state.qos.update(proportion, late, timestamp, duration);
        }
        if let gst::EventView::Seek(seek) = event.view()
            && seek.get().1.contains(gst::SeekFlags::FLUSH)
        {
            self.state.lock().unwrap().flushes.seek();
            let done = self.parent_src_event(event);
            self.state.lock().unwrap().flushes.seek_done();
            return done;
        }
        self.parent_src_event(event)
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            // The output is as long, and as seekable, as the ultra-wide video is.
            gst::QueryViewMut::Position(_)
            | gst::QueryViewMut::Duration(_)
            | gst::QueryViewMut::Seeking(_)
            | gst::QueryViewMut::Uri(_) => self.ultrawide.peer_query(query),
            gst::QueryViewMut::Caps(query) => {
                let (ultrawide, scale) = {
                    let state = self.state.lock().unwrap();
                    (
                        state
                            .pending_caps
                            .clone()
                            .or_else(|| state.ultrawide.clone()),
                        state.scale,
                    )
                };
                let caps = ultrawide
                    .and_then(|video| caps::source_caps(&video, scale))
                    .unwrap_or_else(|| caps::TEMPLATE.clone());
                let caps = match query.filter() {
                    Some(filter) => {
                        filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First)
                    }
                    None => caps,
                };
                query.set_result(&caps);
                true
            }
            _ => self.parent_src_query(query),
        }
    }

    fn next_time(&self) -> Option<ClockTime> {
        // Without an ultra-wide frame there is nothing to give up waiting for; a time in the past would make the base class ask again and again.
        if self.ultrawide.is_eos() {
            Some(ClockTime::ZERO)
        } else if self.ultrawide.has_buffer() {
            self.obj().simple_get_next_time()
        } else {
            None
        }
    }

    fn negotiate(&self) -> bool {
        // Before the first caps there is nothing to settle; when they apply, this is called again.
        self.state.lock().unwrap().ultrawide.is_none() || self.parent_negotiate()
    }

    fn update_src_caps(&self, downstream: &gst::Caps) -> Result<gst::Caps, gst::FlowError> {
        let (ultrawide, scale) = {
            let state = self.state.lock().unwrap();
            (state.ultrawide.clone(), state.scale)
        };
        let ultrawide = ultrawide.ok_or(AGGREGATOR_FLOW_NEED_DATA)?;
        let caps = caps::source_caps(&ultrawide, scale).ok_or(gst::FlowError::NotNegotiated)?;
        let caps = caps.intersect_with_mode(downstream, gst::CapsIntersectMode::First);
        if caps.is_empty() {
            return Err(gst::FlowError::NotNegotiated);
        }
        Ok(caps::fixate_source(&ultrawide, caps))
    }

    fn negotiated_src_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let output = Video::new(caps).map_err(|why| gst::loggable_error!(CAT, "{why}"))?;
        gst::info!(CAT, imp = self, "Output caps {caps}");
        self.state.lock().unwrap().output = Some(Arc::new(output));
        Ok(())
    }

    fn propose_allocation(
        &self,
        _pad: &AggregatorPad,
        _decide: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // Rows may lie anywhere.
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        Ok(())
    }

    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
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

    fn aggregate(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        let linked: Vec<_> = self
            .obj()
            .sink_pads()
            .iter()
            .filter(|pad| pad.is_linked())
            .map(|pad| pad.name())
            .collect();
        let (work, generation) = {
            let mut state = self.state.lock().unwrap();
            if state.flushes.under_way(&linked) {
                drop(state);
                // Briefly: the base class may be about to stop this thread.
                std::thread::sleep(std::time::Duration::from_millis(1));
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            let flushed = std::mem::take(&mut state.flushed);
            if let Some(work) = &mut state.work {
                if flushed.wide {
                    work.wide = Camera::default();
                }
                if flushed.tele {
                    work.tele = Camera::default();
                }
            }
            if flushed != Flushed::default() {
                // At the end of a turn the base class lets go of buffers that were peeked at, which may be from before the flush.
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            (state.work.take(), state.generation)
        };
        let Some(mut work) = work else {
            return Err(gst::FlowError::Flushing);
        };
        let result = self.step(
            &mut work,
            Turn {
                generation,
                timeout,
            },
        );
        self.put_back(work, generation);
        result
    }
}

impl RefVsr {
    /// One turn of the streaming thread: takes an ultra-wide frame if its references are known, and puts out what is finished by it.
    fn step(&self, work: &mut Work, turn: Turn) -> Result<gst::FlowSuccess, gst::FlowError> {
        let generation = turn.generation;
        if self.has_pending() {
            self.drain(work, generation)?;
            self.apply_pending()?;
            work.announced = false;
        }
        let Some(buffer) = self.ultrawide.peek_buffer() else {
            if !self.ultrawide.is_eos() {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            gst::debug!(CAT, imp = self, "End of the ultra-wide stream");
            self.drain(work, generation)?;
            return Err(gst::FlowError::Eos);
        };
        let settings = self.settings.lock().unwrap().clone();
        let time = work.clock.time(&self.ultrawide, &buffer);

        if buffer.size() == 0 && buffer.flags().contains(gst::BufferFlags::GAP) {
            let buffer = self.take(&self.ultrawide, buffer, generation)?;
            work.clock.advance(time, buffer.duration());
            if let Some(pts) = buffer.pts() {
                work.held.push_back(Held::Gap(pts, buffer.duration()));
            }
            return self.put_out(work, generation, &settings, Instant::now());
        }

        let (ultrawide, wide, tele) = {
            let state = self.state.lock().unwrap();
            (
                state.ultrawide.clone(),
                state.wide.clone(),
                state.tele.clone(),
            )
        };
        let ultrawide = ultrawide.ok_or_else(|| self.no_caps(&self.ultrawide))?;
        let duration = buffer.duration().or_else(|| ultrawide.frame_duration());
        let tolerance = |other: &Option<Arc<Video>>| match settings.pts_tolerance {
            ClockTime::ZERO => automatic_tolerance(
                duration,
                other.as_ref().and_then(|video| video.frame_duration()),
            ),
            tolerance => tolerance,
        };
        let (wide_tolerance, tele_tolerance) = (tolerance(&wide), tolerance(&tele));
        let tele_pad = self.tele();
        let mut decided = self.look(
            &self.wide,
            &mut work.wide,
            &wide,
            time,
            wide_tolerance,
            turn,
        )?;
        if let Some(pad) = &tele_pad {
            let known = self.look(pad, &mut work.tele, &tele, time, tele_tolerance, turn)?;
            decided &= known || !settings.use_tele;
        }
        if !decided {
            gst::trace!(
                CAT,
                imp = self,
                "The frame at {time} waits for its references"
            );
            return Err(AGGREGATOR_FLOW_NEED_DATA);
        }

        let started = Instant::now();
        let buffer = self.take(&self.ultrawide, buffer, generation)?;
        work.clock.advance(time, duration);
        self.learn_latency(duration);
        self.obj()
            .selected_samples(buffer.pts(), buffer.dts(), duration, None);
        let device = work.session.network().device();
        let picture = frames::read(&buffer, &ultrawide, device)
            .map_err(|why| self.bad_frame(&self.ultrawide, &why))?;
        let wide = self.reference(
            &self.wide,
            &mut work.wide,
            time,
            wide_tolerance,
            &settings,
            device,
        )?;
        let tele = match &tele_pad {
            Some(pad) if settings.use_tele => {
                self.reference(pad, &mut work.tele, time, tele_tolerance, &settings, device)?
            }
            _ => None,
        };
        gst::log!(
            CAT,
            imp = self,
            "Frame at {time}, wide: {}, tele: {}",
            wide.is_some(),
            tele.is_some()
        );
        let shell = frames::shell(&buffer)
            .map_err(|why| self.bad_frame(&self.ultrawide, &why.to_string()))?;
        drop(buffer);
        self.state.lock().unwrap().stats.frames_in += 1;
        work.session
            .send(::refvsr::Triplet {
                ultrawide: picture,
                wide,
                tele,
            })
            .map_err(|e| self.failed(&e))?;
        work.under_way = true;
        work.held.push_back(Held::Frame(shell));
        self.put_out(work, generation, &settings, started)
    }

    /// Takes the buffer that was peeked at in this turn. Within a turn the base class keeps it for that, whatever happens to the pad; but if there
    /// was a flush since the turn began, then the buffer may be from after it, and stays for the next turn.
    fn take(
        &self,
        pad: &AggregatorPad,
        peeked: gst::Buffer,
        generation: u64,
    ) -> Result<gst::Buffer, gst::FlowError> {
        {
            let state = self.state.lock().unwrap();
            if state.generation != generation || state.flushed != Flushed::default() {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
        }
        drop(peeked); // so that the one returned can be the only reference to it
        pad.pop_buffer().ok_or(AGGREGATOR_FLOW_NEED_DATA)
    }

    /// Looks at a reference pad's frames up to the one after `time`. Whether the frame that belongs there is known.
    fn look(
        &self,
        pad: &AggregatorPad,
        camera: &mut Camera,
        video: &Option<Arc<Video>>,
        time: ClockTime,
        tolerance: ClockTime,
        turn: Turn,
    ) -> Result<bool, gst::FlowError> {
        loop {
            // Nothing that stays queued is remembered from one turn to the next, but that it need not be converted again.
            let Some(buffer) = pad.peek_buffer() else {
                camera.pairing.hide();
                break;
            };
            let start = camera.clock.time(pad, &buffer);
            let duration = buffer
                .duration()
                .or_else(|| video.as_ref().and_then(|video| video.frame_duration()));
            let known = camera
                .pairing
                .head()
                .and_then(|head| head.frame.as_ref())
                .is_some_and(|frame| frame.is_of(&buffer));
            if !known {
                let frame = match video {
                    _ if buffer.flags().contains(gst::BufferFlags::GAP) => None,
                    Some(video) => Some(Reference::new(buffer.clone(), video.clone())),
                    None => return Err(self.no_caps(pad)),
                };
                camera.pairing.show(Stamped {
                    time: start,
                    duration,
                    frame,
                });
            }
            if !camera.pairing.is_due(time) {
                break;
            }
            self.take(pad, buffer, turn.generation)?;
            camera.clock.advance(start, duration);
            camera.pairing.advance(time);
        }
        let complete = turn.timeout || pad.is_eos();
        Ok(!matches!(
            camera.pairing.choose(time, tolerance, complete),
            Pair::Undecided
        ))
    }

    /// The reference picture for the frame at `time`, after [`Self::look`] has said that it is known.
    fn reference(
        &self,
        pad: &AggregatorPad,
        camera: &mut Camera,
        time: ClockTime,
        tolerance: ClockTime,
        settings: &Settings,
        device: tch::Device,
    ) -> Result<Option<Tensor>, gst::FlowError> {
        if let Pair::Found(frame) = camera.pairing.choose(time, tolerance, true) {
            let picture = frame
                .tensor(device)
                .map_err(|why| self.bad_frame(pad, &why))?;
            camera.previous = Some(picture.shallow_clone());
            return Ok(Some(picture));
        }
        gst::debug!(
            CAT,
            obj = pad,
            "No frame belongs to the ultra-wide one at {time}"
        );
        self.state.lock().unwrap().stats.missing_references += 1;
        match settings.on_missing_reference {
            MissingReference::Repeat => Ok(camera.previous.as_ref().map(Tensor::shallow_clone)),
            MissingReference::Own => Ok(None),
            MissingReference::Error => {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Failed,
                    (
                        "No frame on pad {} belongs to the ultra-wide frame at {time} (see on-missing-reference)",
                        pad.name()
                    )
                );
                Err(gst::FlowError::Error)
            }
        }
    }

    /// Puts out everything that is held, as at the end of a clip.
    fn drain(&self, work: &mut Work, generation: u64) -> Result<(), gst::FlowError> {
        let settings = self.settings.lock().unwrap().clone();
        if work.under_way {
            gst::debug!(CAT, imp = self, "Draining");
            work.session.drain();
        }
        self.put_out(work, generation, &settings, Instant::now())?;
        work.end_clip();
        Ok(())
    }

    /// The same between two turns of the streaming thread, on that thread.
    fn drain_now(&self) {
        let (work, generation) = {
            let mut state = self.state.lock().unwrap();
            (state.work.take(), state.generation)
        };
        let Some(mut work) = work else { return };
        if let Err(why) = self.drain(&mut work, generation) {
            // The next turn fails likewise; errors are on the bus.
            gst::debug!(CAT, imp = self, "Drained until {why}");
        }
        self.put_back(work, generation);
    }

    /// Puts out what is finished. `started`: when work on the first of it began.
    fn put_out(
        &self,
        work: &mut Work,
        generation: u64,
        settings: &Settings,
        mut started: Instant,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        loop {
            while let Some(&Held::Gap(pts, duration)) = work.held.front() {
                work.held.pop_front();
                if !work.announced {
                    // The base class sends a segment with the next frame only, and nothing may come before it.
                    gst::debug!(
                        CAT,
                        imp = self,
                        "Left out the gap at {pts}, before the first frame"
                    );
                    continue;
                }
                self.obj()
                    .src_pad()
                    .push_event(gst::event::Gap::builder(pts).duration(duration).build());
            }
            if self.state.lock().unwrap().generation != generation {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            let Some(picture) = work.session.receive().map_err(|e| self.failed(&e))? else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let Some(Held::Frame(shell)) = work.held.pop_front() else {
                gst::element_imp_error!(
                    self,
                    gst::CoreError::Failed,
                    ("More frames were finished than sent")
                );
                return Err(gst::FlowError::Error);
            };
            work.announced |= self.finish(
                &picture,
                &shell,
                work.session.memory(),
                generation,
                settings,
                started,
            )?;
            started = Instant::now();
        }
    }

    /// Puts out one frame, unless it is too late. Whether it did.
    fn finish(
        &self,
        picture: &Tensor,
        shell: &gst::Buffer,
        memory: usize,
        generation: u64,
        settings: &Settings,
        started: Instant,
    ) -> Result<bool, gst::FlowError> {
        let (input, output, segment, qos) = {
            let state = self.state.lock().unwrap();
            (
                state.ultrawide.clone(),
                state.output.clone(),
                state.segment.clone(),
                state.qos,
            )
        };
        let Some((input, output)) = input.zip(output) else {
            return Err(self.not_negotiated());
        };
        let end = shell.pts().map(|pts| {
            pts.saturating_add(
                shell
                    .duration()
                    .or_else(|| input.frame_duration())
                    .unwrap_or_default(),
            )
        });
        let running_time = segment
            .as_ref()
            .zip(shell.pts())
            .and_then(|(segment, pts)| segment.to_running_time(pts));

        let late = qos.lateness(running_time).filter(|_| settings.qos);
        let buffer = match late {
            Some(_) => None,
            None => Some(self.output_buffer(picture, shell, &input, &output)?),
        };
        {
            let mut state = self.state.lock().unwrap();
            if state.generation != generation {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            state.stats.took(started.elapsed());
            state.stats.device_memory = memory as u64;
            match late {
                Some(_) => state.stats.frames_dropped += 1,
                None => state.stats.frames_out += 1,
            }
        }
        let put_out = buffer.is_some();
        match (buffer, late) {
            (Some(buffer), _) => {
                gst::log!(
                    CAT,
                    imp = self,
                    "Putting out the frame at {:?}",
                    buffer.pts()
                );
                self.obj().finish_buffer(buffer)?;
            }
            (None, Some(late)) => {
                self.tell_dropped(shell, segment.as_ref(), running_time, late, qos.proportion)
            }
            (None, None) => (),
        }
        if end.is_some() {
            self.obj().set_position(end);
        }
        Ok(put_out)
    }

    fn output_buffer(
        &self,
        picture: &Tensor,
        shell: &gst::Buffer,
        input: &Video,
        output: &Video,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let mut buffer = match self.obj().buffer_pool() {
            Some(pool) => {
                pool.set_active(true)
                    .map_err(|_| gst::FlowError::Flushing)?;
                pool.acquire_buffer(None)?
            }
            None => {
                gst::Buffer::with_size(output.info.size()).map_err(|_| gst::FlowError::Error)?
            }
        };
        let written = buffer
            .get_mut()
            .ok_or_else(|| "the buffer is shared".to_owned())
            .and_then(|buffer| {
                frames::write(picture, buffer, output)?;
                frames::dress(shell, buffer, input, output).map_err(|e| e.to_string())
            });
        if let Err(why) = written {
            gst::element_imp_error!(
                self,
                gst::StreamError::Encode,
                ("A finished frame could not be put out: {why}")
            );
            return Err(gst::FlowError::Error);
        }
        Ok(buffer)
    }

    fn tell_dropped(
        &self,
        shell: &gst::Buffer,
        segment: Option<&gst::FormattedSegment<ClockTime>>,
        running_time: Option<ClockTime>,
        late: ClockTime,
        proportion: f64,
    ) {
        let stats = self.state.lock().unwrap().stats.clone();
        let stream_time = segment
            .zip(shell.pts())
            .and_then(|(segment, pts)| segment.to_stream_time(pts));
        let message = gst::message::Qos::builder(self.obj().latency().is_some())
            .running_time(running_time)
            .stream_time(stream_time)
            .timestamp(shell.pts())
            .duration(shell.duration())
            .values(
                i64::try_from(late.nseconds()).unwrap_or(i64::MAX),
                proportion,
                1_000_000,
            )
            .stats(
                gst::format::Buffers::from_u64(stats.frames_out),
                gst::format::Buffers::from_u64(stats.frames_dropped),
            )
            .src(&*self.obj())
            .build();
        gst::debug!(
            CAT,
            imp = self,
            "Left out the frame at {running_time:?}, {late} too late"
        );
        if self.obj().post_message(message).is_err() {
            gst::debug!(CAT, imp = self, "No bus takes the QOS message");
        }
    }

    /// New ultra-wide caps: the latency follows from them at once, all else when the frames held are out.
    fn take_ultrawide_caps(&self, video: Video) -> bool {
        gst::info!(CAT, obj = self.ultrawide, "New caps {}", video.caps);
        let (scale, look_ahead) = {
            let state = self.state.lock().unwrap();
            (state.scale, state.look_ahead)
        };
        if caps::source_caps(&video, scale).is_none() {
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                (
                    "Ultra-wide video of {}x{} is too large to be enlarged {scale} times",
                    video.info.width(),
                    video.info.height()
                )
            );
            return false;
        }
        let frame = video.shortest_duration();
        {
            let mut state = self.state.lock().unwrap();
            state.latency_known = frame.is_some();
            let current = state.pending_caps.as_ref().or(state.ultrawide.as_ref());
            if current.is_none_or(|current| **current != video) {
                state.pending_caps = Some(Arc::new(video));
            }
        }
        self.set_latency_for(look_ahead, frame.unwrap_or_default());
        if self.references().iter().any(|pad| !pad.is_linked()) {
            self.watch_unlinked();
        }
        true
    }

    fn set_latency_for(&self, look_ahead: usize, frame: ClockTime) {
        let latency = frame
            .nseconds()
            .saturating_mul(look_ahead as u64)
            .min(ClockTime::MAX.nseconds());
        self.obj()
            .set_latency(ClockTime::from_nseconds(latency), ClockTime::NONE);
    }

    /// Where the caps do not say how long frames last, the first one does.
    fn learn_latency(&self, frame: Option<ClockTime>) {
        let look_ahead = {
            let mut state = self.state.lock().unwrap();
            if state.latency_known || frame.is_none() {
                return;
            }
            state.latency_known = true;
            state.look_ahead
        };
        self.set_latency_for(look_ahead, frame.unwrap_or_default());
    }

    /// A new ultra-wide segment: at once where nothing is held (live deadlines are reckoned by it), else when that is out.
    fn take_segment(&self, segment: &gst::FormattedSegment<ClockTime>) {
        let at_once = {
            let mut state = self.state.lock().unwrap();
            if state.segment.as_ref() == Some(segment) && state.pending_segment.is_none() {
                return;
            }
            let idle = state
                .work
                .as_mut()
                .filter(|work| !work.under_way && work.held.is_empty());
            let at_once = idle.is_some();
            if let Some(work) = idle {
                work.announced = false;
                state.segment = Some(segment.clone());
            } else {
                state.pending_segment = Some(segment.clone());
            }
            at_once
        };
        if at_once {
            self.obj().update_segment(segment);
        }
    }

    fn has_pending(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.pending_caps.is_some() || state.pending_segment.is_some()
    }

    fn apply_pending(&self) -> Result<(), gst::FlowError> {
        let (segment, negotiate) = {
            let mut state = self.state.lock().unwrap();
            let segment = state.pending_segment.take();
            if segment.is_some() {
                state.segment = segment.clone();
            }
            let caps = state.pending_caps.take();
            let negotiate = caps.is_some();
            if negotiate {
                state.ultrawide = caps;
            }
            (segment, negotiate)
        };
        if let Some(segment) = segment {
            self.obj().update_segment(&segment);
        }
        if negotiate && !self.obj().negotiate() {
            return Err(self.not_negotiated());
        }
        Ok(())
    }

    /// Forgets the frames held and all that led to them, as after a seek.
    fn forget_clip(&self) {
        let mut state = self.state.lock().unwrap();
        state.generation += 1;
        state.pending_segment = None;
        state.segment = None;
        state.qos = Qos::default();
        if let Some(work) = &mut state.work {
            work.reset();
        }
    }

    fn put_back(&self, mut work: Work, generation: u64) {
        let mut state = self.state.lock().unwrap();
        if state.scale == 0 {
            return; // stopped meanwhile
        }
        if state.generation != generation {
            work.reset();
        }
        state.work = Some(work);
    }

    /// Ultra-wide caps whose output downstream takes.
    fn acceptable_ultrawide_caps(&self) -> gst::Caps {
        let scale = self.state.lock().unwrap().scale;
        if scale == 0 {
            return caps::TEMPLATE.clone();
        }
        caps::ultrawide_caps(
            &self.obj().src_pad().peer_query_caps(Some(&caps::TEMPLATE)),
            scale,
        )
    }

    fn tele(&self) -> Option<AggregatorPad> {
        self.obj().static_pad("tele").and_downcast()
    }

    /// Passes the ultra-wide pad's flush on to pads that would otherwise never get it.
    fn flush_unlinked(&self, event: &gst::Event) {
        for pad in self.references().into_iter().filter(|pad| !pad.is_linked()) {
            self.unlinked.flush(&pad, event);
        }
    }

    fn references(&self) -> Vec<AggregatorPad> {
        std::iter::once(self.wide.clone())
            .chain(self.tele())
            .collect()
    }

    /// A pad is waited for while something is linked to it.
    fn follow_links(&self, pad: &AggregatorPad) {
        let element = self.obj().downgrade();
        pad.connect_linked(move |pad, _| {
            if let Some(element) = element.upgrade() {
                let imp = element.imp();
                if imp.unlinked.revive(pad) {
                    imp.state.lock().unwrap().flushes.settle();
                }
            }
        });
        let element = self.obj().downgrade();
        pad.connect_unlinked(move |_, _| {
            if let Some(element) = element.upgrade()
                && element.current_state() >= gst::State::Paused
            {
                element.imp().watch_unlinked();
            }
        });
    }

    /// Ends the pads that are not linked when the time of grace is over.
    fn watch_unlinked(&self) {
        self.watch(unlinked::GRACE, Self::end_unlinked);
    }

    /// Gives up when nothing has been linked to the ultra-wide pad for long: the other streams wait for it.
    fn watch_ultrawide(&self) {
        self.watch(unlinked::ULTRAWIDE_GRACE, |imp| {
            if !imp.ultrawide.is_linked() && imp.state.lock().unwrap().scale != 0 {
                let text = "Nothing is linked to pad ultrawide, whose video is to be enlarged";
                gst::element_imp_error!(imp, gst::StreamError::Failed, ("{text}"));
            }
        });
    }

    /// Looks at the pads after a while, unless the element stops before.
    fn watch(&self, grace: ClockTime, look: impl FnOnce(&Self) + Send + 'static) {
        let element = self.obj().downgrade();
        self.unlinked.watch(grace, move || {
            if let Some(element) = element.upgrade() {
                // Not on the clock's own thread, which serves the whole process.
                element.call_async(|element| look(element.imp()));
            }
        });
    }

    fn end_unlinked(&self) {
        if self.state.lock().unwrap().scale == 0 {
            return; // stopped meanwhile
        }
        for pad in self.references() {
            if self.unlinked.end(&pad) {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Failed,
                    (
                        "Nothing is linked to pad {}: all its frames count as missing (see on-missing-reference)",
                        pad.name()
                    )
                );
            }
        }
    }

    fn no_caps(&self, pad: &AggregatorPad) -> gst::FlowError {
        gst::element_imp_error!(
            self,
            gst::CoreError::Negotiation,
            ("Pad {} got a buffer before caps", pad.name())
        );
        gst::FlowError::NotNegotiated
    }

    fn not_negotiated(&self) -> gst::FlowError {
        let source = self.obj().src_pad().clone();
        if source.pad_flags().contains(gst::PadFlags::FLUSHING) {
            return gst::FlowError::Flushing;
        }
        let downstream = source.peer_query_caps(None);
        gst::element_imp_error!(
            self,
            gst::CoreError::Negotiation,
            ("Downstream takes no video that the ultra-wide video can be put out as: {downstream}")
        );
        gst::FlowError::NotNegotiated
    }

    fn bad_frame(&self, pad: &AggregatorPad, why: &str) -> gst::FlowError {
        gst::element_imp_error!(
            self,
            gst::StreamError::Decode,
            ("Frame on pad {}: {why}", pad.name())
        );
        gst::FlowError::Error
    }

    fn failed(&self, error: &::refvsr::Error) -> gst::FlowError {
        gst::element_imp_error!(
            self,
            gst::LibraryError::Failed,
            ("The network failed: {error}")
        );
        gst::FlowError::Error
    }
}
