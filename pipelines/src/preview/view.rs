//! One moment, as it is shown: the same frame by each method, where the other cameras look, and the parts worth a closer look.

use super::candidate::{Candidate, Made};
use crate::crops;
use crate::frames::Rect;
use crate::stop::Stop;
use crate::transcode::moment::Moment;
use crate::transcode::options::Lens;
use anyhow::{Context, Result};
use refvsr::image::{enlarge::bicubic, resize::bicubic_antialiased};
use refvsr::net::registered::registration::Sighting;
use tch::Tensor;

/// A moment by all methods.
#[derive(Debug)]
pub struct View {
    /// When it is in the ultra-wide recording, in seconds.
    pub at: f64,
    /// RGB `[1, 3, H, W]` in \[0, 1\], all of one size.
    pub pictures: Vec<(String, Tensor)>,
    pub fields: Vec<Field>,
    /// Parts, and what they are.
    pub details: Vec<(&'static str, Rect)>,
}

/// Where another camera looks.
#[derive(Debug)]
pub struct Field {
    pub lens: Lens,
    /// Its corners in the pictures, clockwise.
    pub corners: [(f64, f64); 4],
    pub sighting: Sighting,
}

/// The most width and height of a part.
pub const DETAIL: (i64, i64) = (192, 144);

impl View {
    /// Enlarges the moment's frame by bicubic filtering and by each model, which takes so many seconds a
    /// frame; `say` is told which one works.
    pub fn make<'a>(
        moment: &Moment,
        candidates: impl Iterator<Item = (&'a Candidate, f64)> + Clone,
        say: &mut dyn FnMut(&str),
        stop: &Stop,
    ) -> Result<Self> {
        let triplet = moment.triplets.get(moment.centre).context("no frame")?;
        let scale = candidates.clone().map(|(candidate, _)| candidate.scale());
        let scale = scale.max().unwrap_or(1);
        let frame = &triplet.ultrawide;
        let (height, width) = (frame.size()[2], frame.size()[3]);
        let (tall, wide) = (height * scale, width * scale);
        let base = bicubic(frame, scale)?.f_clamp(0.0, 1.0)?;
        let (mut pictures, mut fields) = (vec![("bicubic".to_owned(), base)], Vec::new());
        for (candidate, seconds) in candidates {
            say(&candidate.name);
            let Made { picture, sightings } = candidate.make(moment, seconds, stop)?;
            let (name, own) = (&candidate.name, candidate.scale());
            let shown = match own == scale {
                true => (name.clone(), picture),
                false => (
                    format!("{name} ({own}x)"),
                    bicubic_antialiased(&picture, tall, wide)?.f_clamp(0.0, 1.0)?,
                ),
            };
            pictures.push(shown);
            let seen = [(Lens::Wide, &triplet.wide), (Lens::Tele, &triplet.tele)];
            for ((lens, reference), sighting) in seen.into_iter().zip(sightings) {
                let (Some(reference), Some(sighting)) = (reference, sighting.filter(|s| s.holds))
                else {
                    continue;
                };
                let size = reference.size();
                let size = (size[2] as f64, size[3] as f64);
                let corners = sighting.placement.corners((height, width), size);
                let larger = |at: f64| (at + 0.5) * scale as f64;
                fields.retain(|field: &Field| field.lens != lens);
                fields.push(Field {
                    lens,
                    corners: corners.map(|(x, y)| (larger(x), larger(y))),
                    sighting,
                });
            }
        }
        let mut view = Self {
            at: moment.at as f64 / 1e9,
            pictures,
            fields,
            details: vec![],
        };
        view.details = view.choose((wide, tall), scale)?;
        Ok(view)
    }

    /// The parts in which the last model changes most.
    fn choose(&self, (width, height): (i64, i64), step: i64) -> Result<Vec<(&'static str, Rect)>> {
        let (Some((_, base)), Some((_, best))) = (self.pictures.first(), self.pictures.last())
        else {
            return Ok(vec![]);
        };
        let change = best.f_sub(base)?.f_abs()?;
        // Small enough to fit into the wide camera's field and beside it.
        let size = (DETAIL.0.min(width / 4), DETAIL.1.min(height / 4));
        let chosen = |lens| {
            let field = self.fields.iter().find(|field| field.lens == lens);
            let seen = field.map_or(NOWHERE, |field| inner(&field.corners));
            crops::choose(&change, size, step, &seen)
        };
        let (inside, outside) = chosen(Lens::Wide)?;
        let rest = match self.fields.is_empty() {
            true => "where the last model changes most",
            false => "seen by the ultra-wide camera alone",
        };
        let all = [
            ("seen by the tele camera", chosen(Lens::Tele)?.0),
            ("seen by the wide camera", inside),
            (rest, outside),
        ];
        let found = all
            .into_iter()
            .filter_map(|(what, part)| Some((what, part?)));
        Ok(found.collect())
    }
}

const NOWHERE: Rect = Rect {
    x: -1000,
    y: -1000,
    width: 0,
    height: 0,
};

/// The upright rectangle within a field.
fn inner(corners: &[(f64, f64); 4]) -> Rect {
    let [a, b, c, d] = *corners;
    let (left, right) = (a.0.max(d.0).ceil() as i64, b.0.min(c.0).floor() as i64);
    let (top, bottom) = (a.1.max(b.1).ceil() as i64, c.1.min(d.1).floor() as i64);
    Rect {
        x: left,
        y: top,
        width: right - left,
        height: bottom - top,
    }
}
