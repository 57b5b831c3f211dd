//! `synthesize`: clips as three cameras would have filmed them, from videos and photos.

pub mod camera;
pub mod clip;
mod filming;
pub mod reduce;
pub mod relief;
pub mod render;
mod shots;
pub mod source;

use crate::{
    data::processor::{Processor, Strengths},
    data::{
        random::{Random, hash},
        tree::{Lens, Split},
    },
    fetch::package::sha256,
};
use anyhow::{Context, Result, ensure};
use camera::{Amounts, Character, Path as CameraPath};
use clip::ClipWriter;
use filming::{Clip, Recipe};
use indicatif::{ProgressBar, ProgressStyle};
use relief::Relief;
use render::Scene;
use shots::{Next, Shots};
use source::{Video, is_photo, photo};
use std::path::{Path, PathBuf};

/// Makes training data in RealMCVSR's layout from any video or high-resolution photo: {train,valid,test}/{HR,LRx2,LRx4}/{UW,W,T}/CLIP/0000.png.
///
/// Photos are filmed by a virtual camera that pans, zooms, turns and shakes; videos bring their own motion. The ultra-wide lens (30 mm) sees most of the
/// picture, the wide one (59 mm) its middle half, the tele one (147 mm) its middle fifth, each a little out of line and with its own exposure, white
/// balance, blur and noise; with --parallax the picture gets depth. LRx2 and LRx4 are reduced as MATLAB's imresize does it (antialiased bicubic).
///
/// The same sources, options and seed give the same files. A clip that is there already is left alone, so an interrupted run is simply started again.
/// Beside the clips, {train,valid,test}/sources/CLIP.json names the source, its licence, and all that was drawn.
///
/// Hold whole sources out for validation: run once with --split train on some files, once with --split valid on others.
#[derive(Debug, Clone, clap::Args)]
pub struct SynthesizeOptions {
    /// Photos (.jpg, .jpeg, .png) and videos (everything else that GStreamer can decode).
    #[arg(required = true)]
    pub sources: Vec<PathBuf>,
    /// The data folder to write to.
    #[arg(short, long)]
    pub output: PathBuf,
    /// The part of the data set the clips are for.
    #[arg(long, value_enum, default_value = "train")]
    pub split: Split,
    /// Frames in a clip. At least the windows of a training patch plus the window's length less 1: 15 for 9 windows of 7.
    #[arg(long, default_value_t = 30)]
    pub frames: usize,
    /// Clips from each source [default: 1 from a photo, as many as there are from a video].
    #[arg(long)]
    pub clips: Option<usize>,
    /// Size of HR frames, say 1920x1080; multiples of 8 [default: the largest up to 1920 at which the wide camera still has real detail: half of
    /// what the ultra-wide one sees of the source].
    #[arg(long, value_parser = parse_size)]
    pub size: Option<(usize, usize)>,
    /// Share of the source that the ultra-wide camera sees [default: 0.7 of a photo, 0.95 of a video].
    #[arg(long)]
    pub view: Option<f64>,
    /// How much the virtual camera moves: 1 as a hand-held phone, 0 not at all [default: 1 for photos, 0 for videos].
    #[arg(long)]
    pub motion: Option<f64>,
    /// How much the lenses differ: 1 as a phone's, 0 not at all.
    #[arg(long, default_value_t = 1.0)]
    pub difference: f64,
    /// How deep the scene is: 1 as a room before a hand-held phone, 0 flat. What is near moves against what is far then, besides --motion, and lies elsewhere in each lens.
    #[arg(long, default_value_t = 0.0)]
    pub parallax: f64,
    /// The wide and the tele lens have lenses and image processors of their own, as unlike the ultra-wide one's as a phone's are: blur, sharpening, tone curve, colours,
    /// shading, and now and then something that only they see. Without it they differ by exposure, white balance, slight blur and noise alone.
    #[arg(long)]
    pub processing: bool,
    /// How unlike two frames of a video must be for a cut (mean difference of brightness, 0 to 1). No clip goes over a cut.
    #[arg(long, default_value_t = 0.12)]
    pub cut: f64,
    /// All that is random is drawn from this.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The sources' licence and author, to be written beside the clips.
    #[arg(
        long,
        default_value = "unknown: ask before sharing clips or models made of them"
    )]
    pub licence: String,
}

