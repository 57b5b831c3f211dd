//! One run of the meter: every case, and on it every model.

use super::{
    case::Case,
    clip::{Clip, film},
    meter::{Figures, Meter, values},
    model::{Model, Running},
    options::{LongOptions, References},
    row::{Ledger, Row},
};
use crate::{
    fetch::package::sha256,
    footage::{
        recorded::{Chroma, Recording},
        shot::Motion,
    },
    run::validate::stream,
};
use anyhow::Result;
use clap::ValueEnum;
use indicatif::ProgressBar;
use refvsr::{Triplet, image::resize::bicubic_antialiased};
use refvsr_tools::enlarge;
use std::{
    io::{Write, stderr},
    path::{Path, PathBuf},
};
use tch::{Device, Tensor};

/// A source, that whose wide camera is the wrong one, and the case.
type Planned = (PathBuf, Option<(PathBuf, Case)>, Case);

/// A run of the meter.
pub struct Bench<'a> {
    /// What is measured.
    pub options: &'a LongOptions,
    /// On what.
    pub models: Vec<Model>,
    /// How many times larger outputs are.
    pub scale: i64,
    /// This program's content: another one may give other figures.
    pub program: String,
    /// Rows that are known.
    pub ledger: Ledger,
    /// Counts frames.
    pub progress: &'a ProgressBar,
    /// Rows of this run.
    pub rows: Vec<Row>,
}

