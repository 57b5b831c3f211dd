//! What a model came to on a case, and keeping it in a file.

use super::{case::Case, meter::Figures};
use anyhow::{Context, Result, ensure};
use refvsr_tools::curve::Curve;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
};

/// Steps from output to output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// The median, in codes.
    pub median: f64,
    /// The largest, in codes.
    pub largest: f64,
    /// The output that the largest leads to.
    pub at: usize,
    /// Mean of the warping error, in codes.
    pub warping: f64,
}

impl Steps {
    fn of(figures: &[Figures]) -> Option<Self> {
        let steps: Vec<f64> = figures.iter().filter_map(|f| f.step).collect();
        let warped: Vec<f64> = figures.iter().filter_map(|f| f.warping).collect();
        let (at, largest) = steps
            .iter()
            .copied()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        let mut sorted = steps.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: sorted[sorted.len() / 2],
            largest,
            // The first output has no step.
            at: at + 1,
            warping: warped.iter().sum::<f64>() / warped.len().max(1) as f64,
        })
    }

    /// The largest over the median: seams show in it where the camera moves evenly.
    pub fn ratio(&self) -> f64 {
        if self.median > 0.0 {
            self.largest / self.median
        } else {
            1.0
        }
    }
}

/// One way to enlarge one clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// All that the figures depend on.
    pub key: String,
    /// The clip.
    pub case: Case,
    /// The model's name; `bicubic` and `truth` are no models'.
    pub model: String,
    /// Which references it had; empty where there is no choice.
    pub references: String,
    /// Frames.
    pub frames: usize,
    /// PSNR over the whole frame.
    pub psnr: Option<Curve>,
    /// PSNR over the wide camera's field.
    pub field: Option<Curve>,
    /// Steps; none of a single frame.
    pub steps: Option<Steps>,
    /// Root mean square of the output, reduced, less the input, in codes.
    pub residual: Option<Curve>,
    /// How often the safety net began the model's recurrence anew.
    #[serde(default)]
    pub restarts: usize,
}

impl Row {
    /// Of all figures of a clip.
    pub fn new(
        key: String,
        case: &Case,
        [model, references]: [&str; 2],
        figures: &[Figures],
        restarts: usize,
    ) -> Self {
        let curve = |pick: &dyn Fn(&Figures) -> Option<f64>| {
            Curve::of(&[figures.iter().filter_map(pick).collect()])
        };
        Self {
            key,
            case: case.clone(),
            model: model.to_owned(),
            references: references.to_owned(),
            frames: figures.len(),
            psnr: curve(&|f| f.psnr),
            field: curve(&|f| f.field),
            steps: Steps::of(figures),
            residual: curve(&|f| Some(f.residual)),
            restarts,
        }
    }

    /// Model and references.
    pub fn name(&self) -> String {
        if self.references.is_empty() {
            self.model.clone()
        } else {
            format!("{}, {}", self.model, self.references)
        }
    }
}

/// Rows in a file, one JSON object a line. What is there already need not be measured again.
pub struct Ledger {
    known: Vec<Row>,
    file: Option<File>,
}

impl Ledger {
    /// Reads what a file holds, and appends to it. Without a file nothing is kept.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                known: vec![],
                file: None,
            });
        };
        let open = || {
            OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(path)
        };
        let mut file = open().with_context(|| format!("opening {}", path.display()))?;
        let mut text = String::new();
        file.read_to_string(&mut text)
            .with_context(|| format!("reading {}", path.display()))?;
        // An interrupted run may have left half a line.
        let known = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let known: Vec<Row> = known.collect();
        ensure!(
            text.is_empty() || !known.is_empty(),
            "{} is there and holds no rows of `score --long`; name another file",
            path.display()
        );
        if !text.is_empty() && !text.ends_with('\n') {
            writeln!(file).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(Self {
            known,
            file: Some(file),
        })
    }

    /// The row of a key, if it is there.
    pub fn find(&self, key: &str) -> Option<Row> {
        self.known.iter().find(|row| row.key == key).cloned()
    }

    /// Keeps a row.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep(&mut self, row: &Row) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all((serde_json::to_string(row)? + "\n").as_bytes())
                .context("writing a row")?;
        }
        self.known.push(row.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_show_segments_and_slope() {
        let falling: Vec<f64> = (0..300).map(|n| 30.0 - 0.02 * f64::from(n)).collect();
        let curve = Curve::of(&[falling]).unwrap();
        assert_eq!(curve.segments.len(), 10);
        assert!((curve.first() - 29.71).abs() < 1e-9 && (curve.last() - 24.31).abs() < 1e-9);
        assert!((curve.slope + 2.0).abs() < 1e-9, "{}", curve.slope);
        assert!((curve.fall() - 5.4).abs() < 1e-9);
        let few = Curve::of(&[vec![3.0, 1.0, 2.0]]).unwrap();
        assert_eq!((few.segments.len(), few.fall()), (3, 2.0));
        assert_eq!(Curve::of(&[vec![]]), None);
        assert_eq!(Curve::of(&[vec![5.0]]).unwrap().slope, 0.0);
    }

    #[test]
    fn a_seam_is_the_largest_step() {
        let figures: Vec<Figures> = (0..20)
            .map(|n| Figures {
                psnr: None,
                field: None,
                step: (n > 0).then_some(if n == 7 { 5.0 } else { 2.0 }),
                warping: (n > 0).then_some(1.0),
                residual: 0.5,
            })
            .collect();
        let steps = Steps::of(&figures).unwrap();
        assert_eq!((steps.median, steps.largest, steps.at), (2.0, 5.0, 7));
        assert_eq!((steps.ratio(), steps.warping), (2.5, 1.0));
        assert_eq!(Steps::of(&figures[..1]), None);
    }
}
