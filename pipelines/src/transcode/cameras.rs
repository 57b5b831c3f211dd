//! Which recordings there are, and how they lie to one another in time: options that several commands have.

use super::graph::NetworkOptions;
use super::options::{self, Lens};
use super::sync::Sync;
use super::wishes::Options;
use crate::media::{Footage, Take, open};
use crate::stop::Stop;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// The recordings of one scene.
#[derive(Debug, Clone, clap::Args)]
pub struct Cameras {
    /// The ultra-wide camera's recording, or a folder of numbered PNG files
    #[arg(short, long, value_name = "FILE")]
    pub ultrawide: PathBuf,
    /// The wide camera's
    #[arg(short, long, value_name = "FILE")]
    pub wide: PathBuf,
    /// The tele camera's
    #[arg(short, long, value_name = "FILE")]
    pub tele: Option<PathBuf>,
    #[command(flatten)]
    pub timing: Timing,
}

/// Which part of recordings is meant, and when the cameras started.
#[derive(Debug, Clone, clap::Args)]
pub struct Timing {
    /// Start here in the ultra-wide recording: seconds, M:SS or H:MM:SS
    #[arg(long, value_name = "TIME", value_parser = options::time)]
    pub from: Option<gst::ClockTime>,
    /// End before this moment
    #[arg(long, value_name = "TIME", value_parser = options::time)]
    pub to: Option<gst::ClockTime>,
    /// How many seconds later than the ultra-wide camera another one started (wide=0.4); may be repeated
    #[arg(long, value_name = "LENS=SECONDS", value_parser = options::offset)]
    pub offset: Vec<(Lens, i64)>,
    /// Find out when the other cameras started, where --offset does not say
    #[arg(long, value_name = "HOW")]
    pub sync: Option<Sync>,
    /// Frames a second of PNG files, and of recordings that do not say when their frames are
    #[arg(long, default_value = "30", value_name = "N|N/D", value_parser = options::framerate)]
    pub framerate: gst::Fraction,
    /// Make whole pictures of interlaced recordings, one of each first field
    #[arg(long)]
    pub deinterlace: bool,
}

impl Timing {
    /// As what decides what comes out of the files.
    ///
    /// # Errors
    /// The part that is asked for ends before it begins.
    pub fn options(&self, network: &NetworkOptions) -> Result<Options> {
        ensure!(
            self.to.is_none_or(|to| to > self.from.unwrap_or_default()),
            "--to has to lie after --from"
        );
        Ok(Options {
            network: network.clone(),
            offsets: self.offset.clone(),
            sync: self.sync,
            from: self.from,
            to: self.to,
            deinterlace: self.deinterlace,
            framerate: self.framerate,
            ..Options::default()
        })
    }
}

impl Cameras {
    /// The recordings that are named.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let first = std::iter::once(self.ultrawide.as_path());
        first.chain(self.references().map(|(_, path)| path))
    }

    /// Those beside the ultra-wide one.
    fn references(&self) -> impl Iterator<Item = (Lens, &Path)> {
        let tele = self.tele.iter().map(|path| (Lens::Tele, path.as_path()));
        std::iter::once((Lens::Wide, self.wide.as_path())).chain(tele)
    }

    /// Opens them all.
    pub fn open(&self, stop: &Stop) -> Result<Scene> {
        let footage = |path| open(path, self.timing.framerate, Take::default(), stop);
        let ultrawide = footage(&self.ultrawide)?;
        let references = self.references();
        Ok(Scene {
            ultrawide,
            references: references
                .map(|(lens, path)| Ok((lens, footage(path)?)))
                .collect::<Result<_>>()?,
        })
    }
}

/// Recordings of one scene, open.
#[derive(Debug)]
pub struct Scene {
    pub ultrawide: Footage,
    pub references: Vec<(Lens, Footage)>,
}
