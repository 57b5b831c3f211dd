//! Films the clip of a case: truth, both cameras' files, and the way from each frame to the one before.

use super::case::Case;
use crate::{
    data::{
        processor::{Processor, Strengths},
        random::{Random, hash},
        tree::Lens,
    },
    footage::{
        recorded::recorded,
        shot::{Motion, Shot, way_back},
    },
    synthesize::{
        camera::{Amounts, Character, View},
        reduce::reduce,
        render::{Scene, develop},
        source::{Video, is_photo, photo},
    },
};
use anyhow::{Context, Result, bail, ensure};
use refvsr::net::footage::Footage;
use refvsr::{Bundled, Network, net::flow::SpyNet};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Share of a photo, and of a video, that the ultra-wide camera sees.
const VIEW: [f64; 2] = [0.6, 0.8];

/// A clip in memory.
pub struct Clip {
    /// 8-bit `[1, 3, H, W]`; none of a recording that is enlarged as it is.
    pub truths: Vec<Tensor>,
    /// What the ultra-wide camera's file gives, `[1, 3, h, w]` in \[0, 1\].
    pub inputs: Vec<Tensor>,
    /// What the wide camera's file gives; none of a recording that is enlarged as it is.
    pub wide: Vec<Tensor>,
    /// From each frame but the first to the one before.
    pub ways: Vec<Way>,
    /// Recorded, if it went through an encoder.
    pub footage: Footage,
}

/// From a frame to the one before.
pub enum Way {
    /// Nothing moves.
    Still,
    /// A grid of the output's size to sample the frame before at, `[1, H, W, 2]`.
    Grid(Tensor),
}

/// A clip of a case, for outputs `scale` times as large as inputs.
///
/// # Errors
/// Where the source cannot be read or is too small.
pub fn film(path: &Path, case: &Case, scale: i64) -> Result<Clip> {
    let clip = match case.motion {
        Some(motion) => filmed(path, case, motion, scale),
        None => as_recorded(path, case, scale),
    };
    clip.with_context(|| format!("filming {}", path.display()))
}

/// Pictures to film.
enum Source {
    Photo(Scene),
    Video(Video),
}

fn filmed(path: &Path, case: &Case, motion: Motion, scale: i64) -> Result<Clip> {
    let (width, height) = case.size;
    let family = hash(&case.source_sha256);
    let mut random = Random::new(case.seed, family, 0);
    let (mut source, size, view) = if is_photo(path) {
        let picture = photo(path)?;
        let size = (picture.width, picture.height);
        (Source::Photo(Scene::new(&picture)?), Some(size), VIEW[0])
    } else {
        (Source::Video(Video::open(path)?), None, VIEW[1])
    };
    let wide = WideCamera::draw(&mut random, case.processing)?;
    let mut shot: Option<Shot> = None;
    let (mut truths, mut inputs, mut wides) = (vec![], vec![], vec![]);
    let mut views: Vec<View> = vec![];
    // What a camera that stands still before a photo sees once is what it sees again.
    let mut seen: Option<(View, [Tensor; 3])> = None;
    for n in 0..case.frames {
        let mut frame: Option<Scene> = None;
        let (scene, size) = match (&mut source, size) {
            (Source::Photo(scene), Some(size)) => (scene, size),
            (Source::Video(video), _) => match video.next_frame()? {
                Some(picture) => {
                    seen = None;
                    let scene = frame.insert(Scene::new(&picture)?);
                    (scene, (picture.width, picture.height))
                }
                None => break,
            },
            (Source::Photo(_), None) => bail!("a photo without a size"),
        };
        let shot = shot.get_or_insert_with(|| {
            Shot::draw(&mut random, motion, size, case.size, scale as f64, view)
        });
        let view = shot.view(n);
        if seen.as_ref().is_none_or(|(last, _)| *last != view) {
            let truth = scene.view(view, width, height, None)?;
            let input = reduce(&truth, scale)?;
            let wide = reduce(&wide.view(scene, view, (width, height), scale)?, scale)?;
            seen = Some((view, [codes(&truth)?, input, wide]));
        }
        let Some((_, [truth, input, other])) = &seen else {
            bail!("nothing was seen");
        };
        truths.push(truth.shallow_clone());
        inputs.push(noisy(input, case, 1, n)?);
        wides.push(noisy(other, case, 2, n)?);
        views.push(view);
    }
    ensure!(
        inputs.len() >= 2,
        "it has {} frames; at least 2 are needed",
        inputs.len()
    );
    let ways = match source {
        Source::Photo(_) => (1..views.len())
            .map(|n| known(views[n], views[n - 1], (width, height)))
            .collect::<Result<_>>()?,
        Source::Video(_) => found(&inputs, scale)?,
    };
    if let Some(how) = &case.recording {
        inputs = recorded(&inputs, how)?;
        wides = recorded(&wides, how)?;
    }
    Ok(Clip {
        truths,
        inputs,
        wide: wides,
        ways,
        footage: match case.recording {
            Some(_) => Footage::Recorded,
            None => Footage::Clean,
        },
    })
}

