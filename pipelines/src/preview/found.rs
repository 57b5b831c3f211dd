//! What recordings tell of themselves: codec and rate, when each camera started, where it looks, whether anything moves.

use super::view::View;
use crate::media::Footage;
use crate::media::contents::Kind;
use crate::media::reader::Reader;
use crate::transcode::cameras::Scene;
use crate::transcode::lineup::Heard;
use crate::transcode::moment::Moment;
use crate::transcode::options::Lens;
use crate::transcode::wishes::Options;
use anyhow::Result;
use refvsr::image::resize::bicubic_antialiased;
use tch::{Kind as Number, Tensor};

/// What was found, in words: what, and how it is.
#[derive(Debug, Default)]
pub struct Found {
    pub rows: Vec<(String, String)>,
}

impl Found {
    /// All of it.
    pub fn of(
        scene: &Scene,
        options: &Options,
        offsets: &[i64],
        heard: &Heard,
        moments: &[Moment],
        views: &[View],
    ) -> Result<Self> {
        let mut found = Self::default();
        let mut add = |what: String, text: String| found.rows.push((what, text));
        let frames = |of: fn(&refvsr::Triplet) -> Option<&Tensor>| -> Vec<&Tensor> {
            let triplets = moments.iter().flat_map(|moment| &moment.triplets);
            triplets.filter_map(of).collect()
        };
        let ultrawide = frames(|triplet| Some(&triplet.ultrawide));
        add(
            "ultra-wide camera".into(),
            footage(&scene.ultrawide, &ultrawide)?,
        );
        for (((lens, other), offset), (_, heard)) in scene.references.iter().zip(offsets).zip(heard)
        {
            let name = lens.name();
            let seen = match lens {
                Lens::Wide => frames(|triplet| triplet.wide.as_ref()),
                Lens::Tele => frames(|triplet| triplet.tele.as_ref()),
            };
            add(format!("{name} camera"), footage(other, &seen)?);
            let said = options.sync.is_some() || options.offsets.iter().any(|(own, _)| own == lens);
            add(
                format!("{name} camera's start"),
                started(*offset, heard, said),
            );
            add(format!("{name} camera's zoom"), zoom(*lens, views));
        }
        let moves = moments
            .iter()
            .map(|moment| motion(&moment.triplets))
            .collect::<Result<Vec<_>>>()?;
        add("stillness".into(), stillness(&moves));
        Ok(found)
    }
}

fn started(offset: i64, heard: &Result<i64>, said: bool) -> String {
    let seconds = |offset: i64| format!("{:+.4} s", offset as f64 / 1e9);
    let used = seconds(offset);
    match (heard, said) {
        (Ok(heard), _) if *heard == offset => {
            format!("{used} after the ultra-wide camera, by their sound")
        }
        (Ok(heard), _) => {
            let heard = seconds(*heard);
            format!("{used} after the ultra-wide camera as was asked for; by their sound {heard}")
        }
        (Err(error), true) => format!("{used} after the ultra-wide camera ({error:#})"),
        (Err(error), false) => format!("taken as at the same moment: {error:#}"),
    }
}

fn zoom(lens: Lens, views: &[View]) -> String {
    let fields = views.iter().flat_map(|view| &view.fields);
    let mut seen: Vec<_> = fields
        .filter(|field| field.lens == lens)
        .map(|field| field.sighting)
        .collect();
    seen.sort_by(|a, b| a.placement.zoom.total_cmp(&b.placement.zoom));
    let Some(middle) = seen.get(seen.len() / 2) else {
        return "not found: it shows something else, or has no frame at these moments".to_owned();
    };
    let place = middle.placement;
    format!(
        "{:.2}, its middle {:.1} pixels right and {:.1} down of the ultra-wide one's, turned by {:.1} degrees (agreement {:.2}; found in {} of {} moments)",
        place.zoom,
        place.shift.0,
        place.shift.1,
        place.rotation.to_degrees(),
        middle.agreement,
        seen.len(),
        views.len()
    )
}

