//! What makes a session fast, against the exact form: shared backward runs, fewer multiplications, 16
//! bits; and frames that are passed by, work that is stopped.

mod common;

use common::{clips, config, difference, network};
use proptest::prelude::*;
use refvsr::{
    Bundled, Error, ModelConfig, Network, Precision, Received, Session, SessionOptions,
    SharedNetwork, Triplet,
    config::{Recurrence, Variant},
    metrics::psnr,
    net::{Frame, Kept, Run},
    profile::{self, Stage},
};
use tch::{Device, Kind, Tensor};

fn noise(frames: usize, h: i64, w: i64, seed: i64) -> Vec<Tensor> {
    tch::manual_seed(seed);
    let frame = |_| Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu));
    (0..frames).map(frame).collect()
}

fn clean() -> ModelConfig {
    ModelConfig {
        recurrence: Recurrence::Clean,
        mid_channels: 8,
        num_blocks: 1,
        ..config(4, false)
    }
}

fn upstream() -> ModelConfig {
    ModelConfig {
        recurrence: Recurrence::Upstream,
        ..clean()
    }
}

fn refill() -> ModelConfig {
    ModelConfig {
        variant: Variant::RefVsrIr,
        num_blocks: 1,
        ..config(4, false)
    }
}

fn exact(m: usize, group: usize) -> SessionOptions {
    SessionOptions {
        look_ahead: Some(m),
        backward_group: Some(group),
        reset_interval: None,
        safety_net: true,
        footage: refvsr::net::footage::Footage::Clean,
        matching_step: None,
        wide_zoom: 2.0,
        tele_zoom: 5.0,
        precision: Precision::Fp32,
    }
}

fn triplet(u: &Tensor, w: &Tensor) -> Triplet {
    Triplet {
        ultrawide: u.shallow_clone(),
        wide: Some(w.shallow_clone()),
        tele: None,
    }
}

/// All outputs of a clip.
/// Sends a clip; `next` takes what is ready, and tells whether anything was.
fn play(
    session: &mut Session,
    ultrawide: &[Tensor],
    wide: &[Tensor],
    mut next: impl FnMut(&mut Session) -> bool,
) {
    for (u, w) in ultrawide.iter().zip(wide) {
        session.send(triplet(u, w)).unwrap();
        while next(session) {}
    }
    session.drain();
    while next(session) {}
}

fn streamed(session: &mut Session, ultrawide: &[Tensor], wide: &[Tensor]) -> Vec<Tensor> {
    let mut out = vec![];
    for (sent, (u, w)) in ultrawide.iter().zip(wide).enumerate() {
        session.send(triplet(u, w)).unwrap();
        while let Some(frame) = session.receive().unwrap().frame() {
            out.push(frame);
        }
        assert!(
            out.len() + session.look_ahead() > sent,
            "a frame is late: {} of {} out",
            out.len(),
            sent + 1
        );
    }
    session.drain();
    while let Some(frame) = session.receive().unwrap().frame() {
        out.push(frame);
    }
    out
}

