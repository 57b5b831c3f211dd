//! A model that is shown.

use crate::model::Model;
use crate::stop::Stop;
use crate::transcode::moment::Moment;
use anyhow::{Context, Result};
use refvsr::net::registered::registration::Sighting;
use refvsr::{Bundled, Session, SharedNetwork, Triplet};
use std::path::PathBuf;
use tch::{Device, Tensor};

/// A model, loaded.
#[derive(Debug)]
pub struct Candidate {
    pub name: String,
    pub network: SharedNetwork,
}

/// A frame as a model makes it, on the CPU, and where it saw the wide and the tele camera.
#[derive(Debug)]
pub struct Made {
    pub picture: Tensor,
    pub sightings: [Option<Sighting>; 2],
}

/// Seconds of a stream that a moment's frame is worth: three moments, and all models, are shown within a minute.
const PATIENCE: f64 = 7.0;

impl Candidate {
    /// The bundled models, the better one last, and then these files.
    ///
    /// # Errors
    /// A file is no model, or there is no model at all.
    pub fn all(files: &[PathBuf], device: Device) -> Result<Vec<Self>> {
        let bundled = Bundled::ALL.into_iter().rev();
        let models = bundled
            .filter(|model| model.content().is_some())
            .map(Model::Bundled)
            .chain(files.iter().cloned().map(Model::File));
        let mut all: Vec<Self> = Vec::new();
        for model in models {
            let mut name = model.name(device)?;
            if let (true, Some(file)) = (all.iter().any(|other| other.name == name), model.file()) {
                name = file.display().to_string();
            }
            all.push(Self {
                name,
                network: model.network(device)?.into(),
            });
        }
        // Says why there is none.
        if all.is_empty() {
            Bundled::choose(None, device)?;
        }
        Ok(all)
    }

    /// How many times larger its pictures are.
    pub fn scale(&self) -> i64 {
        self.network.config().scale
    }

    /// Frames to either side that an output wants to have seen.
    pub fn around(&self) -> usize {
        self.network.config().look_ahead()
    }

    /// How many of these frames to either side it is shown, where it takes so many seconds for one.
    fn affords(&self, seconds: f64) -> usize {
        let frames = (PATIENCE / seconds.max(1e-3)) as usize;
        (frames / 2).max(1).min(self.around())
    }

    /// Enlarges a moment's frame, with no more frames about it than its window holds, and fewer where it is slow.
    pub fn make(&self, moment: &Moment, seconds: f64, stop: &Stop) -> Result<Made> {
        let options = refvsr::SessionOptions {
            // Each output has a backward run of its own, which begins no later than the window ends.
            backward_group: Some(1),
            footage: moment.footage,
            ..Session::options_of(&self.network)
        };
        let mut session = Session::new(self.network.clone(), options)?;
        let around = self.affords(seconds);
        let first = moment.centre.saturating_sub(around);
        let last = (moment.centre + around).min(moment.triplets.len() - 1);
        let device = self.network.device();
        let there = |x: &Tensor| x.f_to_device(device);
        let other = |x: &Option<Tensor>| x.as_ref().map(there).transpose();
        let (mut next, centre) = (first, moment.centre);
        for n in first..=last {
            stop.check()?;
            let frame = &moment.triplets[n];
            session.send(Triplet {
                ultrawide: there(&frame.ultrawide)?,
                wide: other(&frame.wide)?,
                tele: other(&frame.tele)?,
            })?;
            if n == last {
                session.drain();
            }
            while next < centre && session.skip()?.is_frame() {
                next += 1;
            }
            if next == centre
                && let Some(picture) = session.receive()?.frame()
            {
                let (wide, tele) = session.sightings()?;
                return Ok(Made {
                    picture: picture.f_to_device(Device::Cpu)?,
                    sightings: [wide, tele],
                });
            }
        }
        None.with_context(|| format!("{} gives no picture", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_model_is_shown_fewer_frames() {
        let config = refvsr::ModelConfig {
            mid_channels: 4,
            num_blocks: 1,
            frame_num: 7,
            ..refvsr::ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let network = refvsr::Network::new(config, Device::Cpu).unwrap().into();
        let candidate = Candidate {
            name: "a".into(),
            network,
        };
        let frames = [0.0, 0.5, 1.7, 3.4, 60.0].map(|seconds| candidate.affords(seconds));
        assert_eq!(frames, [3, 3, 2, 1, 1]);
    }
}
