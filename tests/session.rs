//! The session against the plain network: the same frames, bit for bit.

mod common;

use common::{clips, config, difference, network};
use proptest::prelude::*;
use refvsr::{
    Error, ModelConfig, Network, Precision, Received, Session, SessionOptions, Triplet,
    config::{Recurrence, Variant},
    image::resize::bicubic_antialiased,
    net::{Frame, Kept, Run},
};
use tch::{Device, Kind, Tensor};

/// A clip of noise: windows, flows and matches all differ.
fn clip(frames: usize, h: i64, w: i64, seed: i64) -> Vec<Tensor> {
    tch::manual_seed(seed);
    (0..frames)
        .map(|_| Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu)))
        .collect()
}

/// The plain form: every window anew, clip ends repeated or windows cut there, sides padded and cropped.
fn plain(
    network: &Network,
    ultrawide: &[Tensor],
    wide: &[Tensor],
    m: usize,
    reset: Option<usize>,
) -> Vec<Tensor> {
    let n = ultrawide.len();
    let padded = |frames: &[Tensor]| {
        frames
            .iter()
            .map(|f| network.pad(f).unwrap())
            .collect::<Vec<_>>()
    };
    let (lr, wide) = (padded(ultrawide), padded(wide));
    let mut kept: Option<Kept> = None;
    let mut out = vec![];
    for centre in 0..n {
        let numbers: Vec<usize> = if network.config().repeats_clip_ends() {
            (0..=2 * m)
                .map(|position| (centre + position).saturating_sub(m).min(n - 1))
                .collect()
        } else {
            (centre.saturating_sub(m)..n.min(centre + m + 1)).collect()
        };
        let references: Vec<[&Tensor; 1]> = numbers.iter().map(|&i| [&wide[i]]).collect();
        let window: Vec<Frame<'_>> = numbers
            .iter()
            .zip(&references)
            .map(|(&i, references)| Frame {
                lr: &lr[i],
                references,
            })
            .collect();
        let position = if network.config().repeats_clip_ends() {
            m
        } else {
            centre.min(m)
        };
        if reset.is_some_and(|r| centre % r == 0) {
            kept = None;
        }
        let (frame, next) = tch::no_grad(|| {
            network.forward_about(&window, position, kept.as_ref(), Run::Streaming)
        })
        .unwrap();
        kept = Some(next);
        let (h, w) = (ultrawide[0].size()[2], ultrawide[0].size()[3]);
        let scale = network.config().scale;
        out.push(
            frame
                .clamp(0.0, 1.0)
                .narrow(2, 0, scale * h)
                .narrow(3, 0, scale * w),
        );
    }
    out
}

fn streamed(session: &mut Session, ultrawide: &[Tensor], wide: &[Tensor]) -> Vec<Tensor> {
    let mut out = vec![];
    for (i, (u, w)) in ultrawide.iter().zip(wide).enumerate() {
        session
            .send(Triplet {
                ultrawide: u.shallow_clone(),
                wide: Some(w.shallow_clone()),
                tele: None,
            })
            .unwrap();
        while let Some(frame) = session.receive().unwrap().frame() {
            out.push(frame);
        }
        assert_eq!(
            out.len(),
            (i + 1).saturating_sub(session.look_ahead()),
            "frames come as soon as their look-ahead is there"
        );
    }
    session.drain();
    while let Some(frame) = session.receive().unwrap().frame() {
        out.push(frame);
    }
    out
}

/// Reference frames at the session's own scale: as large as the ultra-wide ones.
fn options(m: usize, reset: Option<usize>) -> SessionOptions {
    SessionOptions {
        look_ahead: Some(m),
        backward_group: Some(1),
        reset_interval: reset,
        safety_net: true,
        footage: refvsr::net::footage::Footage::Clean,
        matching_step: None,
        wide_zoom: 2.0,
        tele_zoom: 5.0,
        precision: Precision::Fp32,
    }
}

