//! What is evaluated: bicubic enlargement, models with and without the other cameras, and what other methods made.

use super::data::{Clip, Lens, density};
use super::outputs::Located;
use crate::model::Model;
use anyhow::{Context, Result, ensure};
use refvsr::net::Frame;
use refvsr::{Precision, Session, Triplet};
use refvsr_tools::enlarge::{bicubic, session};
use refvsr_tools::picture::tensor;
use std::path::PathBuf;
use std::time::Instant;
use tch::{Device, Tensor};

/// Which cameras a model sees beside the ultra-wide one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum References {
    None,
    Wide,
    WideAndTele,
}

impl References {
    /// The title of a model's column.
    pub fn title(self, model: &str) -> String {
        format!("{model}, {}", self.words())
    }

    fn words(self) -> &'static str {
        match self {
            Self::None => "no reference",
            Self::Wide => "wide",
            Self::WideAndTele => "wide + tele",
        }
    }
}

/// A way to enlarge.
#[derive(Debug)]
pub enum Method {
    Bicubic {
        scale: i64,
        name: String,
        waiting: Option<Tensor>,
    },
    Model {
        name: String,
        session: Box<Session>,
        references: References,
    },
    Outputs(Located),
}

/// One frame, enlarged.
#[derive(Debug)]
pub struct Enlarged {
    pub index: usize,
    /// RGB `[1, 3, H, W]` in \[0, 1\], on the CPU.
    pub picture: Tensor,
    /// Seconds since the last one; none where it was made elsewhere.
    pub seconds: Option<f64>,
}

impl Method {
    /// A model, with the name and references of its column.
    pub fn model(
        model: &Model,
        (name, references): (String, References),
        look_ahead: Option<usize>,
        precision: Precision,
        device: Device,
    ) -> Result<Self> {
        let network = model.network(device)?;
        Ok(Self::Model {
            name,
            session: Box::new(session(network, look_ahead, precision)?),
            references,
        })
    }

    /// Name of its column.
    pub fn name(&self) -> String {
        match self {
            Self::Bicubic { name, .. } => name.clone(),
            Self::Model {
                name, references, ..
            } => references.title(name),
            Self::Outputs(outputs) => outputs.name.clone(),
        }
    }

    /// How many times larger its output is; 1 where that is not known.
    pub fn scale(&self) -> i64 {
        match self {
            Self::Bicubic { scale, .. } => *scale,
            Self::Model { session, .. } => session.network().config().scale,
            Self::Outputs(_) => 1,
        }
    }

    /// The frames it takes: those that give the truth's size; models for full-resolution input take the truth itself.
    pub fn density(&self) -> String {
        match self {
            Self::Model { session, .. } if session.network().config().hd => density(1),
            _ => density(self.scale()),
        }
    }

    /// Whether its output can be compared with the truth.
    pub fn has_truth(&self) -> bool {
        matches!(self, Self::Outputs(_)) || self.density() != density(1)
    }

    /// Bytes that its weights and the frames it remembers take now; 0 where nothing is remembered, none where it does not run here.
    pub fn memory(&self) -> Option<usize> {
        match self {
            Self::Bicubic { .. } => Some(0),
            Self::Model { session, .. } => Some(session.memory()),
            Self::Outputs(_) => None,
        }
    }

