//! The streaming session: triplets in, finished frames out.
//!
//! It computes what [`Network::forward`] computes for every window, frame for frame and bit for bit, from the same steps; but whatever depends on
//! one frame or on one pair of neighbours is computed once, when the frame comes, and kept only as long as a window can need it.

mod clip;

use crate::{
    Error, Network, Result,
    image::resize::{bicubic_antialiased, reference_size},
    net::{
        flow::SpyNet,
        propagation::State,
        refill::{Schedule, neighbours},
    },
};
use clip::{Clip, Held, Window, found};
use std::ops::Range;
use tch::{Kind, Tensor};

/// What the three cameras saw at one moment. Each is RGB, `[1, 3, H, W]`, f32 in \[0, 1\], on the network's device.
#[derive(Debug)]
pub struct Triplet {
    /// The frame to put out larger.
    pub ultrawide: Tensor,
    /// The wide camera's frame, of any size; `None`: the ultra-wide frame stands in for it.
    pub wide: Option<Tensor>,
    /// The tele camera's frame, of any size, if there is one.
    pub tele: Option<Tensor>,
}

/// How a session runs. [`Session::options_of`] gives a model's own.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionOptions {
    /// Frames of look-ahead, at most 50; `None` = the model's own.
    pub look_ahead: Option<usize>,
    /// The forward recurrence starts anew every so many outputs, at least 1; `None` = never.
    pub reset_interval: Option<usize>,
    /// The wide lens's focal length over the ultra-wide's, 0.1 to 100.
    pub wide_zoom: f64,
    /// The tele lens's focal length over the ultra-wide's, 0.1 to 100.
    pub tele_zoom: f64,
}

impl SessionOptions {
    fn validate(&self) -> Result<()> {
        let refuse = |field, actual: String, allowed: &str| {
            Err(Error::Config {
                field,
                actual,
                allowed: allowed.into(),
            })
        };
        match (self.look_ahead, self.reset_interval) {
            (Some(m @ 51..), _) => return refuse("look-ahead", m.to_string(), "0 to 50"),
            (_, Some(0)) => {
                return refuse("reset interval", "0".into(), "at least 1, or none (never)");
            }
            _ => (),
        }
        for (field, zoom) in [("wide zoom", self.wide_zoom), ("tele zoom", self.tele_zoom)] {
            if !(0.1..=100.0).contains(&zoom) {
                return refuse(field, zoom.to_string(), "0.1 to 100");
            }
        }
        Ok(())
    }
}

/// The streaming session of one network. Send a triplet, receive finished frames, drain at the end, reset for the next clip.
///
/// ```
/// use refvsr::{ModelConfig, Network, Session, Triplet};
/// use tch::{Device, Kind, Tensor};
///
/// # fn main() -> refvsr::Result<()> {
/// let config = ModelConfig { mid_channels: 4, num_blocks: 1, frame_num: 3, ..ModelConfig::preset("refvsr-mfid")? };
/// let network = Network::new(config, Device::Cpu)?; // a trained one comes from Network::load
/// let options = Session::options_of(&network);
/// let mut session = Session::new(network, options)?;
///
/// let mut finished = 0;
/// for _ in 0..3 {
///     let camera = || Tensor::rand([1, 3, 16, 24], (Kind::Float, Device::Cpu));
///     session.send(Triplet { ultrawide: camera(), wide: Some(camera()), tele: None })?;
///     while let Some(frame) = session.receive()? {
///         assert_eq!(frame.size(), [1, 3, 64, 96]);
///         finished += 1;
///     }
/// }
/// session.drain();
/// while session.receive()?.is_some() {
///     finished += 1;
/// }
/// assert_eq!(finished, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    network: Network,
    /// Of the network, whose size does not change: [`Session::memory`] is asked for at every frame.
    weight_bytes: usize,
    options: SessionOptions,
    clip: Clip,
}

impl Session {
    /// The options a model was made for: its own look-ahead and reset interval; RealMCVSR's zooms of 2 and 5.
    pub fn options_of(network: &Network) -> SessionOptions {
        SessionOptions {
            look_ahead: None,
            reset_interval: network.config().reset_interval,
            wide_zoom: 2.0,
            tele_zoom: 5.0,
        }
    }