fn assert_same(a: &[Tensor], b: &[Tensor], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.size(), b.size(), "{what}, frame {i}");
        assert!(
            a.equal(b),
            "{what}, frame {i}: off by {:.3e}",
            difference(a, b).0
        );
    }
}

/// All presets' shapes, scaled down, and s = 2; both recurrences.
fn shapes() -> Vec<ModelConfig> {
    let small = |c: ModelConfig, channels| ModelConfig {
        mid_channels: channels,
        num_blocks: 1,
        ..c
    };
    let mut all = vec![
        small(config(4, false), 4),
        small(config(4, false), 6),
        small(config(4, true), 4),
        small(config(2, false), 4),
    ];
    all.push(ModelConfig {
        recurrence: Recurrence::Clean,
        ..all[0].clone()
    });
    all
}

proptest! {
    // A fixed seed: a failure can be repeated.
    #![proptest_config(ProptestConfig { cases: 24, rng_seed: proptest::test_runner::RngSeed::Fixed(2203), ..ProptestConfig::default() })]

    #[test]
    fn equals_the_plain_form(
        shape in 0..shapes().len(),
        m in prop::sample::select(vec![0usize, 1, 2, 3, 6]),
        reset in prop::sample::select(vec![None, Some(1), Some(3), Some(9)]),
        frames in 1..=12usize,
        (h, w) in (1..=18i64, 1..=18i64),
        seed in 0..1000i64,
    ) {
        let mut session = Session::new(network(shapes()[shape].clone()), options(m, reset)).unwrap();
        let (ultrawide, wide) = (clip(frames, h, w, seed), clip(frames, h, w, seed + 1));
        let out = streamed(&mut session, &ultrawide, &wide);
        assert_same(&out, &plain(session.network(), &ultrawide, &wide, m, reset), "session");
    }
}

#[test]
fn every_window_and_reset_on_every_clip_length() {
    let mut session = Session::new(network(shapes().swap_remove(0)), options(1, None)).unwrap();
    let (ultrawide, wide) = (clip(12, 6, 8, 1), clip(12, 6, 8, 2));
    for m in [1, 2, 3, 6] {
        for reset in [None, Some(1), Some(3), Some(9)] {
            // The plain form of a window of 13 takes its time; a clip that reaches beyond one window on either side is enough there.
            for n in if m == 6 {
                vec![1, 8]
            } else {
                vec![1, m + 1, 12]
            } {
                session = Session::new(session_network(session), options(m, reset)).unwrap();
                let out = streamed(&mut session, &ultrawide[..n], &wide[..n]);
                let what = format!("m = {m}, reset {reset:?}, {n} frames");
                assert_same(
                    &out,
                    &plain(session.network(), &ultrawide[..n], &wide[..n], m, reset),
                    &what,
                );
            }
        }
    }
}

#[test]
fn every_reset_on_every_shape() {
    for shape in shapes() {
        let (ultrawide, wide) = (clip(5, 9, 11, 13), clip(5, 9, 11, 14));
        for reset in [None, Some(1), Some(3)] {
            let mut session = Session::new(network(shape.clone()), options(2, reset)).unwrap();
            let out = streamed(&mut session, &ultrawide, &wide);
            assert_same(
                &out,
                &plain(session.network(), &ultrawide, &wide, 2, reset),
                &format!("{shape:?}, reset {reset:?}"),
            );
        }
    }
}

#[test]
fn information_refill_equals_the_plain_form() {
    let config = ModelConfig {
        variant: Variant::RefVsrIr,
        ..shapes().swap_remove(0)
    };
    let (ultrawide, wide) = (clip(8, 8, 8, 11), clip(8, 8, 8, 12)); // padded to 64 x 64
    let clean = ModelConfig {
        recurrence: Recurrence::Clean,
        ..config.clone()
    };
    for (config, m, reset, n) in [
        (&config, 0, None, 2),
        (&config, 1, Some(2), 4),
        (&config, 2, Some(3), 4),
        (&config, 3, None, 2),
        (&clean, 1, None, 2),
    ] {
        let mut session = Session::new(network(config.clone()), options(m, reset)).unwrap();
        let out = streamed(&mut session, &ultrawide[..n], &wide[..n]);
        let what = format!(
            "m = {m}, reset {reset:?}, {n} frames, {:?}",
            config.recurrence
        );
        assert_same(
            &out,
            &plain(session.network(), &ultrawide[..n], &wide[..n], m, reset),
            &what,
        );
    }
}

