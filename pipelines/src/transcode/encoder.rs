//! Choosing and setting up the video encoder.

use super::knobs::KNOBS;
use crate::element::{make, missing, set};
use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;

/// How the picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Codec {
    /// H.264
    H264,
    /// H.265
    H265,
    /// AV1
    Av1,
    /// VP9
    Vp9,
    /// FFV1, without loss
    Ffv1,
    /// Apple ProRes
    Prores,
}

/// What the user wants of the encoder.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Encoder")]
pub struct EncoderOptions {
    /// How the picture is written [default: H.264; VP9 in .webm]
    #[arg(long)]
    pub codec: Option<Codec>,
    /// Encoder element, x265enc or nvh264enc for instance [default: the one of the codec that GStreamer ranks highest]
    #[arg(long, value_name = "ELEMENT")]
    pub encoder: Option<String>,
    /// Quality, in the encoder's own measure: lower is better
    #[arg(long, value_name = "N", conflicts_with = "bitrate")]
    pub crf: Option<u32>,
    /// Kilobits a second, instead of a quality
    #[arg(long, value_name = "KBIT/S", value_parser = clap::value_parser!(u32).range(1..))]
    pub bitrate: Option<u32>,
    /// How much time to spend, in the encoder's own words: veryfast or slow for x264enc, 0 to 8 for vp9enc
    #[arg(long, value_name = "PRESET")]
    pub preset: Option<String>,
    /// Any other property of the encoder, may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::options::pair)]
    pub encoder_option: Vec<(String, String)>,
}

impl Codec {
    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Av1 => "AV1",
            Self::Vp9 => "VP9",
            Self::Ffv1 => "FFV1",
            Self::Prores => "ProRes",
        }
    }

    /// The media type of the encoded stream.
    fn caps(self) -> gst::Caps {
        match self {
            Self::H264 => gst::Caps::new_empty_simple("video/x-h264"),
            Self::H265 => gst::Caps::new_empty_simple("video/x-h265"),
            Self::Av1 => gst::Caps::new_empty_simple("video/x-av1"),
            Self::Vp9 => gst::Caps::new_empty_simple("video/x-vp9"),
            Self::Ffv1 => gst::Caps::builder("video/x-ffv")
                .field("ffvversion", 1)
                .build(),
            Self::Prores => gst::Caps::new_empty_simple("video/x-prores"),
        }
    }

    /// The element that brings the stream into the form a container wants.
    pub fn parser(self) -> Option<&'static str> {
        match self {
            Self::H264 => Some("h264parse"),
            Self::H265 => Some("h265parse"),
            Self::Av1 => Some("av1parse"),
            Self::Vp9 => Some("vp9parse"),
            Self::Ffv1 | Self::Prores => None,
        }
    }

    /// The encoder of this codec that is installed, works and has the highest rank; among equals the one earlier in [`KNOBS`].
    fn by_rank(self) -> Result<gst::ElementFactory> {
        let kind = gst::ElementFactoryType::VIDEO_ENCODER;
        let mut all: Vec<_> = gst::ElementFactory::factories_with_type(kind, gst::Rank::MARGINAL)
            .into_iter()
            .filter(|factory| factory.can_src_any_caps(&self.caps()))
            .collect();
        let known = |factory: &gst::ElementFactory| {
            KNOBS
                .iter()
                .position(|knobs| knobs.factory == factory.name())
        };
        all.sort_by_key(|factory| {
            (
                std::cmp::Reverse(factory.rank()),
                known(factory).unwrap_or(KNOBS.len()),
            )
        });
        let works = |factory: &gst::ElementFactory| {
            let element = factory.create().build().ok()?;
            let ready = element.set_state(gst::State::Ready);
            _ = element.set_state(gst::State::Null);
            ready.ok()
        };
        let found = all.into_iter().find(|factory| works(factory).is_some());
        found.with_context(|| {
            format!("GStreamer has no encoder for {}; `gst-inspect-1.0 | grep -i enc` lists those it has", self.name())
        })
    }
}

/// The encoder, set up, and its codec.
pub fn choose(options: &EncoderOptions, default: Codec) -> Result<(gst::Element, Codec)> {
    let (factory, codec) = match &options.encoder {
        Some(name) => {
            let factory = gst::ElementFactory::find(name).ok_or_else(|| missing(name))?;
            let codec = codec_of(&factory)?;
            if let Some(wanted) = options.codec.filter(|wanted| *wanted != codec) {
                bail!("{name} encodes {}, not {}", codec.name(), wanted.name())
            }
            (factory, codec)
        }
        None => {
            let codec = options.codec.unwrap_or(default);
            (codec.by_rank()?, codec)
        }
    };
    let encoder = make(&factory.name())?;
    set_up(&encoder, &factory.name(), options)?;
    Ok((encoder, codec))
}

