//! The element's class, and its virtual functions, each of which hands on to the file whose job it
//! is.

use super::{
    allocation,
    camera::Camera,
    confidence,
    element::RefVsr,
    log::CAT,
    model::{Loaded, Loading},
    settings::Settings,
    state::{Running, State},
    stats::Stats,
    video::{TEMPLATE, Video},
    work::Work,
};
use gst::{ClockTime, glib, prelude::*, subclass::prelude::*};
use gst_base::{AggregatorPad, prelude::*, subclass::prelude::*};
use std::sync::{Arc, Condvar, LazyLock, Mutex};

#[glib::object_subclass]
impl ObjectSubclass for RefVsr {
    const NAME: &'static str = "GstRefVsr";
    type Type = super::RefVsr;
    type ParentType = gst_base::Aggregator;
    type Interfaces = (gst::ChildProxy, gst::Preset);

    fn with_class(class: &Self::Class) -> Self {
        let name = Camera::UltraWide.name();
        let ultrawide = match class.pad_template(name) {
            Some(template) => gst::PadBuilder::from_template(&template),
            None => gst::PadBuilder::new(gst::PadDirection::Sink).name(name),
        };
        Self {
            ultrawide: ultrawide.build(),
            settings: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }
}

impl ObjectImpl for RefVsr {
    fn properties() -> &'static [glib::ParamSpec] {
        Settings::properties()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.settings.lock().unwrap().set(pspec.name(), value);
        match pspec.name() {
            "processing-deadline" => self.update_latency(),
            "use-tele" => self.settle_all(),
            _ => (),
        }
        gst::debug!(CAT, imp = self, "{} = {value:?}", pspec.name());
        let applies = pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
        if !applies && self.running(|_| ()).is_some() {
            let name = pspec.name();
            gst::warning!(
                CAT,
                imp = self,
                "{name} applies when the element is started next"
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let setting = self.settings.lock().unwrap().get(pspec.name());
        setting.unwrap_or_else(|| self.state().stats.to_structure().to_value())
    }

    fn constructed(&self) {
        self.parent_constructed();
        if let Err(error) = self.obj().add_pad(&self.ultrawide) {
            gst::error!(CAT, imp = self, "{error}");
        }
        self.follow_pads();
    }
}

impl GstObjectImpl for RefVsr {}

/// Lets `gst-launch-1.0` and applications set the pads' properties, as in `wide::zoom=1.9`.
impl ChildProxyImpl for RefVsr {
    fn children_count(&self) -> u32 {
        u32::from(self.obj().num_pads())
    }

    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        let pad = self.obj().pads().into_iter().nth(index as usize)?;
        Some(pad.upcast())
    }

    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        self.obj().static_pad(name).map(Cast::upcast)
    }
}

/// Applications load presets from GstRefVsr.prs.
impl PresetImpl for RefVsr {}

impl ElementImpl for RefVsr {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Multi-camera video super-resolution",
                "Combiner/Video",
                "Enlarges an ultra-wide camera's video with detail from a wide and a tele camera (RefVSR)",
                concat!("The refvsr developers <", env!("CARGO_PKG_REPOSITORY"), ">"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            use gst::{PadDirection::*, PadPresence::*};
            [
                (Camera::UltraWide.name(), Sink, Always),
                (Camera::Wide.name(), Sink, Request),
                (Camera::Tele.name(), Sink, Request),
                ("src", Src, Always),
            ]
            .into_iter()
            .filter_map(|(name, direction, presence)| {
                let kind = match name {
                    "wide" | "tele" => super::RefVsrPad::static_type(),
                    _ => AggregatorPad::static_type(),
                };
                gst::PadTemplate::with_gtype(name, direction, presence, &TEMPLATE, kind).ok()
            })
            .chain(confidence::template())
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.begin_loading(),
            gst::StateChange::PausedToReady => {
                // The base class waits for the streaming threads.
                self.running(Running::stop);
                self.notify();
                self.flush_pool(true);
            }
            gst::StateChange::ReadyToNull => {
                let loading = self.state().loading.take();
                drop(loading.map(|loading| loading.thread.join()));
            }
            _ => (),
        }
        self.parent_change_state(transition)
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        _name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        // The base class's own function would keep a reference for good to a pad that Rust makes.
        let name = template.name_template();
        if self.obj().static_pad(name).is_some() {
            gst::error!(CAT, imp = self, "Pad '{name}' can be requested once");
            return None;
        }
        let pad = match name == confidence::PAD {
            true => self.new_confidence(template),
            false => self.new_reference(template),
        };
        let runs = || self.running(|running| !running.stopping) == Some(true);
        let added = (!runs() || pad.set_active(true).is_ok()) && self.obj().add_pad(&pad).is_ok();
        // Where another thread stops the element it may have been through its pads by now.
        if !added || (!runs() && pad.set_active(false).is_err()) {
            return None;
        }
        pad.downcast_ref().inspect(|pad| self.settle(pad));
        self.obj().child_added(&pad, &pad.name());
        Some(pad)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        self.obj().child_removed(pad, &pad.name());
        if pad.name() == confidence::PAD {
            return self.remove_confidence(pad);
        }
        pad.downcast_ref().inspect(|pad| self.remove_reference(pad));
    }
}