fn session_network(session: Session) -> Network {
    let config = session.network().config().clone();
    network(config)
}

#[test]
fn golden_clips() {
    for clip in clips() {
        let network = network(clip.config.clone());
        let options = SessionOptions {
            precision: Precision::Fp32,
            ..Session::options_of(&network)
        };
        assert_eq!(options.reset_interval, clip.config.reset_interval);
        let mut session = Session::new(network, options).unwrap();
        let out = streamed(&mut session, &clip.ultrawide, &clip.wide);
        for (i, expected) in &clip.kept {
            let (max, mean) = difference(&out[*i], expected);
            assert!(
                max <= 2e-4 && mean <= 1e-5,
                "{} frame {i}: off by {max:.3e}, mean {mean:.3e}",
                clip.name
            );
        }
    }
}

#[test]
fn a_reset_starts_anew_with_any_size() {
    let mut session = Session::new(network(config(4, false)), options(1, None)).unwrap();
    let (a, b) = (clip(3, 8, 8, 1), clip(3, 8, 8, 2));
    let first = streamed(&mut session, &a, &b);
    session.reset();
    streamed(&mut session, &clip(2, 5, 12, 3), &clip(2, 5, 12, 4));
    session.reset();
    session
        .send(Triplet {
            ultrawide: b[0].shallow_clone(),
            wide: None,
            tele: None,
        })
        .unwrap();
    session.reset();
    assert_same(&streamed(&mut session, &a, &b), &first, "after resets");
}