fn codec_of(factory: &gst::ElementFactory) -> Result<Codec> {
    let encodes = factory.has_type(gst::ElementFactoryType::VIDEO_ENCODER);
    let all = [
        Codec::H264,
        Codec::H265,
        Codec::Av1,
        Codec::Vp9,
        Codec::Ffv1,
        Codec::Prores,
    ];
    let codec = all
        .into_iter()
        .find(|codec| factory.can_src_any_caps(&codec.caps()));
    codec.filter(|_| encodes).with_context(|| {
        format!(
            "{} is no encoder of H.264, H.265, AV1, VP9, FFV1 or ProRes",
            factory.name()
        )
    })
}

fn set_up(encoder: &gst::Element, name: &str, options: &EncoderOptions) -> Result<()> {
    let knobs = KNOBS.iter().find(|knobs| knobs.factory == name);
    let all = |list: &[(&str, &str)], number: u64, option: &str| -> Result<()> {
        ensure!(!list.is_empty(), "{name} has no {option}");
        for (property, value) in list {
            set(encoder, property, &value.replace("{}", &number.to_string()))?;
        }
        Ok(())
    };
    match (knobs, options.bitrate, options.crf) {
        (Some(knobs), Some(rate), _) => {
            let unit = if knobs.bits { 1000 } else { 1 };
            all(knobs.bitrate, u64::from(rate) * unit, "--bitrate")?;
        }
        (Some(knobs), None, Some(crf)) => all(knobs.quality, crf.into(), "--crf")?,
        (Some(knobs), None, None) if !knobs.quality.is_empty() => {
            all(knobs.quality, knobs.default.into(), "--crf")?;
        }
        (None, Some(_), _) | (None, _, Some(_)) => {
            bail!("how {name} takes --crf and --bitrate is not known here; use --encoder-option")
        }
        _ => (),
    }
    if let Some(preset) = &options.preset {
        match knobs.and_then(|knobs| knobs.preset) {
            Some(property) => set(encoder, property, preset)?,
            None => bail!("{name} has no --preset"),
        }
    }
    for (property, value) in &options.encoder_option {
        set(encoder, property, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_the_encoders_that_are_installed() {
        gst::init().unwrap();
        let mut seen = 0;
        for knobs in KNOBS {
            if gst::ElementFactory::find(knobs.factory).is_none() {
                continue;
            }
            seen += 1;
            let options = |crf, bitrate| EncoderOptions {
                encoder: Some(knobs.factory.to_owned()),
                crf,
                bitrate,
                ..EncoderOptions::default()
            };
            choose(&options(None, None), Codec::H264).unwrap();
            assert_eq!(
                choose(&options(Some(20), None), Codec::H264).is_ok(),
                !knobs.quality.is_empty()
            );
            assert_eq!(
                choose(&options(None, Some(900)), Codec::H264).is_ok(),
                !knobs.bitrate.is_empty()
            );
        }
        assert!(seen >= 3, "{seen}");
    }

    #[test]
    fn bitrate_and_quality_reach_the_encoder() {
        gst::init().unwrap();
        let mut options = EncoderOptions {
            encoder: Some("x264enc".into()),
            bitrate: Some(1234),
            preset: Some("veryfast".into()),
            ..EncoderOptions::default()
        };
        let (encoder, codec) = choose(&options, Codec::Vp9).unwrap();
        assert_eq!(
            (encoder.property::<u32>("bitrate"), codec),
            (1234, Codec::H264)
        );
        options.bitrate = None;
        options.crf = Some(31);
        let (encoder, _) = choose(&options, Codec::Vp9).unwrap();
        assert_eq!(encoder.property::<u32>("quantizer"), 31);
    }

    #[test]
    fn mistakes_name_what_would_be_right() {
        gst::init().unwrap();
        let message =
            |options: EncoderOptions| format!("{:#}", choose(&options, Codec::H264).unwrap_err());
        let named = |encoder: &str| EncoderOptions {
            encoder: Some(encoder.into()),
            ..EncoderOptions::default()
        };
        let text = message(named("nosuchenc"));
        assert!(text.contains("nosuchenc"), "{text}");
        let text = message(named("videoconvert"));
        assert!(text.contains("no encoder"), "{text}");
        let text = message(EncoderOptions {
            codec: Some(Codec::Vp9),
            ..named("x264enc")
        });
        assert!(text.contains("H.264, not VP9"), "{text}");
        let text = message(EncoderOptions {
            preset: Some("warp".into()),
            ..named("x264enc")
        });
        assert!(
            text.contains("speed-preset=warp") && text.contains("veryslow"),
            "{text}"
        );
        let text = message(EncoderOptions {
            crf: Some(99),
            ..named("x264enc")
        });
        assert!(text.contains("0 to 50"), "{text}");
        let text = message(EncoderOptions {
            encoder_option: vec![("no-such".into(), "1".into())],
            ..named("x264enc")
        });
        assert!(text.contains("no property no-such"), "{text}");
    }
}
