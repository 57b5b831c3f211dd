//! What was learnt: frames that were held back, before and after.

use super::frames::Frames;
use crate::canvas::Canvas;
use crate::preview::candidate::Candidate;
use crate::preview::sheet;
use crate::preview::view::View;
use crate::stop::Stop;
use crate::transcode::cameras::Cameras;
use anyhow::{Context, Result};
use refvsr::{Network, metrics};
use std::path::Path;
use tch::Device;

/// Moments on the picture.
const SHOWN: usize = 3;

/// Frames that were held back, by bicubic enlargement and by the model before and after, and as they were filmed.
#[derive(Debug)]
pub struct Outcome {
    views: Vec<View>,
    /// Mean PSNR in dB of each method, by name.
    scores: Vec<(String, f64)>,
}

impl Outcome {
    /// Of a model with this name and file, and of what was learnt.
    ///
    /// # Errors
    /// A file cannot be read, or the work was stopped.
    pub fn of(
        frames: &Frames,
        (name, before): (&str, &Path),
        after: &Path,
        device: Device,
        stop: &Stop,
    ) -> Result<Self> {
        let candidate = |name: String, file: &Path| -> Result<Candidate> {
            Ok(Candidate {
                name,
                network: Network::load(file, device)?.into(),
            })
        };
        let candidates = [
            candidate(format!("{name}, before"), before)?,
            candidate("adapted".to_owned(), after)?,
        ];
        let (mut views, mut sums) = (Vec::new(), Vec::<(String, f64)>::new());
        let clips = frames.held_back();
        for clip in &clips {
            let (moment, filmed) = frames.reduced(clip)?;
            // As a fast model is shown: the whole window.
            let shown = candidates.iter().map(|candidate| (candidate, 0.0));
            let mut view = View::make(&moment, shown, &mut |_| (), stop)?;
            for (n, (name, picture)) in view.pictures.iter_mut().enumerate() {
                let score = metrics::psnr(picture, &filmed)?;
                name.push_str(&format!(", {score:.2} dB"));
                match sums.get_mut(n) {
                    Some((_, sum)) => *sum += score / clips.len() as f64,
                    None => {
                        let name = name.rsplit_once(", ").map_or("", |(name, _)| name);
                        sums.push((name.to_owned(), score / clips.len() as f64));
                    }
                }
            }
            if views.len() < SHOWN {
                view.pictures.push(("as filmed".to_owned(), filmed));
                views.push(view);
            }
        }
        Ok(Self {
            views,
            scores: sums,
        })
    }

    /// Whether the model is better than before.
    pub fn gains(&self) -> bool {
        matches!(self.scores.as_slice(), [.., (_, before), (_, after)] if after > before)
    }

    /// The figures.
    pub fn lines(&self) -> Vec<String> {
        let scores = self.scores.iter();
        let scores: Vec<String> = scores
            .map(|(name, score)| format!("{name} {score:.2} dB"))
            .collect();
        vec![format!(
            "frames that were held back, at a quarter of their size: {}",
            scores.join(", ")
        )]
    }

    /// The picture.
    pub fn sheet(&self, cameras: &Cameras) -> Result<Canvas> {
        let read: Vec<String> = cameras
            .paths()
            .map(|path| path.display().to_string())
            .collect();
        let mut lines = vec![format!("learnt from {}", read.join(", "))];
        lines.extend(self.lines());
        sheet::draw("refvsr adapt", &lines, &self.views).context("the picture cannot be drawn")
    }
}
