//! Long clips of a camera that stands still, through the bundled models.

mod common;
mod rig;

use common::uniform;
use refvsr::{
    Bundled, Network, Precision, Session, SessionOptions, Triplet,
    image::{enlarge::bicubic, resize::bicubic_antialiased},
    metrics::psnr,
};
use rig::leaves;
use tch::{Device, Kind, Tensor};

const FRAMES: usize = 120;
const SIZE: (i64, i64) = (48, 64);

/// The frame of number `n` of a tripod shot, with noise of a code.
fn filmed(scene: &Tensor, n: usize) -> Tensor {
    let (h, w) = SIZE;
    let count = (3 * h * w) as usize;
    // The sum of three uniform numbers is nearly normal, with a deviation of 1.
    let noise = Tensor::from_slice(&uniform(&format!("noise {n}"), 3 * count));
    let noise = noise.to_kind(Kind::Float).view([3, 3, h, w]);
    let noise = noise.sum_dim_intlist([0i64].as_slice(), true, Kind::Float);
    ((scene + noise / 255.0).clamp(0.0, 1.0) * 255.0).round() / 255.0
}

struct Played {
    /// PSNR of each output.
    psnr: Vec<f64>,
    /// Root mean square of what changes from one output to the next, in codes.
    steps: Vec<f64>,
}

fn play(model: Bundled, scene: &Tensor, truth: &Tensor) -> Played {
    let checkpoint = model.checkpoint().unwrap();
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    let options = SessionOptions {
        precision: Precision::Fp32Fast,
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).unwrap();
    let mut played = Played {
        psnr: vec![],
        steps: vec![],
    };
    let mut last: Option<Tensor> = None;
    for n in 0..FRAMES {
        let triplet = Triplet {
            ultrawide: filmed(scene, n),
            wide: None,
            tele: None,
        };
        session.send(triplet).unwrap();
        if n + 1 == FRAMES {
            session.drain();
        }
        while let Some(out) = session.receive().unwrap().frame() {
            played.psnr.push(psnr(&out, truth).unwrap());
            if let Some(last) = last {
                let step = (&out - last) * 255.0;
                let power = (&step * &step).mean(Kind::Double).double_value(&[]);
                played.steps.push(power.sqrt());
            }
            last = Some(out);
        }
    }
    assert_eq!(session.restarts(), 0, "{}: the safety net", model.name());
    played
}

#[test]
fn a_tripod_shot_stays_as_good_as_it_begins_and_shows_no_seam() {
    let truth = leaves("tripod", 4 * SIZE.0, 4 * SIZE.1);
    let scene = bicubic_antialiased(&truth, SIZE.0, SIZE.1).unwrap();
    let enlarged = bicubic(&filmed(&scene, 0), 4).unwrap().clamp(0.0, 1.0);
    let bicubic = psnr(&enlarged, &truth).unwrap();
    for model in Bundled::ALL {
        let Played { psnr, steps } = play(model, &scene, &truth);
        assert_eq!(psnr.len(), FRAMES);
        let tenth = FRAMES / 10;
        let tenths: Vec<f64> = psnr
            .chunks(tenth)
            .map(|part| part.iter().sum::<f64>() / tenth as f64)
            .collect();
        let name = model.name();
        for part in &tenths {
            assert!(
                *part > bicubic,
                "{name}: {tenths:.2?}, bicubic {bicubic:.2}"
            );
            assert!(*part > tenths[0] - 0.1, "{name}: {tenths:.2?}");
        }
        let mut sorted = steps.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let seams: Vec<(usize, f64)> = steps
            .into_iter()
            .enumerate()
            .filter(|(_, step)| *step > 1.15 * median)
            .collect();
        // The last output sees nothing ahead.
        let limit = |n: usize| if n + 2 == FRAMES { 1.35 } else { 1.25 };
        assert!(
            seams.iter().all(|(n, step)| *step < limit(*n) * median),
            "{name}: steps of {median:.2} codes, but for {seams:.2?}"
        );
    }
}