    /// Enlarges the first `frames` frames of a clip, in their order, and hands each to `take`.
    ///
    /// # Errors
    /// Names the file that does not fit.
    pub fn run(
        &mut self,
        clip: &Clip,
        frames: usize,
        device: Device,
        mut take: impl FnMut(&Self, Enlarged) -> Result<()>,
    ) -> Result<()> {
        if let Self::Outputs(outputs) = self {
            let outputs = outputs.clone();
            return outputs.run(clip, frames, |output| take(self, output));
        }
        let density = self.density();
        let small = clip.files(&density, Lens::Ultrawide)?;
        let others = match self.references() {
            References::None => (None, None),
            References::Wide => (Some(clip.files(&density, Lens::Wide)?), None),
            References::WideAndTele => (
                Some(clip.files(&density, Lens::Wide)?),
                Some(clip.files(&density, Lens::Tele)?),
            ),
        };
        let other = |files: &Option<Vec<PathBuf>>, index: usize| {
            files
                .as_ref()
                .map(|files| tensor(&files[index], device))
                .transpose()
        };
        let (mut next, mut busy) = (0, 0.0);
        for (index, file) in small.iter().enumerate().take(frames) {
            let triplet = Triplet {
                ultrawide: tensor(file, device)?,
                wide: other(&others.0, index)?,
                tele: other(&others.1, index)?,
            };
            let start = Instant::now();
            self.send(triplet)
                .with_context(|| format!("cannot enlarge {}", file.display()))?;
            busy += start.elapsed().as_secs_f64();
            self.receive(&mut next, &mut busy, &mut take)?;
        }
        if let Self::Model { session, .. } = self {
            session.drain();
        }
        self.receive(&mut next, &mut busy, &mut take)?;
        if let Self::Model { session, .. } = self {
            session.reset();
        }
        ensure!(
            next == frames,
            "{} put out {next} frames for {frames}",
            self.name()
        );
        Ok(())
    }

    /// How well each pixel of a frame is matched in the wide camera's, `[1, 1, H, W]`; none for methods that do not look there.
    pub fn confidence(&self, clip: &Clip, index: usize, device: Device) -> Result<Option<Tensor>> {
        let Self::Model {
            session,
            references: References::Wide | References::WideAndTele,
            ..
        } = self
        else {
            return Ok(None);
        };
        let (network, density) = (session.network(), self.density());
        let frame = |lens| tensor(&clip.files(&density, lens)?[index], device);
        let (ultrawide, wide) = (frame(Lens::Ultrawide)?, frame(Lens::Wide)?);
        if wide.size() != ultrawide.size() {
            // The session brings frames of other sizes to scale; the map is for looking only.
            return Ok(None);
        }
        let map = tch::no_grad(|| -> Result<Tensor> {
            let (lr, reference) = (network.pad(&ultrawide)?, network.pad(&wide)?);
            Ok(network.confidence(Frame {
                lr: &lr,
                references: &[&reference],
            })?)
        })?;
        let (height, width) = (ultrawide.size()[2], ultrawide.size()[3]);
        Ok(Some(
            map.f_narrow(2, 0, height)?
                .f_narrow(3, 0, width)?
                .f_to_device(Device::Cpu)?,
        ))
    }

    fn references(&self) -> References {
        match self {
            Self::Bicubic { .. } | Self::Outputs(_) => References::None,
            Self::Model { references, .. } => *references,
        }
    }

    fn send(&mut self, triplet: Triplet) -> Result<()> {
        match self {
            Self::Bicubic { scale, waiting, .. } => {
                *waiting = Some(bicubic(&triplet.ultrawide, *scale)?);
                Ok(())
            }
            Self::Model { session, .. } => Ok(session.send(triplet)?),
            Self::Outputs(_) => Ok(()),
        }
    }

    /// Hands on all that is finished.
    fn receive(
        &mut self,
        next: &mut usize,
        busy: &mut f64,
        take: &mut impl FnMut(&Self, Enlarged) -> Result<()>,
    ) -> Result<()> {
        loop {
            let start = Instant::now();
            let finished = match self {
                Self::Bicubic { waiting, .. } => waiting.take(),
                Self::Model { session, .. } => session.receive()?.frame(),
                Self::Outputs(_) => None,
            };
            let Some(picture) = finished else {
                return Ok(());
            };
            // A GPU's work is done when its result is here.
            let picture = picture.f_to_device(Device::Cpu)?;
            let seconds = std::mem::take(busy) + start.elapsed().as_secs_f64();
            let index = *next;
            *next += 1;
            take(
                self,
                Enlarged {
                    index,
                    picture,
                    seconds: Some(seconds),
                },
            )?;
        }
    }
}