/// Shared backward runs by the plain form: every output's window ends where its group's does.
fn plain_groups(
    network: &Network,
    ultrawide: &[Tensor],
    wide: &[Tensor],
    m: usize,
    g: usize,
) -> Vec<Tensor> {
    let frames = ultrawide.len();
    let padded = |all: &[Tensor]| {
        all.iter()
            .map(|f| network.pad(f).unwrap())
            .collect::<Vec<_>>()
    };
    let (lr, wide) = (padded(ultrawide), padded(wide));
    let mut kept: Option<Kept> = None;
    (0..frames)
        .map(|n| {
            let first = n.saturating_sub(m);
            let end = (n / g * g + g + m).min(frames);
            let references: Vec<[&Tensor; 1]> = (first..end).map(|i| [&wide[i]]).collect();
            let window: Vec<Frame<'_>> = (first..end)
                .zip(&references)
                .map(|(i, references)| Frame {
                    lr: &lr[i],
                    references,
                })
                .collect();
            let (frame, next) = tch::no_grad(|| {
                network.forward_about(&window, n - first, kept.as_ref(), Run::Streaming)
            })
            .unwrap();
            kept = Some(next);
            let (h, w) = (ultrawide[0].size()[2], ultrawide[0].size()[3]);
            frame
                .clamp(0.0, 1.0)
                .narrow(2, 0, 4 * h)
                .narrow(3, 0, 4 * w)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        rng_seed: proptest::test_runner::RngSeed::Fixed(11),
        ..ProptestConfig::default()
    })]

    #[test]
    fn shared_backward_runs_equal_longer_windows(
        m in 0..=3usize,
        g in 1..=5usize,
        frames in 1..=11usize,
        seed in 0..1000i64,
    ) {
        let (ultrawide, wide) = (noise(frames, 6, 9, seed), noise(frames, 6, 9, seed + 1));
        let mut session = Session::new(network(clean()), exact(m, g)).unwrap();
        assert_eq!(session.look_ahead(), m + g - 1);
        let found = streamed(&mut session, &ultrawide, &wide);
        let expected = plain_groups(session.network(), &ultrawide, &wide, m, g);
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert!(a.equal(b), "m {m}, g {g}, frame {i} of {frames}: {:.1e}", difference(a, b).0);
        }
    }
}

#[test]
fn every_output_comes_and_sees_its_look_ahead_with_published_weights_too() {
    for g in [2, 3] {
        let (ultrawide, wide) = (noise(7, 6, 8, 1), noise(7, 6, 8, 2));
        let mut shared = Session::new(network(upstream()), exact(1, g)).unwrap();
        let mut alone = Session::new(network(upstream()), exact(1, 1)).unwrap();
        let found = streamed(&mut shared, &ultrawide, &wide);
        let expected = streamed(&mut alone, &ultrawide, &wide);
        assert_eq!(found.len(), 7);
        // The last of a group has the very window that it would have alone.
        for i in (g - 1..7).step_by(g) {
            assert!(found[i].equal(&expected[i]), "g {g}, frame {i}");
        }
        assert!(!found[0].equal(&expected[0]), "the others have seen more");
    }
}

#[test]
fn a_group_that_cannot_be_is_refused_in_words() {
    let message = |config: ModelConfig, g| {
        Session::new(network(config), exact(1, g))
            .unwrap_err()
            .to_string()
    };
    assert!(message(clean(), 0).contains("backward group is 0, allowed is 1 to 50"));
    let refill = ModelConfig {
        variant: Variant::RefVsrIr,
        ..config(4, false)
    };
    assert!(message(refill, 2).contains("allowed is 1 for RefVSR-IR"));
}

#[test]
fn frames_passed_by_leave_the_others_as_they_are() {
    for (config, frames) in [(clean(), 7), (upstream(), 7), (refill(), 4)] {
        let (ultrawide, wide) = (noise(frames, 6, 8, 5), noise(frames, 6, 8, 6));
        let mut session = Session::new(network(config.clone()), exact(1, 1)).unwrap();
        let all = streamed(&mut session, &ultrawide, &wide);
        session.reset();
        let (mut number, mut compared) = (0, 0);
        let next = |session: &mut Session| {
            let (out, expected) = match number % 5 {
                1 | 3 => (None, None),
                _ => {
                    let expected = all.get(number).map(Tensor::shallow_clone);
                    (session.receive().unwrap().frame(), expected)
                }
            };
            if let Some((out, expected)) = out.as_ref().zip(expected) {
                let (off, _) = difference(out, &expected);
                assert_eq!(off, 0.0, "{:?}, frame {number}", config.variant);
                compared += 1;
            }
            let came = out.is_some() || number % 5 % 2 == 1 && session.skip().unwrap().is_frame();
            number += usize::from(came);
            came
        };
        play(&mut session, &ultrawide, &wide, next);
        assert_eq!(number, frames);
        assert!(compared >= frames / 2);
    }
}