    /// A session at the start of a clip.
    ///
    /// # Errors
    /// [`Error::Config`] for options outside their range.
    pub fn new(mut network: Network, options: SessionOptions) -> Result<Self> {
        options.validate()?;
        network.freeze();
        network.skip_idle()?;
        Ok(Self {
            weight_bytes: network.weight_bytes(),
            network,
            options,
            clip: Clip::default(),
        })
    }

    /// Takes the next moment of the clip and does all work that depends on it alone.
    ///
    /// # Errors
    /// [`Error::Full`] while a finished frame waits, [`Error::Drained`] after [`drain`](Self::drain), [`Error::Shape`] for anything but RGB
    /// frames or an ultra-wide frame of another size than the first, [`Error::Torch`] where memory runs out. The session then is as it was before.
    pub fn send(&mut self, triplet: Triplet) -> Result<()> {
        if self.clip.drained {
            return Err(Error::Drained);
        }
        let held = self.clip.sent - self.clip.received;
        if held > self.look_ahead() {
            return Err(Error::Full { held });
        }
        tch::no_grad(|| self.take(&triplet))
    }

    /// The next finished frame in order, `[1, 3, scale*H, scale*W]` in \[0, 1\], or `None` while more input is needed (or, after
    /// [`drain`](Self::drain), at the end).
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out; the same frame can then be asked for again.
    pub fn receive(&mut self) -> Result<Option<Tensor>> {
        let Clip {
            sent,
            received,
            drained,
            ..
        } = self.clip;
        let ready = received < sent && (drained || received + self.look_ahead() < sent);
        if !ready {
            return Ok(None);
        }
        tch::no_grad(|| self.finish(received)).map(Some)
    }

    /// Says that no more frames come: [`receive`](Self::receive) then gives all that are held.
    pub fn drain(&mut self) {
        self.clip.drained = true;
    }

    /// Forgets the clip: the next frame sent is the first of a new one, of any size.
    pub fn reset(&mut self) {
        self.clip = Clip::default();
    }

    /// Frames that must follow a frame before it can be received.
    pub fn look_ahead(&self) -> usize {
        self.options
            .look_ahead
            .unwrap_or_else(|| self.network.config().look_ahead())
    }