/// A recording: its form, its compression.
fn footage(footage: &Footage, frames: &[&Tensor]) -> Result<String> {
    let format = footage.format()?;
    let (width, height, rate) = (format.width(), format.height(), format.fps());
    let mut parts = vec![
        footage.path().display().to_string(),
        format!("{width}x{height}"),
    ];
    let rate = f64::from(rate.numer()) / f64::from(rate.denom().max(1));
    if rate > 0.0 {
        parts.push(format!("{rate:.4} frames/s").replace(".0000", ""));
    }
    match footage {
        Footage::Pictures(pictures) => parts.push(format!("{} PNG files", pictures.files().len())),
        Footage::Recording(reader) => {
            parts.extend(compression(reader, f64::from(width * height) * rate));
        }
    }
    if let Some(blocks) = blockiness(frames)? {
        let how = match blocks {
            ..1.1 => "none to be seen",
            ..1.3 => "some",
            _ => "strong",
        };
        parts.push(format!("blockiness {blocks:.2} ({how})"));
    }
    Ok(parts.join(", "))
}

/// What a recording is coded in, its length and bit rate, for a picture of so many pixels a second.
fn compression(reader: &Reader, pixels: f64) -> Vec<String> {
    let mut parts = Vec::new();
    let length = reader.duration().map(|lasts| lasts.nseconds() as f64 / 1e9);
    let codec = reader.video.tags.get::<gst::tags::VideoCodec>();
    let caps = reader.contents.of_kind(Kind::Picture).next();
    let caps = caps.and_then(|listed| Some(listed.caps.structure(0)?.name().to_string()));
    let codec = codec.map(|tag| tag.get().to_owned()).or(caps);
    parts.extend(codec);
    let told = reader.video.tags.get::<gst::tags::Bitrate>();
    let told = told
        .map(|tag| f64::from(tag.get()))
        .filter(|rate| *rate > 0.0);
    let bytes = std::fs::metadata(reader.path()).map(|data| data.len() as f64);
    let whole = bytes
        .ok()
        .zip(length)
        .map(|(bytes, length)| 8.0 * bytes / length);
    if let Some(rate) = told.or(whole).filter(|rate| rate.is_finite()) {
        let each = match pixels > 0.0 {
            true => format!(" ({:.3} bits a pixel)", rate / pixels),
            false => String::new(),
        };
        parts.push(format!("{:.2} Mbit/s{each}", rate / 1e6));
    }
    parts
}

/// The side of the blocks of most codecs, in pixels.
const BLOCK: i64 = 8;

/// How much more neighbouring pixels of frames of one size differ where blocks meet than elsewhere, as a factor; 1 where no block is to
/// be seen, none where there is too little to look at.
fn blockiness(frames: &[&Tensor]) -> Result<Option<f64>> {
    let mut most = None;
    for side in [2, 3] {
        // From each row or column to the next, on average over all frames: the scene moves, blocks stay.
        let mut all: Option<Tensor> = None;
        for frame in frames {
            let n = frame.size()[side as usize];
            let next = frame.f_narrow(side, 1, n - 1)?;
            let steps = next.f_sub(&frame.f_narrow(side, 0, n - 1)?)?.f_abs()?;
            let over = [0i64, 1, 5 - side];
            let steps = steps.f_mean_dim(over.as_slice(), false, None::<Number>)?;
            all = Some(match all {
                None => steps,
                Some(all) => all.f_add(&steps)?,
            });
        }
        let Some(all) = all.filter(|all| all.size()[0] >= 4 * BLOCK) else {
            continue;
        };
        let steps = Vec::<f32>::try_from(all.f_div_scalar(frames.len() as f64)?)?;
        let mean = |at: &dyn Fn(i64) -> bool| {
            let picked = (0..).zip(&steps).filter(|(n, _)| at(*n));
            let (count, sum) = picked.fold((0, 0.0), |(count, sum), (_, step)| {
                (count + 1, sum + f64::from(*step))
            });
            sum / f64::from(count.max(1))
        };
        // A picture that was mirrored or cut has its blocks elsewhere.
        for phase in 0..BLOCK {
            let between = mean(&|n| n % BLOCK == phase);
            let within = mean(&|n| n % BLOCK != phase);
            let ratio = (between + NOISE) / (within + NOISE);
            most = Some(most.map_or(ratio, |most: f64| most.max(ratio)));
        }
    }
    Ok(most)
}

/// A difference that nobody sees.
const NOISE: f64 = 0.2 / 255.0;