#[test]
fn the_clip_goes_on_as_if_frames_enlarged_bicubically_had_not_been_filmed() {
    let is_bypassed = |number: usize| [0, 3, 4, 7].contains(&number);
    for (config, same) in [(clean(), true), (upstream(), true), (refill(), false)] {
        let (ultrawide, wide) = (noise(9, 6, 8, 5), noise(9, 6, 8, 6));
        let mut session = Session::new(network(config.clone()), exact(1, 1)).unwrap();
        let mut found = vec![];
        let next = |session: &mut Session| {
            let number: usize = found.len();
            let out = match is_bypassed(number) {
                true => session.bypass(),
                false => session.receive(),
            };
            let out = out.unwrap().frame();
            found.extend(out.as_ref().map(Tensor::shallow_clone));
            out.is_some()
        };
        play(&mut session, &ultrawide, &wide, next);
        assert_eq!(found.len(), 9);

        let filmed: Vec<usize> = (0..9).filter(|&number| !is_bypassed(number)).collect();
        let of = |clip: &[Tensor]| -> Vec<Tensor> {
            filmed.iter().map(|&n| clip[n].shallow_clone()).collect()
        };
        session.reset();
        let mut without = streamed(&mut session, &of(&ultrawide), &of(&wide)).into_iter();
        for (number, found) in found.iter().enumerate() {
            let expected = if is_bypassed(number) {
                let bicubic = ultrawide[number].upsample_bicubic2d([24, 32], false, None, None);
                bicubic.clamp(0.0, 1.0)
            } else {
                let expected = without.next().unwrap();
                // The frame before one that is left out has looked ahead at it already. RefVSR-IR's
                // windows all have.
                if is_bypassed(number + 1) || !same {
                    assert!(found.isfinite().all().int64_value(&[]) == 1);
                    continue;
                }
                expected
            };
            let (off, _) = difference(found, &expected);
            assert!(off <= 1e-5, "{:?}, frame {number}: {off}", config.variant);
        }
    }
}

#[test]
fn frames_enlarged_bicubically_cost_the_network_nothing() {
    for config in [clean(), upstream(), refill()] {
        let (ultrawide, wide) = (noise(5, 6, 8, 5), noise(5, 6, 8, 6));
        let mut session = Session::new(network(config.clone()), exact(1, 1)).unwrap();
        let (bypassed, spent) = profile::record(|| {
            let mut bypassed = 0;
            play(&mut session, &ultrawide, &wide, |session| {
                let came = session.bypass().unwrap().is_frame();
                bypassed += usize::from(came);
                came
            });
            bypassed
        });
        assert_eq!(bypassed, 5);
        assert_eq!(spent.total().flops, 0, "{:?}", config.variant);
        for stage in [Stage::Flow, Stage::Matching, Stage::Encoders] {
            let time = spent.of(stage).time;
            assert!(time.is_zero(), "{:?}: {stage:?} {time:?}", config.variant);
        }
    }
}

#[test]
fn a_frame_whose_time_is_up_can_be_asked_for_again() {
    let (ultrawide, wide) = (noise(4, 6, 8, 5), noise(4, 6, 8, 6));
    let mut session = Session::new(network(clean()), exact(1, 1)).unwrap();
    let all = streamed(&mut session, &ultrawide, &wide);
    session.reset();
    let mut found = vec![];
    let next = |session: &mut Session| {
        let before = std::time::Instant::now();
        match session.receive_until(before) {
            Err(Error::OutOfTime) => (),
            nothing => assert!(!nothing.unwrap().is_frame()),
        }
        let far = before + std::time::Duration::from_secs(3600);
        let out = session.receive_until(far).unwrap().frame();
        found.extend(out.as_ref().map(Tensor::shallow_clone));
        out.is_some()
    };
    play(&mut session, &ultrawide, &wide, next);
    assert_eq!(found.len(), all.len());
    assert!(found.iter().zip(&all).all(|(a, b)| a.equal(b)));
}

