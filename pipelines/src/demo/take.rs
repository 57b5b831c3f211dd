//! The two takes of the demonstration: a moving one without loss, and one from a tripod, as phones record.

use crate::frames::rounded;
use anyhow::Result;
use tch::Tensor;

/// Standard deviation of the tripod shot's sensor noise, of 1.
const NOISE: f64 = 1.0 / 255.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    Moving,
    Still,
}

impl Take {
    pub const ALL: [Self; 2] = [Self::Moving, Self::Still];

    /// A file of this take.
    pub fn file(self, name: &str) -> String {
        match self {
            Self::Moving => name.to_owned(),
            Self::Still => format!("still-{name}"),
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Moving => "as the phone moved, without loss",
            Self::Still => {
                "its first frame from a tripod, with sensor noise, through x264 at quantizer 23"
            }
        }
    }

    /// Which frame of the footage is filmed at moment `n`.
    pub fn of_footage(self, n: usize) -> usize {
        match self {
            Self::Moving => n,
            Self::Still => 0,
        }
    }

    /// What the sensor makes of a camera's picture.
    pub fn sensed(self, picture: &Tensor) -> Result<Tensor> {
        match self {
            Self::Moving => Ok(picture.shallow_clone()),
            Self::Still => rounded(&picture.f_add(&(picture.f_randn_like()? * NOISE))?),
        }
    }

    /// From raw frames to a Matroska file.
    pub fn encoder(self) -> &'static str {
        match self {
            // FFV1 has no RGB without a fourth channel; as alpha it is opaque, as padding it would be 0 and players show nothing.
            Self::Moving => "! videoconvert ! video/x-raw,format=BGRA ! avenc_ffv1 ! matroskamux",
            Self::Still => {
                "! videoconvert ! video/x-raw,format=I420 ! x264enc pass=quant quantizer=23 ! h264parse ! matroskamux"
            }
        }
    }

    /// The format that the element takes in: recordings as decoders put them out, by which it knows them.
    pub fn format(self) -> &'static str {
        match self {
            Self::Moving => "RGB",
            Self::Still => "I420",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_tripod_shot_is_one_frame_with_another_noise_each_time() {
        let grey = Tensor::full([1, 3, 64, 64], 0.5, (Kind::Float, Device::Cpu));
        tch::manual_seed(3);
        let (a, b) = (
            Take::Still.sensed(&grey).unwrap(),
            Take::Still.sensed(&grey).unwrap(),
        );
        let codes = (&a - &b).std(true).double_value(&[]) * 255.0;
        // Of two noises, and rounding.
        assert!((1.3..1.7).contains(&codes), "{codes}");
        assert!(Take::Moving.sensed(&grey).unwrap().equal(&grey));
        assert_eq!(
            [Take::Moving, Take::Still].map(|take| take.of_footage(5)),
            [5, 0]
        );
    }
}