    /// Bytes of device memory held for the weights and for all frames in flight. What a step needs while it runs comes on top.
    pub fn memory(&self) -> usize {
        self.weight_bytes + self.clip.bytes()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    fn take(&mut self, triplet: &Triplet) -> Result<()> {
        let size = picture_size("ultra-wide frame", &triplet.ultrawide)?;
        if let Some(first) = self.clip.size.filter(|&first| first != size) {
            let text = |(h, w)| format!("{w}x{h}");
            return Err(Error::Shape {
                what: "ultra-wide frame".into(),
                actual: text(size),
                expected: format!("{}, as the first of the clip", text(first)),
            });
        }
        let lr = self
            .network
            .pad(&triplet.ultrawide.f_to_kind(Kind::Float)?)?;
        let wide = match &triplet.wide {
            Some(wide) => self.network.pad(&at_reference_scale(
                "wide frame",
                wide,
                size,
                self.options.wide_zoom,
            )?)?,
            None => lr.shallow_clone(),
        };
        let tele = match &triplet.tele {
            Some(tele) => Some(self.network.pad(&at_reference_scale(
                "tele frame",
                tele,
                size,
                self.options.tele_zoom,
            )?)?),
            None => None,
        };
        let references: Vec<&Tensor> = std::iter::once(&wide).chain(&tele).collect();
        let reference = self.network.reference(&lr, &references)?;
        let levels = self.network.refill_levels(&lr)?;

        let pyramid = SpyNet::pyramid(&lr)?;
        let network = &self.network;
        let looks_ahead = self.look_ahead() > 0;
        let to_itself =
            if self.clip.sent == 0 && looks_ahead && network.config().repeats_clip_ends() {
                Some(network.motion(&pyramid, &pyramid)?)
            } else {
                None
            };
        let to_previous = self
            .clip
            .pyramid
            .as_ref()
            .map(|previous| network.motion(&pyramid, previous))
            .transpose()?;
        let to_next = self
            .clip
            .pyramid
            .as_ref()
            .filter(|_| looks_ahead)
            .map(|previous| network.motion(previous, &pyramid))
            .transpose()?;

        if let Some(previous) = self.clip.frames.back_mut() {
            previous.to_next = to_next;
        }
        self.clip.frames.push_back(Held {
            lr,
            reference,
            levels,
            to_previous,
            to_next: None,
            to_itself,
        });
        self.clip.pyramid = Some(pyramid);
        self.clip.size = Some(size);
        self.clip.sent += 1;
        Ok(())
    }

    /// Computes output `n`, which is the next and can be computed.
    fn finish(&mut self, n: usize) -> Result<Tensor> {
        let (m, t) = (self.look_ahead(), 2 * self.look_ahead() + 1);
        if n + m + 1 > self.clip.sent && self.network.config().repeats_clip_ends() {
            self.find_motion_of_last_to_itself()?;
        }
        let schedule = if self.is_first(n) {
            Schedule::default()
        } else {
            self.clip.schedule
        };
        if self.network.has_refill() {
            self.clip.refills = self.refills(self.clip.window(n, m), schedule)?;
        }
        let window = self.clip.window(n, m);
        let (backward, features) = self.backward(window, schedule)?;
        let (forward, kept) = self.forward(window, schedule, &features)?;
        let out = self
            .network
            .reconstruct(&window.frame(m).lr, &backward, &forward)?
            .f_clamp(0.0, 1.0)?;
        let (h, w) = self.clip.size.unwrap_or_default();
        let scale = self.network.config().scale;
        let out = out.f_narrow(2, 0, scale * h)?.f_narrow(3, 0, scale * w)?;

        self.clip.forward = Some(kept.unwrap_or(forward));
        self.clip.schedule = schedule.next(t);
        self.clip.received = n + 1;
        self.forget(n + 1, m);
        Ok(out)
    }

    /// The backward branch: from the end of the window to its centre, whose state it gives; with refill on to the first frame. Then it also
    /// gives its level-1 features at the positions up to the centre.
    fn backward(&self, window: Window<'_>, schedule: Schedule) -> Result<(State, Vec<Tensor>)> {
        let (m, t) = (window.centre(), self.positions(window).end);
        let whole = self.network.has_refill();
        let mut state = State::zero(&window.frame(m).lr, self.network.config().mid_channels)?;
        let mut centre = None;
        let mut features = vec![];
        for i in (if whole { 0 } else { m }..t).rev() {
            if i + 1 < t {
                state = state.warp(window.to_next(i)?, self.network.recurrence())?;
            }
            let Held { lr, reference, .. } = window.frame(i);
            state = self.network.backward_step(
                lr,
                &state,
                reference,
                self.refill_at(window, schedule, i),
            )?;
            if i == m {
                centre = Some(state.shallow_clone());
            }
            if whole && i <= m {
                features.insert(0, state.feature.shallow_clone());
            }
        }
        Ok((centre.unwrap_or(state), features))
    }

    /// The forward branch at the window's centre: one step on from the last output, or all the way from the window's first frame where a run starts
    /// and, with refill, always. What is to be kept comes second, where it is not the same.
    fn forward(
        &self,
        window: Window<'_>,
        schedule: Schedule,
        backward: &[Tensor],
    ) -> Result<(State, Option<State>)> {
        let m = window.centre();
        let (whole, recurrence) = (self.network.has_refill(), self.network.recurrence());
        let first = self.is_first(window.number(m));
        let start = if whole || first {
            self.positions(window).start
        } else {
            m
        };
        let mut state = if first {
            State::zero(&window.frame(m).lr, self.network.config().mid_channels)?
        } else {
            found(&self.clip.forward)?.warp(window.to_former(start)?, recurrence)?
        };
        let stale = if whole && m > 0 {
            Some(window.to_next(0)?)
        } else {
            None
        };
        let mut kept = None;
        for i in start..=m {
            if i > start {
                state = state.warp_in_run(window.to_previous(i)?, stale, recurrence)?;
            }
            let Held { lr, reference, .. } = window.frame(i);
            let seen_backward = if whole { backward.get(i) } else { None };
            state = self.network.forward_step(
                lr,
                &state,
                reference,
                self.refill_at(window, schedule, i),
                seen_backward,
            )?;
            if whole && i == 0 {
                kept = Some(state.shallow_clone());
            }
        }
        Ok((state, kept))
    }

    /// The positions of a window that are looked at: all, or those within the clip.
    fn positions(&self, window: Window<'_>) -> Range<usize> {
        if self.network.config().repeats_clip_ends() {
            0..window.frames()
        } else {
            window.within()
        }
    }

    /// The features of a window's key frames, by the five frames they are made of. Most are those of the window before.
    fn refills(&self, window: Window<'_>, schedule: Schedule) -> Result<Vec<clip::Refill>> {
        let mut refills = vec![];
        for position in schedule.positions(window.frames()) {
            let frames = neighbours(position, window.frames()).map(|i| window.number(i));
            let features = match self.clip.refill(frames) {
                Some(features) => features.shallow_clone(),
                None => {
                    let levels = frames.map(|number| found(&self.clip.frame(number).levels));
                    let [a, b, c, d, e] = levels;
                    found(&self.network.refill_features([a?, b?, c?, d?, e?])?)?.shallow_clone()
                }
            };
            refills.push((frames, features));
        }
        Ok(refills)
    }

    /// The features to refill from at a position, where it is a key frame's.
    fn refill_at(
        &self,
        window: Window<'_>,
        schedule: Schedule,
        position: usize,
    ) -> Option<&Tensor> {
        let key =
            self.network.has_refill() && schedule.positions(window.frames()).any(|p| p == position);
        key.then(|| neighbours(position, window.frames()).map(|i| window.number(i)))
            .and_then(|frames| self.clip.refill(frames))
    }

    fn is_first(&self, n: usize) -> bool {
        n == 0
            || self
                .options
                .reset_interval
                .is_some_and(|r| n.is_multiple_of(r))
    }

    fn find_motion_of_last_to_itself(&mut self) -> Result<()> {
        if let (Some(last), Some(pyramid)) = (self.clip.frames.back_mut(), &self.clip.pyramid)
            && last.to_itself.is_none()
        {
            last.to_itself = Some(self.network.motion(pyramid, pyramid)?);
        }
        Ok(())
    }

    /// Drops frames that no window from output `next` on can need: those before it, but for the ones a coming run starts at.
    fn forget(&mut self, next: usize, m: usize) {
        let run = if self.network.has_refill() {
            Some(next)
        } else {
            self.options
                .reset_interval
                .map(|r| next.next_multiple_of(r))
        };
        let needed = run.map_or(next, |run| next.min(run.saturating_sub(m)));
        while self.clip.gone < needed && !self.clip.frames.is_empty() {
            self.clip.frames.pop_front();
            self.clip.gone += 1;
        }
    }
}

/// Largest area of a reference frame brought to scale, in ultra-wide frames. Equal sensors at zoom 1 make 4.
const MAX_REFERENCE_AREA: i64 = 32;
/// An area that is always taken, however small the ultra-wide frame is.
const MIN_REFERENCE_LIMIT: i64 = 1 << 16;

/// A reference frame at the size at which one of its pixels covers half an ultra-wide pixel.
fn at_reference_scale(
    what: &str,
    frame: &Tensor,
    ultrawide: (i64, i64),
    zoom: f64,
) -> Result<Tensor> {
    let size = picture_size(what, frame)?;
    let (h, w) = reference_size(ultrawide, size, zoom);
    // Anything beyond is a mistake, of a caps event perhaps, that would take all memory.
    let (area, most) = (
        h.saturating_mul(w),
        ultrawide
            .0
            .saturating_mul(ultrawide.1)
            .saturating_mul(MAX_REFERENCE_AREA)
            .max(MIN_REFERENCE_LIMIT),
    );
    if area > most {
        return Err(Error::Shape {
            what: what.into(),
            actual: format!(
                "{}x{} at zoom {zoom}, which makes {w}x{h} at the ultra-wide frame's scale",
                size.1, size.0
            ),
            expected: format!(
                "at most {MAX_REFERENCE_AREA} times the {}x{} pixels of the ultra-wide frame",
                ultrawide.1, ultrawide.0
            ),
        });
    }
    let frame = frame.f_to_kind(Kind::Float)?;
    if (h, w) == size {
        Ok(frame)
    } else {
        Ok(bicubic_antialiased(&frame, h, w)?.f_clamp(0.0, 1.0)?)
    }
}

fn picture_size(what: &str, frame: &Tensor) -> Result<(i64, i64)> {
    match frame.size()[..] {
        [1, 3, h, w] if h > 0 && w > 0 => Ok((h, w)),
        ref other => Err(Error::Shape {
            what: what.into(),
            actual: format!("{other:?}"),
            expected: "RGB, [1, 3, H, W]".into(),
        }),
    }
}