/// By how much neighbouring frames differ, of 255; noise is taken off by making them small.
fn motion(triplets: &[refvsr::Triplet]) -> Result<f64> {
    let small = triplets
        .iter()
        .map(|triplet| {
            let frame = &triplet.ultrawide;
            let side = |n: i64| (n / BLOCK).max(1);
            Ok(bicubic_antialiased(
                frame,
                side(frame.size()[2]),
                side(frame.size()[3]),
            )?)
        })
        .collect::<Result<Vec<_>>>()?;
    let steps = small.windows(2).map(|pair| -> Result<f64> {
        let step = pair[1].f_sub(&pair[0])?.f_abs()?.f_mean(Number::Float)?;
        Ok(255.0 * step.f_double_value(&[])?)
    });
    let steps = steps.collect::<Result<Vec<_>>>()?;
    Ok(steps.iter().sum::<f64>() / steps.len().max(1) as f64)
}

/// Neighbouring frames of a tripod's shot differ by less, of 255.
const STILL: f64 = 0.3;

fn stillness(moves: &[f64]) -> String {
    let still = moves.iter().filter(|motion| **motion < STILL).count();
    let moves: Vec<String> = moves.iter().map(|motion| format!("{motion:.2}")).collect();
    let how = match still {
        0 => "the picture moves".to_owned(),
        n if n == moves.len() => "still".to_owned(),
        n => format!("still at {n} of {} moments", moves.len()),
    };
    format!(
        "{how}; neighbouring frames differ by {} of 255",
        moves.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use refvsr::image::enlarge::bicubic;
    use tch::Device;

    #[test]
    fn blocks_are_seen_wherever_they_begin() {
        tch::manual_seed(3);
        let noise = Tensor::rand([1, 3, 20, 26], (Number::Float, Device::Cpu));
        let smooth = bicubic(&noise, 5)
            .unwrap()
            .narrow(2, 0, 96)
            .narrow(3, 0, 128);
        let seen = |frame: &Tensor| blockiness(&[frame]).unwrap().unwrap();
        let none = seen(&smooth);
        assert!(none < 1.1, "{none}");
        let blocks = smooth.avg_pool2d([8, 8], [8, 8], [0, 0], false, true, None::<i64>);
        let blocks = blocks.upsample_nearest2d([96, 128], None::<f64>, None::<f64>);
        let mixed: Tensor = &smooth * 0.7 + &blocks * 0.3;
        for first in [0, 3] {
            let cut = mixed.narrow(2, first, 80).narrow(3, first, 110);
            let some = seen(&cut);
            assert!(some > 1.3, "from {first}: {some}");
        }
    }

    #[test]
    fn what_was_heard_is_told_beside_what_was_asked_for() {
        let heard = || Ok(400_000_000);
        let same = started(400_000_000, &heard(), false);
        assert_eq!(
            same,
            "+0.4000 s after the ultra-wide camera, by their sound"
        );
        let other = started(300_000_000, &heard(), true);
        assert!(other.contains("+0.3000 s") && other.ends_with("by their sound +0.4000 s"));
        let silent = started(0, &Err(anyhow::anyhow!("no sound")), false);
        assert_eq!(silent, "taken as at the same moment: no sound");
    }

    #[test]
    fn still_shots_are_told_from_moving_ones() {
        tch::manual_seed(4);
        let scene = Tensor::rand([1, 3, 20, 20], (Number::Float, Device::Cpu));
        let scene = bicubic(&scene, 8).unwrap();
        let film = |step: i64| -> Vec<refvsr::Triplet> {
            let noise = || Tensor::randn([1, 3, 96, 96], (Number::Float, Device::Cpu)) * 0.02;
            let frame = |n: i64| scene.narrow(2, n * step, 96).narrow(3, n * step, 96) + noise();
            (0..4)
                .map(|n| refvsr::Triplet {
                    ultrawide: frame(n),
                    wide: None,
                    tele: None,
                })
                .collect()
        };
        let (still, moving) = (motion(&film(0)).unwrap(), motion(&film(2)).unwrap());
        assert!(still < 1.0 && moving > 4.0 * still, "{still} {moving}");
        assert!(stillness(&[0.1, 0.1]).starts_with("still;"));
        assert!(stillness(&[0.1, 4.0]).starts_with("still at 1 of 2"));
        assert!(stillness(&[2.0]).starts_with("the picture moves"));
    }
}
