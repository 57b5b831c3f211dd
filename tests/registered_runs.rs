//! Runs of a registered network's two branches, which fade into one another: the session against the same
//! in plain words.

mod common;
mod rig;

use common::fill;
use refvsr::{
    ModelConfig, Network, Precision, Session, SessionOptions, Triplet,
    config::{FLOW_LEVELS, Recurrence, Variant},
    net::{
        flow::SpyNet,
        registered::{Details, RegisteredVsr, warped},
    },
};
use rig::{give_flow, leaves};
use tch::{Device, Tensor};

/// Outputs that two backward runs share.
const OVERLAP: usize = 2;
/// Outputs for which a new forward run is computed before it is used, and in which it fades in.
const WARM: usize = 1;
const FADE: usize = 3;

fn network() -> Network {
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: 8,
        num_blocks: 1,
        frame_num: 3,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    };
    let mut network = Network::new(config, Device::Cpu).unwrap();
    fill(network.weights());
    give_flow(network.weights());
    network.freeze();
    network
}

/// A camera that pans.
fn clip(frames: i64) -> Vec<Tensor> {
    let picture = leaves("panning", 40 + 2 * frames, 60 + 3 * frames);
    let frame = |t: i64| picture.narrow(2, 2 * t, 24).narrow(3, 3 * t, 36);
    (0..frames).map(|t| frame(t).contiguous()).collect()
}

fn streamed(session: &mut Session, clip: &[Tensor]) -> Vec<Tensor> {
    let mut out = vec![];
    for (sent, frame) in clip.iter().enumerate() {
        let triplet = Triplet {
            ultrawide: frame.shallow_clone(),
            wide: None,
            tele: None,
        };
        session.send(triplet).unwrap();
        while let Some(frame) = session.receive().unwrap().frame() {
            out.push(frame);
        }
        assert!(out.len() + session.look_ahead() > sent, "a frame is late");
    }
    session.drain();
    while let Some(frame) = session.receive().unwrap().frame() {
        out.push(frame);
    }
    out
}

/// One network's branches over a whole clip that lies in memory.
struct Plain<'a> {
    net: &'a RegisteredVsr,
    frames: Vec<Tensor>,
}