impl Bench<'_> {
    /// What was run, in a line.
    pub fn heading(&self, running: &Running<'_>) -> String {
        let models: Vec<String> = self
            .models
            .iter()
            .map(|model| format!("{} (sha256 {}…)", model.name, &model.sum[..12]))
            .collect();
        format!(
            "{}: precision {}, truth of {}x{}, {}.\n",
            models.join(", "),
            running.precision,
            self.options.size.0,
            self.options.size.1,
            running
                .backward_group
                .map_or("backward groups as in the element".to_owned(), |group| {
                    format!("backward groups of {group}")
                })
        )
    }

    /// What every model is given, one after another.
    pub fn references(&self) -> Vec<References> {
        let chosen = &self.options.references;
        if chosen.is_empty() {
            References::value_variants().to_vec()
        } else {
            chosen.clone()
        }
    }

    /// All cases, in the tables' order.
    ///
    /// # Errors
    /// Where a source cannot be read.
    pub fn cases(&self, frames: usize) -> Result<Vec<Planned>> {
        let options = self.options;
        let motions = match &options.only[..] {
            [] => Motion::value_variants(),
            only => only,
        };
        let mut recordings: Vec<Option<Recording>> = vec![];
        for quantizer in &options.quantizer {
            match quantizer.0 {
                None => recordings.push(None),
                Some(quantizer) => recordings.extend(options.encoder.iter().map(|&encoder| {
                    Some(Recording {
                        encoder,
                        quantizer,
                        group: options.group,
                        chroma: Chroma::Quarter,
                    })
                })),
            }
        }
        let sums = |paths: &[PathBuf]| paths.iter().map(|p| sha256(p)).collect::<Result<Vec<_>>>();
        let (sources, sums_of_films) = (&options.sources, sums(&options.sources)?);
        let case = |path: &Path, sum: &str| Case {
            source: path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            source_sha256: sum.to_owned(),
            motion: None,
            noise: 0.0,
            recording: None,
            size: options.size,
            frames,
            processing: options.processing,
            seed: options.seed,
        };
        let mut cases = vec![];
        for n in 0..sources.len() {
            let next = (n + 1) % sources.len();
            for &motion in motions {
                for &noise in &options.noise {
                    for &recording in &recordings {
                        let of = |n: usize| Case {
                            motion: Some(motion),
                            noise,
                            recording,
                            ..case(&sources[n], &sums_of_films[n])
                        };
                        let other = (next != n).then(|| (sources[next].clone(), of(next)));
                        cases.push((sources[n].clone(), other, of(n)));
                    }
                }
            }
        }
        let recorded = options.as_recorded.iter().zip(sums(&options.as_recorded)?);
        cases.extend(recorded.map(|(path, sum)| (path.clone(), None, case(path, &sum))));
        Ok(cases)
    }

    /// Measures all columns of a case.
    ///
    /// # Errors
    /// Where a source or a recording fails.
    pub fn case(&mut self, path: &Path, other: Option<(&Path, &Case)>, case: &Case) -> Result<()> {
        self.progress.set_message(case.name());
        let mut clip: Option<Clip> = None;
        let scale = self.scale;
        let plain: &[&str] = if case.motion.is_some() {
            &["truth", "bicubic"]
        } else {
            &["bicubic"]
        };
        for &what in plain {
            self.row(case, [what, ""], what.to_owned(), |_| {
                let clip = filmed(&mut clip, path, case, scale)?;
                let mut meter = Meter::new(clip, scale);
                for (n, input) in clip.inputs.iter().enumerate() {
                    meter.take(&match what {
                        "truth" => values(&clip.truths[n])?,
                        _ => enlarge::bicubic(input, scale)?,
                    })?;
                }
                let mut figures = meter.figures;
                if what == "truth" {
                    // It has no error, but it moves.
                    for frame in &mut figures {
                        (frame.psnr, frame.field) = (None, None);
                    }
                }
                Ok(figures)
            })?;
        }
        self.progress.inc(case.frames as u64);
        let mut wrong: Option<Clip> = None;
        for n in 0..self.models.len() {
            for references in self.references() {
                let there = match references {
                    References::None => true,
                    References::Wide => case.motion.is_some(),
                    References::Another => other.is_some(),
                };
                if there {
                    let model = &self.models[n];
                    let key = match (references, other) {
                        (References::Another, Some((_, other))) => {
                            format!("{} {}", model.sum, other.source_sha256)
                        }
                        _ => model.sum.clone(),
                    };
                    let name = model.name.clone();
                    self.row(case, [&name, references.words()], key, |bench| {
                        let clip = filmed(&mut clip, path, case, scale)?;
                        let wide = match (references, other) {
                            (References::Wide, _) => Some(&clip.wide),
                            (References::Another, Some((path, case))) => {
                                Some(&filmed(&mut wrong, path, case, scale)?.wide)
                            }
                            _ => None,
                        };
                        let mut meter = Meter::new(clip, scale);
                        bench.play(n, clip, wide.map(Vec::as_slice), &mut meter)?;
                        Ok(meter.figures)
                    })?;
                }
                self.progress.inc(case.frames as u64);
            }
        }
        Ok(())
    }

    /// A row that is known already, or is measured now.
    fn row(
        &mut self,
        case: &Case,
        [model, references]: [&str; 2],
        key: String,
        measure: impl FnOnce(&mut Self) -> Result<Vec<Figures>>,
    ) -> Result<()> {
        let network = self.models.iter().find(|m| m.name == model);
        let running = network.map(|model| &model.running);
        let key =
            serde_json::to_string(&(&self.program, case, references, key, running, self.scale))?;
        let row = match self.ledger.find(&key) {
            Some(row) => row,
            None => {
                let before = self.restarts();
                let figures = measure(self)?;
                let restarts = self.restarts() - before;
                let row = Row::new(key, case, [model, references], &figures, restarts);
                self.ledger.keep(&row)?;
                row
            }
        };
        self.progress.suspend(|| {
            let psnr = row.psnr.as_ref().map_or(String::new(), |curve| {
                format!(": {:.2} -> {:.2} dB", curve.first(), curve.last())
            });
            // Nothing is lost where nobody reads it.
            let _ = writeln!(stderr(), "{}, {}{psnr}", case.name(), row.name());
        });
        self.rows.push(row);
        Ok(())
    }

    /// How often the models' safety nets began their recurrence anew so far.
    fn restarts(&self) -> usize {
        self.models.iter().map(|m| m.session.restarts()).sum()
    }

    /// Plays a clip through a model.
    fn play(
        &mut self,
        n: usize,
        clip: &Clip,
        wide: Option<&[Tensor]>,
        meter: &mut Meter<'_>,
    ) -> Result<()> {
        let session = &mut self.models[n].session;
        let device = session.network().device();
        let size = clip.inputs[0].size();
        session.set_footage(clip.footage);
        stream(
            session,
            clip.inputs.len(),
            |i| {
                // The other clip may be shorter.
                let wide = wide.and_then(|wide| wide.get(i.min(wide.len().saturating_sub(1))));
                let wide = wide.map(|wide| bicubic_antialiased(wide, size[2], size[3]));
                Ok(Triplet {
                    ultrawide: clip.inputs[i].f_to_device(device)?,
                    wide: wide
                        .transpose()?
                        .map(|wide| wide.f_to_device(device))
                        .transpose()?,
                    tele: None,
                })
            },
            |_, out| meter.take(&out.f_to_device(Device::Cpu)?),
        )
    }
}

/// A clip, filmed when it is first needed.
fn filmed<'a>(
    clip: &'a mut Option<Clip>,
    path: &Path,
    case: &Case,
    scale: i64,
) -> Result<&'a Clip> {
    Ok(match clip {
        Some(clip) => clip,
        None => clip.insert(film(path, case, scale)?),
    })
}
