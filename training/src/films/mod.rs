//! Long films to learn steadiness from, part by part.
//!
//! Some films run side by side, each a patch of a photo that a camera stands before or moves across.
//! Every clip patch is the next few frames of one of them, so that what a network keeps from part to
//! part grows as old as it does in use. Nothing is stored but what encoders gave of the films that run:
//! a film's frames are functions of the seed and of their numbers.

pub mod film;
mod options;
mod photo;
mod recording;
pub mod way;

pub use options::{Films, Options};

use crate::{
    data::{
        batch::{ClipPatch, Part, Source},
        random::{Random, hash},
    },
    synthesize::source::is_photo,
};
use anyhow::{Context, Result, ensure};
use film::Film;
use photo::Photo;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};
use tch::{Device, Tensor};

/// Families of random numbers.
const LENGTHS: u64 = 21;
const FILMS: u64 = 22;
const AHEAD: u64 = 23;

/// What the encoder gave of a stream's latest film, and that film's number.
type Recorded = (u64, Option<Rc<Vec<Tensor>>>);

/// The films of a run.
#[derive(Debug, Clone)]
pub struct Filming {
    photos: Rc<Vec<Photo>>,
    options: Options,
    /// By stream.
    recorded: Rc<RefCell<BTreeMap<u64, Recorded>>>,
}

/// Which part of which film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    stream: u64,
    film: u64,
    /// Frames of the film, a whole number of parts.
    frames: usize,
    /// Its frame that the part begins with.
    first: usize,
}

impl Filming {
    /// Reads all photos of a folder and of the folders in it.
    ///
    /// # Errors
    /// Where one cannot be read, none is there, or one is smaller than a patch.
    pub fn open(root: &Path, options: Options) -> Result<Self> {
        let mut paths = vec![];
        find(root, &mut paths)?;
        paths.sort();
        let side = options.patch as i64 * options.scale;
        let mut photos = vec![];
        for path in &paths {
            let photo = Photo::read(path)?;
            ensure!(
                photo.size.iter().all(|&n| n >= side as f64),
                "photo {} is {} x {}; at least {side} x {side} expected for patches of {}",
                path.display(),
                photo.size[0],
                photo.size[1],
                options.patch
            );
            photos.push(photo);
        }
        ensure!(
            !photos.is_empty(),
            "no photo (.jpg, .jpeg, .png) in {}",
            root.display()
        );
        Ok(Self {
            photos: Rc::new(photos),
            options,
            recorded: Rc::default(),
        })
    }

    /// How many photos there are.
    pub fn photos(&self) -> usize {
        self.photos.len()
    }

    /// A number for the photos and options.
    pub fn fingerprint(&self) -> u64 {
        let photos: Vec<_> = self
            .photos
            .iter()
            .map(|photo| (photo.path.file_name(), photo.size))
            .collect();
        hash(&format!("{:?}", (photos, &self.options)))
    }

    /// Where a patch number lies: the streams take turns.
    fn at(&self, k: u64) -> At {
        let Options { part, seed, .. } = self.options;
        let (stream, mut turn) = (k % self.options.streams, k / self.options.streams);
        let mut film = 0;
        loop {
            let mut random = Random::new(seed, LENGTHS, (stream << 32) | film);
            let (low, high) = (self.options.shortest as f64, self.options.longest as f64);
            let mut frames = low * (high / low).powf(random.between(0.0, 1.0));
            // Streams begin anywhere in a film, so that they do not end together.
            if film == 0 {
                frames *= random.between(0.0, 1.0);
            }
            let parts = (frames / part as f64).round().max(1.0) as u64;
            if turn < parts {
                return At {
                    stream,
                    film,
                    frames: parts as usize * part,
                    first: turn as usize * part,
                };
            }
            turn -= parts;
            film += 1;
        }
    }

    /// The film of a patch.
    fn film(&self, at: At) -> Film {
        let options = &self.options;
        let mut random = Random::new(options.seed, FILMS, (at.stream << 32) | at.film);
        self.draw(&mut random, at.frames + options.ahead + options.part - 1)
    }

    /// What the encoder gives of a film. Films are encoded whole, once for all of their parts.
    fn recorded(&self, at: At, film: &Film) -> Result<Option<Rc<Vec<Tensor>>>> {
        let mut streams = self.recorded.borrow_mut();
        match streams.get(&at.stream) {
            Some((number, frames)) if *number == at.film => Ok(frames.clone()),
            _ => {
                let frames = film
                    .recorded(&self.photos, self.options.scale)?
                    .map(Rc::new);
                streams.insert(at.stream, (at.film, frames.clone()));
                Ok(frames)
            }
        }
    }

    /// Draws a film of so many frames.
    pub fn draw(&self, random: &mut Random, frames: usize) -> Film {
        Film::draw(random, &self.photos, &self.options, frames)
    }

    /// Patch number `k`: a function of the seed and that number.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn patch(&self, k: u64) -> Result<ClipPatch> {
        let options = &self.options;
        let at = self.at(k);
        let film = self.film(at);
        let before = at.first.min(options.before);
        let own = at.first..at.first + options.part;
        // Sessions look farther ahead from a group's first output than from its last.
        let more = Random::new(options.seed, AHEAD, k).below(options.part as u64) as usize;
        let shown = at.first - before..own.end + options.ahead + more;
        let recorded = self.recorded(at, &film)?;
        let recorded = recorded.as_ref().map(|frames| frames.as_slice());
        let film::Frames { lr, clean, hr } =
            film.frames(&self.photos, shown, own, options.scale, recorded)?;
        let nothing = Tensor::f_zeros([0, 3, 1, 1], (lr.kind(), Device::Cpu))?;
        Ok(ClipPatch {
            name: format!(
                "film {} of stream {} from frame {}, {:?}, {}",
                at.film,
                at.stream,
                at.first,
                film.support,
                self.photos[film.photo].path.display()
            ),
            wide: nothing.shallow_clone(),
            loss_references: nothing,
            clean: (options.recorded > 0.0).then_some(clean),
            lr,
            hr,
            part: Some(Part {
                stream: at.stream,
                first: at.first,
                before,
                frames: options.part,
            }),
        })
    }
}

/// All photos in a folder and in those in it.
fn find(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let inside = || format!("photos in {}", folder.display());
    for entry in fs::read_dir(folder).with_context(inside)? {
        let path = entry.with_context(inside)?.path();
        if path.is_dir() {
            find(&path, paths)?;
        } else if is_photo(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

impl Source for Filming {
    /// Parts are made when they are asked for, a small share of a step's work.
    fn start(&self, position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>> {
        let films = self.clone();
        Ok(Box::new((position..).map(move |k| {
            films.patch(k).with_context(|| format!("patch {k}"))
        })))
    }
}
