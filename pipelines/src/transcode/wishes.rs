//! What is asked for besides the files.

use super::encoder::EncoderOptions;
use super::graph::NetworkOptions;
use super::options::Lens;
use super::sync::Sync;

/// Everything that decides what comes out of the files.
#[derive(Debug, Clone)]
pub struct Options {
    pub network: NetworkOptions,
    pub encoder: EncoderOptions,
    /// How much later than the ultra-wide camera the others started, in nanoseconds.
    pub offsets: Vec<(Lens, i64)>,
    pub sync: Option<Sync>,
    pub from: Option<gst::ClockTime>,
    pub to: Option<gst::ClockTime>,
    /// Frames that are missing are no failure.
    pub accept_missing: bool,
    /// The output has no sound.
    pub no_sound: bool,
    /// Interlaced recordings are made whole pictures of.
    pub deinterlace: bool,
    /// Frames a second of PNG files, and of recordings that do not say when their frames are.
    pub framerate: gst::Fraction,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            network: NetworkOptions::default(),
            encoder: EncoderOptions::default(),
            offsets: vec![],
            sync: None,
            from: None,
            to: None,
            accept_missing: false,
            no_sound: false,
            deinterlace: false,
            framerate: gst::Fraction::new(30, 1),
        }
    }
}

impl Options {
    /// Whether the user said what stands in for missing reference frames.
    pub fn has_stand_in(&self) -> bool {
        let mut properties = self.network.properties.iter();
        properties.any(|(name, _)| name == "on-missing-reference")
    }

    /// Whether a camera's pictures are wanted.
    pub fn uses(&self, lens: Lens) -> bool {
        let mut properties = self.network.properties.iter();
        let without = |(name, value): &(String, String)| name == "use-tele" && value == "false";
        lens == Lens::Wide || !properties.any(without)
    }

    /// Everything that decides what comes out, in words.
    pub fn words(&self) -> Vec<String> {
        let network = &self.network.properties;
        let encoder = &self.encoder;
        let mut words: Vec<String> = network
            .iter()
            .map(|(name, value)| format!("set {name}={value}"))
            .collect();
        let mut add = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("{name} {value}")));
        };
        add("codec", encoder.codec.map(|codec| codec.name().to_owned()));
        add("encoder", encoder.encoder.clone());
        add("crf", encoder.crf.map(|crf| crf.to_string()));
        add("bitrate", encoder.bitrate.map(|rate| rate.to_string()));
        add("preset", encoder.preset.clone());
        for (name, value) in &encoder.encoder_option {
            add("encoder-option", Some(format!("{name}={value}")));
        }
        for (lens, offset) in &self.offsets {
            add("offset", Some(format!("{}={offset}", lens.name())));
        }
        add("sync", self.sync.map(|sync| format!("{sync:?}")));
        add("from", self.from.map(|from| from.nseconds().to_string()));
        add("to", self.to.map(|to| to.nseconds().to_string()));
        let rate = self.framerate;
        add(
            "framerate",
            Some(format!("{}/{}", rate.numer(), rate.denom())),
        );
        add("no-sound", self.no_sound.then(|| "true".into()));
        add("deinterlace", self.deinterlace.then(|| "true".into()));
        words
    }
}