/// The middle of a recording, as it is.
fn as_recorded(path: &Path, case: &Case, scale: i64) -> Result<Clip> {
    let (width, height) = (case.size.0 as i64 / scale, case.size.1 as i64 / scale);
    let mut video = Video::open(path)?;
    let mut inputs = vec![];
    while inputs.len() < case.frames {
        let Some(picture) = video.next_frame()? else {
            break;
        };
        let (w, h) = (picture.width as i64, picture.height as i64);
        ensure!(
            w >= width && h >= height,
            "its frames are {w} x {h}; {width} x {height} of them were asked for (--size, divided by {scale})"
        );
        let frame = picture.to_tensor()?.f_unsqueeze(0)?;
        // On whole pairs of pixels, as chroma lies.
        let middle = |all: i64, part: i64| (all - part) / 4 * 2;
        let part =
            frame
                .f_narrow(2, middle(h, height), height)?
                .f_narrow(3, middle(w, width), width)?;
        inputs.push(part.f_contiguous()?);
    }
    ensure!(
        inputs.len() >= 2,
        "it has {} frames; at least 2 are needed",
        inputs.len()
    );
    let ways = found(&inputs, scale)?;
    Ok(Clip {
        truths: vec![],
        inputs,
        wide: vec![],
        ways,
        footage: Footage::Recorded,
    })
}

/// A wide camera beside the ultra-wide one, a little out of line and with its own exposure.
struct WideCamera {
    lens: Character,
    processor: Option<Processor>,
}

impl WideCamera {
    fn draw(random: &mut Random, processing: bool) -> Result<Self> {
        let amounts = Amounts {
            motion: 0.0,
            difference: 1.0,
        };
        let lens = Character::draw(random, Lens::Wide, amounts);
        let processor = processing
            .then(|| Processor::draw(random, &Strengths::PHONE))
            .transpose()?;
        Ok(Self { lens, processor })
    }

    fn view(
        &self,
        scene: &mut Scene,
        main: View,
        (width, height): (usize, usize),
        input: i64,
    ) -> Result<Tensor> {
        let view = self.lens.view(main, width, 0.0);
        let mut seen = scene.view(view, width, height, None)?;
        if let Some(processor) = &self.processor {
            seen = processor.developed(&processor.seen(&seen, input as f64)?)?;
        }
        develop(&seen, &self.lens)
    }
}

/// 8-bit codes.
fn codes(picture: &Tensor) -> Result<Tensor> {
    Ok((picture * 255.0).f_round()?.f_to_kind(Kind::Uint8)?)
}

/// A frame of a camera with its sensor's noise, rounded to codes.
fn noisy(picture: &Tensor, case: &Case, camera: u64, frame: usize) -> Result<Tensor> {
    let mut noisy = picture * 255.0;
    if case.noise > 0.0 {
        let seed = case.seed ^ hash(&case.source_sha256);
        let mut random = Random::new(seed, camera, frame as u64);
        let count = picture.numel();
        let values: Vec<f32> = (0..count.div_ceil(2))
            .flat_map(|_| {
                let (a, b) = random.normal_pair();
                [(case.noise * a) as f32, (case.noise * b) as f32]
            })
            .take(count)
            .collect();
        noisy = noisy.f_add(&Tensor::f_from_slice(&values)?.f_view(picture.size().as_slice())?)?;
    }
    Ok(noisy.f_round()?.f_clamp(0.0, 255.0)?.f_div_scalar(255.0)?)
}

/// The way that the virtual camera is known to have gone.
fn known(now: View, before: View, (width, height): (usize, usize)) -> Result<Way> {
    if now == before {
        return Ok(Way::Still);
    }
    Ok(Way::Grid(way_back(
        now,
        before,
        width as i64,
        height as i64,
    )?))
}

/// The ways that *quality*'s flow network finds between inputs, enlarged.
fn found(inputs: &[Tensor], scale: i64) -> Result<Vec<Way>> {
    let network = Network::from_checkpoint(&Bundled::Quality.checkpoint()?, Device::Cpu)?;
    let layers = network
        .registered()
        .context("the bundled model has no flow network")?;
    tch::no_grad(|| {
        let mut ways = vec![];
        let mut before = SpyNet::pyramid(&inputs[0])?;
        for input in &inputs[1..] {
            let now = SpyNet::pyramid(input)?;
            let flow = layers.flow_net().flow(&now, &before)?;
            ways.push(Way::Grid(enlarged_grid(&flow, scale)?));
            before = now;
        }
        Ok(ways)
    })
}

/// A flow `[1, 2, h, w]` in pixels as a grid to sample at, `scale` times as large.
fn enlarged_grid(flow: &Tensor, scale: i64) -> Result<Tensor> {
    let (h, w) = (flow.size()[2], flow.size()[3]);
    let (height, width) = (scale * h, scale * w);
    let still = Tensor::f_from_slice(&[1f32, 0.0, 0.0, 0.0, 1.0, 0.0])?.f_view([1, 2, 3])?;
    let grid = Tensor::f_affine_grid_generator(&still, [1, 3, height, width], false)?;
    let shares = Tensor::f_from_slice(&[2.0 / w as f32, 2.0 / h as f32])?;
    let moved = flow
        .f_upsample_bilinear2d([height, width], false, None, None)?
        .f_permute([0, 2, 3, 1])?
        .f_mul(&shares)?;
    Ok(grid.f_add(&moved)?)
}
