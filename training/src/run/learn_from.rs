//! The data of a run: what its config says it learns from.

use crate::{
    config::{Config, LessonKind, Stage},
    data::{
        PatchOptions, Patches, Split,
        batch::{ClipPatch, Source, ValidationClip},
        patches, validation_clips,
    },
    films::{self, Filming},
    lessons::registered::own::Own,
    optimise::parallel::Processes,
};
use anyhow::{Context, Result, ensure};
use refvsr::Network;
use tch::Device;

/// What a run learns from and is validated with.
pub struct LearnFrom {
    /// The clip patches.
    pub source: Box<dyn Source>,
    /// A number for the data.
    pub data: u64,
    /// How many clips patches are cut from.
    pub clips: usize,
    /// How many are too short.
    pub skipped: usize,
    /// The clips to validate with.
    pub validation: Vec<Box<dyn ValidationClip>>,
}

impl LearnFrom {
    /// `by_heart` names a clip of which one patch is all there is.
    ///
    /// # Errors
    /// Where folders are missing or clips do not fit.
    pub fn open(config: &Config, processes: &Processes, by_heart: Option<&str>) -> Result<Self> {
        let validates = config.validation.clips > 0 && by_heart.is_none();
        if config.stage == Stage::Adapt && config.lesson == LessonKind::Fusion {
            return Self::own(config, processes, validates, by_heart);
        }
        let scale = config.model.scale;
        let whole = match (config.stage, config.model.hd) {
            (Stage::Pretrain, false) => patches::Stage::Pretrain { scale },
            (Stage::Pretrain, true) => patches::Stage::PretrainHd { scale },
            (Stage::Adapt, _) => patches::Stage::Adapt { scale },
        };
        let of = match config.lesson {
            LessonKind::Windows => whole,
            LessonKind::Fusion => patches::Stage::Alone { scale },
            LessonKind::Trunks => patches::Stage::Inputs { scale },
            LessonKind::Steady | LessonKind::Live => {
                return Self::films(config, processes, validates, by_heart);
            }
        };
        let data = &config.data;
        let patches = Patches::open(PatchOptions {
            root: data.root.clone(),
            split: Split::Train,
            stage: of,
            patch: data.patch,
            frames: config.frames(),
            repeats: config.repeats(),
            places: data.places,
            augment: data.augment && by_heart.is_none(),
            seed: config.seed,
            workers: data.workers,
            ahead: data.ahead,
            stride: processes.count(),
        })?;
        let (clips, skipped) = (patches.clips(), patches.skipped().len());
        let validation = if validates {
            validation_clips(&data.root, Split::Valid, whole)
                .context("validation (validation.clips = 0 does without)")?
        } else {
            vec![]
        };
        let fingerprint = patches.fingerprint();
        let source: Box<dyn Source> = match by_heart {
            Some(clip) => {
                let k = patches.first_of(clip).with_context(|| {
                    format!(
                        "--overfit {clip}: no such clip of at least {} frames",
                        config.frames() - 2 * config.repeats()
                    )
                })?;
                Box::new(ByHeart(patches.patch(k)?))
            }
            None => Box::new(patches),
        };
        Ok(Self {
            source,
            data: fingerprint,
            clips,
            skipped,
            validation,
        })
    }

    /// Films of photos.
    fn films(
        config: &Config,
        processes: &Processes,
        validates: bool,
        by_heart: Option<&str>,
    ) -> Result<Self> {
        ensure!(
            by_heart.is_none() && !validates && processes.count() == 1,
            "films are learnt from in one process, and nothing by heart; validation.clips = 0 expected"
        );
        let films = config.films.clone().context("no section [films]")?;
        ensure!(
            (config.optimiser.batch as u64) <= films.streams,
            "optimiser.batch is {}; at most films.streams, {}, expected",
            config.optimiser.batch,
            films.streams
        );
        let films = Filming::open(
            &config.data.root,
            films::Options {
                films,
                patch: config.data.patch,
                scale: config.model.scale,
                part: config.frames(),
                ahead: config.model.look_ahead(),
                augment: config.data.augment,
                recoloured: config.data.recoloured,
                seed: config.seed,
            },
        )?;
        Ok(Self {
            data: films.fingerprint(),
            clips: films.photos(),
            skipped: 0,
            source: Box::new(films),
            validation: vec![],
        })
    }

    /// Clips of one's own cameras.
    fn own(
        config: &Config,
        processes: &Processes,
        validates: bool,
        by_heart: Option<&str>,
    ) -> Result<Self> {
        ensure!(
            by_heart.is_none() && processes.count() == 1,
            "an adaptation to one's own cameras learns in one process, and nothing by heart"
        );
        let open = |split| {
            let network = Network::load(&config.start.checkpoint, Device::Cpu)?;
            let (data, frames) = (&config.data, config.frames());
            Own::open(&data.root, split, network, data.patch, frames, config.seed)
        };
        let clips = open(Split::Train)?;
        let validation = if validates {
            open(Split::Valid)
                .context("validation (validation.clips = 0 does without)")?
                .validation()
        } else {
            vec![]
        };
        Ok(Self {
            data: clips.fingerprint()?,
            clips: clips.len(),
            skipped: 0,
            source: Box::new(clips),
            validation,
        })
    }
}

/// One patch over and over.
struct ByHeart(ClipPatch);

impl Source for ByHeart {
    fn start(&self, _position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>> {
        let copy = |p: &ClipPatch| ClipPatch {
            name: p.name.clone(),
            lr: p.lr.shallow_clone(),
            wide: p.wide.shallow_clone(),
            hr: p.hr.shallow_clone(),
            loss_references: p.loss_references.shallow_clone(),
            clean: p.clean.as_ref().map(|clean| clean.shallow_clone()),
            part: p.part,
        };
        let patch = copy(&self.0);
        Ok(Box::new(std::iter::repeat_with(move || Ok(copy(&patch)))))
    }
}