impl Plain<'_> {
    /// Frame `n`'s view of a feature of frame `of`, its neighbour.
    fn seen(&self, feature: &Tensor, n: usize, of: usize) -> Tensor {
        let pyramid = |n: usize| SpyNet::pyramid(&self.frames[n]).unwrap();
        let motion = self.net.motion(&pyramid(n), &pyramid(of)).unwrap();
        warped(feature, &motion).unwrap()
    }

    /// The backward branch's feature at frame `n` of a run from frame `end - 1` on.
    fn backward(&self, n: usize, end: usize) -> Tensor {
        let mut feature = None;
        for i in (n..end).rev() {
            let before = feature.map(|feature| self.seen(&feature, i, i + 1));
            let step = self.net.backward_step(&self.frames[i], before.as_ref());
            feature = Some(step.unwrap());
        }
        feature.unwrap()
    }

    /// The same at frame `n` where runs serve `group` outputs and look `m` frames ahead at least.
    fn backward_faded(&self, n: usize, m: usize, group: usize) -> Tensor {
        let overlap = OVERLAP.min(group - 1);
        let end_of_run = |run: usize| {
            let end = run * group + group + overlap + m;
            end.min(self.frames.len())
        };
        // Once a run reaches the clip's end, it serves all frames that are left.
        let mut run = n / group;
        let last = (0..=run).find(|&run| end_of_run(run) == self.frames.len());
        run = last.unwrap_or(run).min(run);
        let feature = self.backward(n, end_of_run(run));
        let place = n - run * group;
        if run == 0 || place >= overlap {
            return feature;
        }
        let former = self.backward(n, end_of_run(run - 1));
        former.lerp(&feature, (place + 1) as f64 / (overlap + 1) as f64)
    }

    /// The forward branch's features at all frames, anew every `interval` frames.
    fn forward_faded(&self, interval: Option<usize>) -> Vec<Tensor> {
        let step = |n: usize, before: Option<&Tensor>| {
            let before = before.map(|feature| self.seen(feature, n, n - 1));
            self.net
                .forward_step(&self.frames[n], before.as_ref())
                .unwrap()
        };
        let (mut old, mut new) = (None::<Tensor>, None::<Tensor>);
        let mut joined = vec![];
        for n in 0..self.frames.len() {
            let handed_over = interval.filter(|&r| n > 0 && n % r == 0);
            if let Some(former) = handed_over.and_then(|_| new.take()) {
                old = Some(former);
            }
            let feature = step(n, old.as_ref());
            let left = interval.map(|r| (n / r + 1) * r - n);
            new = match (new, left) {
                (Some(new), _) => Some(step(n, Some(&new))),
                (None, Some(left)) if n > 0 && left == WARM + FADE => Some(step(n, None)),
                _ => None,
            };
            joined.push(match (&new, left) {
                (Some(new), Some(left)) if left <= FADE => {
                    feature.lerp(new, (FADE + 1 - left) as f64 / (FADE + 1) as f64)
                }
                _ => feature.shallow_clone(),
            });
            old = Some(feature);
        }
        joined
    }

    fn outputs(&self, m: usize, group: usize, interval: Option<usize>) -> Vec<Tensor> {
        let forward = self.forward_faded(interval);
        let output = |n: usize| {
            let backward = self.backward_faded(n, m, group);
            let joined = self.net.joined(&backward, &forward[n]).unwrap();
            let frame = &self.frames[n];
            let made = self.net.enlarged(&joined, frame, &Details::default());
            made.unwrap().picture.clamp(0.0, 1.0)
        };
        (0..self.frames.len()).map(output).collect()
    }
}

#[test]
fn runs_fade_into_one_another_as_in_the_plain_form() {
    let clip = clip(23);
    for (m, group, interval) in [
        (1, 1, Some(6)),
        (1, 4, None),
        (2, 3, Some(9)),
        (0, 2, Some(7)),
        (1, 8, None),
    ] {
        let network = network();
        let options = SessionOptions {
            look_ahead: Some(m),
            backward_group: Some(group),
            reset_interval: interval,
            precision: Precision::Fp32,
            ..Session::options_of(&network)
        };
        let mut session = Session::new(network, options).unwrap();
        let found = streamed(&mut session, &clip);
        // As a session lays them: samplers round differently in another layout.
        let lay = |frame: &Tensor| {
            let rows = frame.permute([0, 2, 3, 1]).contiguous();
            rows.permute([0, 3, 1, 2])
        };
        let plain = Plain {
            net: session.network().registered().unwrap(),
            frames: clip.iter().map(lay).collect(),
        };
        let expected = tch::no_grad(|| plain.outputs(m, group, interval));
        assert_eq!(found.len(), expected.len());
        for (n, (a, b)) in found.iter().zip(&expected).enumerate() {
            let (off, _) = common::difference(a, b);
            assert!(
                a.equal(b),
                "m {m}, group {group}, {interval:?}, frame {n}: off by {off:e}"
            );
        }
    }
}

#[test]
fn short_intervals_and_groups_give_every_frame() {
    let clip = clip(9);
    for (group, interval) in [(2, 1), (3, 2), (1, 3), (5, 4)] {
        let network = network();
        let options = SessionOptions {
            backward_group: Some(group),
            reset_interval: Some(interval),
            ..Session::options_of(&network)
        };
        let mut session = Session::new(network, options).unwrap();
        let out = streamed(&mut session, &clip);
        assert_eq!(out.len(), clip.len(), "group {group}, interval {interval}");
        let finite = |frame: &Tensor| bool::try_from(frame.isfinite().all()).unwrap();
        assert!(out.iter().all(finite), "group {group}, interval {interval}");
    }
}