impl AggregatorImpl for RefVsr {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let loading = self.state().loading.take();
        let Loaded {
            session,
            model,
            warm,
        } = Loading::finish(loading, self.obj().upcast_ref(), &self.settings())?;
        let scale = i32::try_from(session.network().config().scale).unwrap_or(0);
        let stats = Stats::new(model, session.memory());
        let mut work = Work::new(session);
        if let Some((size, took)) = warm {
            work.patience.warmed_up(size.to_vec(), took);
        }
        let started = State {
            stats,
            running: Some(Running::new(work, scale)),
            loading: None,
        };
        let old = std::mem::replace(&mut *self.state(), started);
        drop(old);
        self.settle_all();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let old = self.state().running.take();
        drop(old); // frees the device's memory, with no lock held
        Ok(())
    }

    fn clip(&self, pad: &AggregatorPad, buffer: gst::Buffer) -> Option<gst::Buffer> {
        // Called with the pad's lock held: nothing of ours may be locked here.
        let times = pad.segment().downcast::<ClockTime>().ok().zip(buffer.pts());
        let is_outside = times.is_some_and(|(segment, pts)| {
            let end = buffer.duration().map(|lasts| pts.saturating_add(lasts));
            // Sources may begin before 0, which is told as a very large number.
            pts > ClockTime::MAX / 2 || segment.clip(pts, end).is_none()
        });
        if is_outside {
            gst::debug!(CAT, obj = pad, "Outside of the segment: {buffer:?}");
        }
        (!is_outside).then_some(buffer)
    }

    fn sink_event_pre_queue(
        &self,
        pad: &AggregatorPad,
        event: gst::Event,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        match event.type_() {
            gst::EventType::FlushStart | gst::EventType::FlushStop => self.flush(pad, event),
            _ => self.parent_sink_event_pre_queue(pad, event),
        }
    }

    fn sink_event(&self, pad: &AggregatorPad, event: gst::Event) -> bool {
        self.take_sink_event(pad, event)
    }

    fn sink_query(&self, pad: &AggregatorPad, query: &mut gst::QueryRef) -> bool {
        self.answer_sink(Camera::of(pad), query)
            .unwrap_or_else(|| self.parent_sink_query(pad, query))
    }

    fn src_event(&self, event: gst::Event) -> bool {
        self.take_source_event(event)
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        self.answer_source(query)
            .unwrap_or_else(|| self.parent_src_query(query))
    }

    fn next_time(&self) -> Option<ClockTime> {
        self.deadline()
    }

    fn negotiate(&self) -> bool {
        // Before the first caps there is nothing to settle; when they apply, this is called again.
        let known = self.running(|running| running.source.is_some());
        known != Some(true) || self.parent_negotiate()
    }

    fn update_src_caps(&self, downstream: &gst::Caps) -> Result<gst::Caps, gst::FlowError> {
        self.source_caps(downstream)
    }

    fn negotiated_src_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let output = Video::new(caps).map_err(|why| gst::loggable_error!(CAT, "{why}"))?;
        gst::info!(CAT, imp = self, "Output caps {caps}");
        let old = self.running(|running| running.output.replace(Arc::new(output)));
        drop(old);
        Ok(())
    }

    fn propose_allocation(
        &self,
        pad: &AggregatorPad,
        _decide: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        allocation::propose(Camera::of(pad), query);
        Ok(())
    }

    fn decide_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        allocation::decide(query)
    }

    fn aggregate(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.turn(timeout)
    }
}