#[test]
fn sessions_of_one_network_compute_at_the_same_time_what_each_does_alone() {
    for precision in [Precision::Fp32, Precision::Fp32Fast] {
        let options = SessionOptions {
            precision,
            ..exact(1, 1)
        };
        let clips = [noise(5, 6, 8, 21), noise(5, 6, 8, 22)];
        let alone = clips.each_ref().map(|clip| {
            let mut session = Session::new(network(clean()), options.clone()).unwrap();
            streamed(&mut session, clip, clip)
        });
        let shared = SharedNetwork::from(network(clean()));
        let weights = shared.downgrade();
        let sessions = [(); 2].map(|()| Session::new(shared.clone(), options.clone()).unwrap());
        drop(shared);
        std::thread::scope(|scope| {
            for ((mut session, clip), alone) in sessions.into_iter().zip(clips).zip(&alone) {
                let alone: Vec<Tensor> = alone.iter().map(Tensor::shallow_clone).collect();
                scope.spawn(move || {
                    for _ in 0..3 {
                        let found = streamed(&mut session, &clip, &clip);
                        assert!(found.iter().zip(&alone).all(|(a, b)| a.equal(b)));
                        session.reset();
                    }
                });
            }
        });
        assert!(
            weights.upgrade().is_none(),
            "the last session took it along"
        );
    }
}

#[test]
fn work_that_is_stopped_can_go_on_as_if_it_had_not_been() {
    for precision in [Precision::Fp32, Precision::Fp32Fast] {
        let options = SessionOptions {
            precision,
            ..exact(1, 2)
        };
        let (ultrawide, wide) = (noise(6, 6, 8, 7), noise(6, 6, 8, 8));
        let mut session = Session::new(network(clean()), options).unwrap();
        let expected = streamed(&mut session, &ultrawide, &wide);
        session.reset();
        let stopper = session.stopper();
        let mut found = vec![];
        for (u, w) in ultrawide.iter().zip(&wide) {
            stopper.stop();
            assert!(matches!(session.send(triplet(u, w)), Err(Error::Stopped)));
            stopper.rearm();
            session.send(triplet(u, w)).unwrap();
            stopper.stop();
            assert!(matches!(
                session.receive(),
                Err(Error::Stopped) | Ok(Received::NeedsMore)
            ));
            stopper.rearm();
            while let Some(frame) = session.receive().unwrap().frame() {
                found.push(frame);
            }
        }
        session.drain();
        while let Some(frame) = session.receive().unwrap().frame() {
            found.push(frame);
        }
        assert_eq!(found.len(), expected.len());
        assert!(
            found.iter().zip(&expected).all(|(a, b)| a.equal(b)),
            "{precision}"
        );
    }
}

/// Stops a session that works on a frame of some seconds, from another thread.
#[test]
fn another_thread_stops_the_work_in_hand() {
    let config = ModelConfig {
        mid_channels: 48,
        num_blocks: 30,
        ..clean()
    };
    for precision in [Precision::Fp32, Precision::Fp32Fast] {
        let options = SessionOptions {
            precision,
            ..exact(0, 1)
        };
        let mut session = Session::new(network(config.clone()), options).unwrap();
        let frame = &noise(1, 160, 240, 9)[0];
        let stopper = session.stopper();
        let stopping = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            stopper.stop();
        });
        let result = session
            .send(triplet(frame, frame))
            .and_then(|()| session.receive());
        assert!(
            matches!(result, Err(Error::Stopped)),
            "{precision}: {result:?}"
        );
        stopping.join().unwrap();
    }
}