#[test]
fn misuse_is_an_error_and_changes_nothing() {
    let mut session = Session::new(network(config(4, false)), options(1, None)).unwrap();
    let frames = clip(3, 8, 8, 5);
    let triplet = |i: usize| Triplet {
        ultrawide: frames[i].shallow_clone(),
        wide: None,
        tele: None,
    };
    assert_eq!(session.receive().unwrap(), Received::NeedsMore);
    session.send(triplet(0)).unwrap();
    let other = Triplet {
        ultrawide: clip(1, 8, 10, 5).swap_remove(0),
        wide: None,
        tele: None,
    };
    let message = session.send(other).unwrap_err().to_string();
    assert!(
        message.contains("10x8 found, 8x8") && message.contains("ultra-wide"),
        "{message}"
    );
    let grey = Triplet {
        ultrawide: triplet(0).ultrawide.narrow(1, 0, 1),
        wide: None,
        tele: None,
    };
    assert!(matches!(session.send(grey), Err(Error::Shape { .. })));
    let empty = Triplet {
        ultrawide: triplet(0).ultrawide,
        wide: Some(Tensor::zeros([1, 3, 0, 4], (Kind::Float, Device::Cpu))),
        tele: None,
    };
    assert!(
        session
            .send(empty)
            .unwrap_err()
            .to_string()
            .contains("wide frame")
    );
    session.send(triplet(1)).unwrap();
    assert!(matches!(
        session.send(triplet(2)),
        Err(Error::Full { held: 2 })
    ));
    assert!(session.receive().unwrap().is_frame());
    session.drain();
    assert!(matches!(session.send(triplet(2)), Err(Error::Drained)));
    assert!(session.receive().unwrap().is_frame());
    assert_eq!(session.receive().unwrap(), Received::Ended);
    assert_eq!(session.skip().unwrap(), Received::Ended);
    assert_eq!(session.bypass().unwrap(), Received::Ended);
    session.reset();
    assert_eq!(session.bypass().unwrap(), Received::NeedsMore);

    let fresh = || network(config(4, false));
    for (options, text) in [
        (
            SessionOptions {
                reset_interval: Some(0),
                ..options(1, None)
            },
            "reset interval is 0",
        ),
        (
            SessionOptions {
                look_ahead: Some(51),
                ..options(1, None)
            },
            "look-ahead is 51",
        ),
        (
            SessionOptions {
                wide_zoom: 0.0,
                ..options(1, None)
            },
            "wide zoom is 0",
        ),
        (
            SessionOptions {
                tele_zoom: f64::NAN,
                ..options(1, None)
            },
            "tele zoom is NaN",
        ),
        (
            SessionOptions {
                matching_step: Some(3),
                ..options(1, None)
            },
            "matching step is 3, allowed is 1, 2, 4, 8 or 16",
        ),
    ] {
        let message = Session::new(fresh(), options).unwrap_err().to_string();
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn memory_is_bounded_by_the_look_ahead() {
    let shape = || shapes().swap_remove(0);
    let refill = ModelConfig {
        variant: Variant::RefVsrIr,
        ..shape()
    };
    for (config, m, reset) in [
        (shape(), 0, None),
        (shape(), 2, None),
        (shape(), 2, Some(5)),
        (refill, 1, None),
    ] {
        let mut session = Session::new(network(config), options(m, reset)).unwrap();
        let frame = clip(1, 8, 8, 6).swap_remove(0);
        let mut held = vec![];
        for _ in 0..30 {
            session
                .send(Triplet {
                    ultrawide: frame.shallow_clone(),
                    wide: None,
                    tele: None,
                })
                .unwrap();
            while session.receive().unwrap().is_frame() {}
            held.push(session.memory());
        }
        assert!(session.memory() > session.network().weight_bytes());
        let (early, late) = (held[..12].iter().max(), held[12..].iter().max());
        assert_eq!(early, late, "m = {m}, reset {reset:?}");
    }
}

#[test]
fn references_of_other_sizes_are_brought_to_scale() {
    let shape = config(4, false);
    let frames = clip(2, 8, 12, 7);
    let run = |wide: &Tensor| {
        let mut session = Session::new(network(shape.clone()), options(0, None)).unwrap();
        session
            .send(Triplet {
                ultrawide: frames[0].shallow_clone(),
                wide: Some(wide.shallow_clone()),
                tele: None,
            })
            .unwrap();
        session.receive().unwrap().frame().unwrap()
    };
    let absurd = Tensor::zeros([1, 3, 4000, 1], (Kind::Float, Device::Cpu));
    let mut session = Session::new(network(shape.clone()), options(0, None)).unwrap();
    let send = session.send(Triplet {
        ultrawide: frames[0].shallow_clone(),
        wide: Some(absurd),
        tele: None,
    });
    let message = send.unwrap_err().to_string();
    assert!(
        message.contains("wide frame: 1x4000 at zoom 2, which makes 12x48000"),
        "{message}"
    );
    for ((h, w), (scaled_h, scaled_w)) in
        [((16, 24), (8, 12)), ((5, 7), (9, 12)), ((30, 12), (30, 12))]
    {
        let wide = clip(1, h, w, 8).swap_remove(0);
        let scaled = bicubic_antialiased(&wide, scaled_h, scaled_w)
            .unwrap()
            .clamp(0.0, 1.0);
        assert!(run(&wide).equal(&run(&scaled)), "{h}x{w}");
    }
}

#[test]
fn tele_candidates_join_the_wide_ones() {
    // The candidates are a union: with lenses of one zoom it cannot matter which frame comes from which, at both levels and at every scale.
    for shape in [config(4, false), config(2, false), config(4, true)] {
        let k = shape.matching_kernel();
        let (h, w) = (4 * k, 6 * k);
        let [ultrawide, a, b] = [8, 9, 10].map(|seed| clip(1, h, w, seed).swap_remove(0));
        let run = |wide: &Tensor, tele: Option<&Tensor>| {
            let mut session = Session::new(
                network(shape.clone()),
                SessionOptions {
                    tele_zoom: 2.0,
                    ..options(0, None)
                },
            )
            .unwrap();
            let (wide, tele) = (Some(wide.shallow_clone()), tele.map(Tensor::shallow_clone));
            session
                .send(Triplet {
                    ultrawide: ultrawide.shallow_clone(),
                    wide,
                    tele,
                })
                .unwrap();
            session.receive().unwrap().frame().unwrap()
        };
        let (alone, both) = (run(&a, None), run(&a, Some(&b)));
        let off = difference(&both, &run(&b, Some(&a))).0;
        assert!(off < 1e-5, "K = {k}: the order matters: {off}");
        for single in [&alone, &run(&b, None)] {
            assert!(
                difference(&both, single).0 > 1e-4,
                "K = {k}: both frames are drawn on"
            );
        }
        let off = difference(&run(&a, Some(&a)), &alone).0;
        assert!(
            off < 1e-5,
            "K = {k}: the same frame twice says nothing new: {off}"
        );
        // Another lens, of any size, is brought to scale and joins in.
        let small = clip(1, 10, 14, 11).swap_remove(0);
        assert_eq!(run(&a, Some(&small)).size(), alone.size());
    }
}

#[test]
fn the_wide_frame_may_be_missing() {
    let frames = clip(1, 8, 12, 10);
    let run = |wide: Option<Tensor>| {
        let mut session = Session::new(network(config(4, false)), options(0, None)).unwrap();
        session
            .send(Triplet {
                ultrawide: frames[0].shallow_clone(),
                wide,
                tele: None,
            })
            .unwrap();
        session.receive().unwrap().frame().unwrap()
    };
    assert!(
        run(None).equal(&run(Some(frames[0].shallow_clone()))),
        "the ultra-wide frame stands in"
    );
}

#[test]
fn small_frames_are_matched_at_full_density_unless_asked_otherwise() {
    let (ultrawide, wide) = (clip(3, 24, 32, 60), clip(3, 24, 32, 70));
    let run = |matching_step| {
        let options = SessionOptions {
            matching_step,
            ..options(1, None)
        };
        let mut session = Session::new(network(config(4, false)), options).unwrap();
        let out = streamed(&mut session, &ultrawide, &wide);
        (out, session.reduced_matching().cloned())
    };
    let (full, said) = run(Some(1));
    assert!(said.is_none());
    let (unasked, said) = run(None);
    assert!(said.is_none());
    assert_same(&full, &unasked, "full density");
    let (reduced, said) = run(Some(2));
    let said = said.expect("it is told");
    // 24 x 32 positions among a quarter as many, 144 numbers each.
    let (positions, depth) = (24.0 * 32.0, 2.0 * 144.0);
    assert_eq!(
        (said.step, said.operations),
        (2, depth * positions * positions / 4.0)
    );
    assert!(said.to_string().contains("32x24 frames"), "{said}");
    assert!(
        full.iter().zip(&reduced).any(|(a, b)| !a.equal(b)),
        "blocks are matched otherwise"
    );
}

#[test]
fn what_is_beyond_white_or_no_number_is_cleaned_before_anything_else() {
    // Beyond 65504 a number is infinite in 16 bits, and stays so in the recurrent state.
    for precision in [Precision::Fp16, Precision::Bf16, Precision::Fp32] {
        let (ultrawide, wide) = (clip(3, 8, 12, 21), clip(3, 8, 12, 22));
        let options = SessionOptions {
            precision,
            ..options(0, None)
        };
        let mut session = Session::new(network(config(4, false)), options).unwrap();
        let cleaned = [0.0, 1.0, 0.0, 1.0, 0.0];
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30, -2.0];
        let with = |values: [f64; 5], clip: &[Tensor]| {
            let clip: Vec<Tensor> = clip.iter().map(Tensor::copy).collect();
            for (column, value) in values.into_iter().enumerate() {
                let mut pixel = clip[0].narrow(2, 3, 1).narrow(3, column as i64, 1);
                let _ = pixel.fill_(value);
            }
            clip
        };
        let expected = streamed(
            &mut session,
            &with(cleaned, &ultrawide),
            &with(cleaned, &wide),
        );
        session.reset();
        let found = streamed(
            &mut session,
            &with(values, &ultrawide),
            &with(values, &wide),
        );
        assert_same(&found, &expected, &precision.to_string());
        assert!(
            found
                .iter()
                .all(|t| t.isfinite().all().int64_value(&[]) == 1)
        );
        // References of another size are cleaned before they are resized.
        let larger = clip(1, 16, 24, 23).swap_remove(0);
        let resized = |values: [f64; 5]| {
            let wide = larger.copy();
            let mut pixels = wide.narrow(2, 7, 1).narrow(3, 7, 5);
            let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            pixels.copy_(&Tensor::from_slice(&values).view([1, 1, 1, 5]));
            wide
        };
        let mut run = |values| {
            session.reset();
            streamed(&mut session, &ultrawide[..1], &[resized(values)])
        };
        assert_same(&run(values), &run(cleaned), "resized");
    }
}

#[test]
fn frames_of_whole_numbers_are_refused_by_name() {
    let mut session = Session::new(network(config(4, false)), options(0, None)).unwrap();
    let bytes = || Tensor::zeros([1, 3, 8, 8], (Kind::Uint8, Device::Cpu));
    let floats = || bytes().to_kind(Kind::Half);
    for (ultrawide, wide, named) in [
        (bytes(), floats(), "ultra-wide frame"),
        (floats(), bytes(), "wide frame"),
    ] {
        let sent = session.send(Triplet {
            ultrawide,
            wide: Some(wide),
            tele: None,
        });
        let text = sent.unwrap_err().to_string();
        assert!(
            text.starts_with(named) && text.contains("type Uint8 found, floating-point"),
            "{text}"
        );
    }
}

/// Gives up at one point after the other until the frame is done, with a look at the session each time.
fn given_up_everywhere<T>(
    session: &mut Session,
    mut look: impl FnMut(&mut Session, bool) -> T,
) -> (usize, T) {
    let mut allowed = std::time::Duration::ZERO;
    for tries in 0.. {
        match session.receive_until(std::time::Instant::now() + allowed) {
            Err(Error::OutOfTime) => _ = look(session, false),
            frame => {
                assert!(frame.unwrap().is_frame());
                return (tries, look(session, true));
            }
        }
        allowed = allowed * 3 / 2 + std::time::Duration::from_micros(100);
    }
    unreachable!()
}

#[test]
fn work_that_is_given_up_leaves_the_last_frame_as_it_was() {
    let refill = ModelConfig {
        variant: Variant::RefVsrIr,
        num_blocks: 1,
        ..config(4, false)
    };
    for config in [config(4, false), refill] {
        let mut session = Session::new(network(config), options(0, None)).unwrap();
        let (ultrawide, wide) = (clip(3, 16, 24, 31), clip(3, 16, 24, 32));
        let mut last: Option<Tensor> = None;
        for (u, w) in ultrawide.iter().zip(&wide) {
            session
                .send(Triplet {
                    ultrawide: u.shallow_clone(),
                    wide: Some(w.shallow_clone()),
                    tele: None,
                })
                .unwrap();
            let (_, next) = given_up_everywhere(&mut session, |session, done| {
                let map = session.confidence_map().unwrap();
                if !done {
                    let same = match (&map, &last) {
                        (Some(map), Some(last)) => map.equal(last),
                        (map, last) => map.is_none() && last.is_none(),
                    };
                    assert!(same, "not the last frame's");
                }
                map.map(|map| map.copy())
            });
            assert!(next.is_some());
            last = next;
        }
    }
}