/// A size of frames, as in 1920x1080.
pub(crate) fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let parsed = text
        .split_once(['x', 'X'])
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let (w, h) = parsed.ok_or_else(|| format!("'{text}' is not WIDTHxHEIGHT"))?;
    let good = |n: usize| (16..=16_384).contains(&n) && n.is_multiple_of(8);
    if good(w) && good(h) {
        Ok((w, h))
    } else {
        Err(format!(
            "{w} x {h}; multiples of 8 from 16 to 16384 expected"
        ))
    }
}

/// Makes clips from all sources. How many were made, and how many were there already.
///
/// # Errors
/// Where a source cannot be read or is too small, or files cannot be written.
pub fn synthesize(options: &SynthesizeOptions, progress: &ProgressBar) -> Result<(usize, usize)> {
    ensure!(options.frames >= 1, "clips of 0 frames were asked for");
    for (name, value, most) in [
        ("--view", options.view, 1.0),
        ("--motion", options.motion, 10.0),
        ("--difference", Some(options.difference), 10.0),
        ("--parallax", Some(options.parallax), 2.0),
    ] {
        let good = value.is_none_or(|v| (0.0..=most).contains(&v) && (v > 0.0 || name != "--view"));
        ensure!(
            good,
            "{name} is {}; 0 to {most} expected",
            value.unwrap_or_default()
        );
    }
    progress.set_style(
        ProgressStyle::with_template("{msg} {pos} frames, {per_sec}, {elapsed}")
            .context("progress bar")?,
    );
    let mut made = Made {
        options,
        progress,
        written: 0,
        kept: 0,
    };
    for source in &options.sources {
        made.source(source)
            .with_context(|| format!("source {}", source.display()))?;
    }
    progress.finish_and_clear();
    Ok((made.written, made.kept))
}

struct Made<'a> {
    options: &'a SynthesizeOptions,
    progress: &'a ProgressBar,
    written: usize,
    kept: usize,
}