#[test]
fn fp32_fast_differs_by_rounding_alone() {
    for clip in clips() {
        let m = clip.config.look_ahead();
        let run = |precision| {
            let options = SessionOptions {
                precision,
                reset_interval: clip.config.reset_interval,
                ..exact(m, 1)
            };
            let mut session = Session::new(network(clip.config.clone()), options).unwrap();
            streamed(&mut session, &clip.ultrawide, &clip.wide)
        };
        let (plain, fast) = (run(Precision::Fp32), run(Precision::Fp32Fast));
        for (i, (a, b)) in plain.iter().zip(&fast).enumerate() {
            let (max, _) = difference(a, b);
            assert!(max <= 1e-4, "{} frame {i}: off by {max:.1e}", clip.name);
        }
    }
}

/// The bundled model on frames of the golden scene.
fn bundled(precision: Precision) -> Vec<Tensor> {
    let checkpoint = Bundled::Quality.checkpoint().unwrap();
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    let options = SessionOptions {
        precision,
        ..exact(1, 1)
    };
    let mut session = Session::new(network, options).unwrap();
    let frames = |zoom| -> Vec<Tensor> {
        let frame = |t| common::scene(zoom, t, 24, 32).to_kind(Kind::Float) / 255.0;
        (0..3).map(frame).collect()
    };
    streamed(&mut session, &frames(1.0), &frames(2.0))
}

#[test]
fn every_precision_keeps_the_bundled_models_picture() {
    let expected = bundled(Precision::Fp32);
    // `auto` is held to the bound of what it stands for here.
    let auto = match Precision::Auto.on(Device::Cpu) {
        Precision::Bf16 => 50.0,
        _ => 80.0,
    };
    for (precision, least) in [
        (Precision::Auto, auto),
        (Precision::Fp32Fast, 80.0),
        (Precision::Bf16, 50.0),
        (Precision::Fp16, 60.0),
    ] {
        for (i, (a, b)) in bundled(precision).iter().zip(&expected).enumerate() {
            assert_eq!(a.kind(), Kind::Float);
            let found = psnr(a, b).unwrap();
            assert!(
                found > least,
                "{precision}, frame {i}: {found:.1} dB from fp32"
            );
        }
    }
}

#[test]
fn a_pixel_that_is_no_number_does_not_stay() {
    let (ultrawide, wide) = (noise(3, 6, 8, 3), noise(3, 6, 8, 4));
    let black = ultrawide[0].copy();
    let _ = black.narrow(2, 2, 1).narrow(3, 2, 1).fill_(0.0);
    let mut session = Session::new(network(clean()), exact(0, 1)).unwrap();
    let with_black = [
        black,
        ultrawide[1].shallow_clone(),
        ultrawide[2].shallow_clone(),
    ];
    let expected = streamed(&mut session, &with_black, &wide);
    session.reset();
    let _ = ultrawide[0].narrow(2, 2, 1).narrow(3, 2, 1).fill_(f64::NAN);
    let found = streamed(&mut session, &ultrawide, &wide);
    assert!(found.iter().zip(&expected).all(|(a, b)| a.equal(b)));
}

#[test]
fn weights_that_change_are_used_as_they_are() {
    let config = clean();
    let mut idle = network(config.clone());
    let name = "feat_decoder.conv_tail.weight";
    let mut weight = idle.weights().variables()[name].shallow_clone();
    let original = weight.copy();
    idle.freeze();
    idle.skip_idle();
    let bias_name = "feat_decoder.conv_tail.bias";
    let mut bias = idle.weights().variables()[bias_name].shallow_clone();
    let original_bias = bias.copy();
    let frames = noise(1, 8, 8, 12);
    let output = |network: &Network| {
        let window = [Frame {
            lr: &frames[0],
            references: &[&frames[0]],
        }];
        tch::no_grad(|| network.forward(&window, None, Run::Streaming))
            .unwrap()
            .0
    };
    let first = output(&idle);
    let _ = tch::no_grad(|| (weight.zero_(), bias.zero_()));
    let without = output(&idle);
    assert!(!without.equal(&first));
    tch::no_grad(|| {
        weight.copy_(&original);
        bias.copy_(&original_bias);
    });
    assert!(
        output(&idle).equal(&first),
        "neither old weights nor an old idle flag are used"
    );
}