impl Made<'_> {
    fn source(&mut self, path: &Path) -> Result<()> {
        let sum = sha256(path)?;
        if is_photo(path) {
            let picture = photo(path)?;
            let recipe = self.recipe(path, sum, (picture.width, picture.height), 0.7, 1.0)?;
            let mut scene = Scene::new(&picture)?;
            for number in 0..self.options.clips.unwrap_or(1) {
                let recipe = Recipe {
                    number,
                    ..recipe.clone()
                };
                let Some(mut clip) = self.begin(path, (picture.width, picture.height), recipe)?
                else {
                    continue;
                };
                for frame in 0..self.options.frames {
                    clip.frame(&mut scene, frame)?;
                    self.progress.inc(1);
                }
                clip.finish()?;
                self.written += 1;
            }
            return Ok(());
        }
        self.video(path, sum)
    }

    fn video(&mut self, path: &Path, sum: String) -> Result<()> {
        let mut shots = Shots {
            video: Video::open(path)?,
            pending: None,
            last: None,
            limit: self.options.cut,
            count: 0,
        };
        let (mut number, mut longest, most) = (0, 0, self.options.clips.unwrap_or(usize::MAX));
        let mut recipe: Option<Recipe> = None;
        'clips: while number < most {
            let first_frame = shots.count;
            let mut clip: Option<Clip> = None;
            for frame in 0..self.options.frames {
                let picture = match shots.next()? {
                    Next::Frame(picture) => picture,
                    Next::Cut if frame == 0 => match shots.next()? {
                        Next::Frame(picture) => picture,
                        Next::Cut | Next::End => break 'clips,
                    },
                    // Too short a shot: what is written of it is dropped with `clip`.
                    Next::Cut => continue 'clips,
                    Next::End => break 'clips,
                };
                longest = longest.max(frame + 1);
                let size = (picture.width, picture.height);
                if frame == 0 {
                    if recipe.is_none() {
                        recipe = Some(self.recipe(path, sum.clone(), size, 0.95, 0.0)?);
                    }
                    let recipe = recipe.clone().context("a recipe was just made")?;
                    clip = self.begin(
                        path,
                        size,
                        Recipe {
                            number,
                            first_frame,
                            ..recipe
                        },
                    )?;
                }
                if let Some(clip) = &mut clip {
                    clip.frame(&mut Scene::new(&picture)?, frame)?;
                }
                self.progress.inc(1);
            }
            if let Some(clip) = clip {
                clip.finish()?;
                self.written += 1;
            }
            number += 1;
        }
        ensure!(
            number > 0,
            "its longest shot has {longest} frames, clips of {} were asked for (--frames; --cut sets what counts as a cut)",
            self.options.frames
        );
        Ok(())
    }

    fn recipe(
        &self,
        path: &Path,
        source_sha256: String,
        source: (usize, usize),
        view: f64,
        motion: f64,
    ) -> Result<Recipe> {
        let options = self.options;
        let view = options.view.unwrap_or(view);
        let automatic = |n: usize| (n as f64 * view / 2.0) as usize;
        let (w, h) = (automatic(source.0), automatic(source.1));
        let shrink = (1920.0 / w.max(1) as f64).min(1.0);
        let multiple = |n: usize| (n as f64 * shrink) as usize / 16 * 16;
        let size = options.size.unwrap_or((multiple(w), multiple(h)));
        ensure!(
            size.0 >= 16 && size.1 >= 16,
            "its {} x {} pixels are too few to make frames of; at least 64 x 64 are needed, or name a size with --size",
            source.0,
            source.1
        );
        Ok(Recipe {
            program: concat!("refvsr-train ", env!("CARGO_PKG_VERSION")),
            source: path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            source_sha256,
            licence: options.licence.clone(),
            seed: options.seed,
            number: 0,
            first_frame: 0,
            frames: options.frames,
            size,
            view,
            amounts: Amounts {
                motion: options.motion.unwrap_or(motion),
                difference: options.difference,
            },
            parallax: options.parallax,
            processing: options.processing,
        })
    }

    /// Starts a clip, unless it is there already.
    fn begin(
        &mut self,
        path: &Path,
        source: (usize, usize),
        recipe: Recipe,
    ) -> Result<Option<Clip>> {
        let stem: String = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        // Part of the sum tells apart two sources of one name.
        let name = format!("{stem}-{}-{:03}", &recipe.source_sha256[..6], recipe.number);
        self.progress.set_message(name.clone());
        let family = hash(&recipe.source_sha256);
        let mut random = Random::new(recipe.seed, family, recipe.number as u64);
        let lenses = Lens::ALL.map(|lens| Character::draw(&mut random, lens, recipe.amounts));
        let way = CameraPath::draw(
            &mut random,
            source,
            recipe.size,
            recipe.frames,
            recipe.view,
            recipe.amounts,
        );
        let record = serde_json::json!({ "recipe": recipe, "lenses": { "UW": lenses[0], "W": lenses[1], "T": lenses[2] } });
        let Some(writer) = ClipWriter::begin(
            &self.options.output.join(self.options.split.folder()),
            &name,
            &record,
        )?
        else {
            self.kept += 1;
            return Ok(None);
        };
        let noise = random.bits();
        let relief = (recipe.parallax > 0.0)
            .then(|| Relief::draw(&mut random, recipe.parallax))
            .transpose()?;
        let processors = if recipe.processing {
            [Lens::Wide, Lens::Tele]
                .into_iter()
                .map(|lens| Ok((lens, Processor::draw(&mut random, &Strengths::PHONE)?)))
                .collect::<Result<_>>()?
        } else {
            vec![]
        };
        Ok(Some(Clip {
            writer,
            way,
            lenses,
            processors,
            noise,
            relief,
            recipe,
        }))
    }
}
