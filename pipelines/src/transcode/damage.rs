//! What was wrong with a clip's recordings, in words: one sentence a file.

use super::graph::Graph;
use super::job::Clip;
use super::options::Lens;
use super::watch::{Missing, Told};
use super::wishes::Options;
use crate::media::Footage;
use crate::media::continuity::seconds;
use gst::prelude::*;
use std::path::Path;

/// Everything that was wrong and did not end the work.
pub fn of(clip: &Clip, options: &Options, told: &Told, lead: i64) -> Vec<String> {
    let mut damage = told.warnings.clone();
    damage.extend(complaint(&clip.ultrawide, options.to));
    if options.has_stand_in() {
        return damage;
    }
    let begin = begin(clip, options).saturating_add(nanoseconds(lead));
    for (lens, footage) in &clip.references {
        let own = complaint(footage, None);
        let missing = told
            .missing
            .iter()
            .filter(|missing| missing.lens == lens.name());
        // A camera whose own recording has holes needs no second sentence about them.
        damage.extend(own.or_else(|| {
            let places: Vec<_> = missing
                .filter(|missing| !is_explained(missing, options, *lens, begin))
                .collect();
            lacking(footage, clip.ultrawide.path(), &places, lead)
        }));
    }
    // One file may stand for two cameras.
    damage.dedup();
    damage
}

/// Cameras whose pictures went into less than half of the frames.
pub fn little_used(clip: &Clip, options: &Options, told: &Told, graph: &Graph) -> Vec<String> {
    let stats = graph.refvsr.property::<gst::Structure>("stats");
    let mut little = Vec::new();
    for (lens, footage) in &clip.references {
        if !options.uses(*lens) {
            continue;
        }
        // Models that register references say of each frame whether they did; so do those that match them.
        let zoom = stats.get::<f64>(&format!("{}-zoom-found", lens.name()));
        let tells = zoom.is_ok_and(|zoom| zoom > 0.0) || graph.usage.is_matched();
        let may_stand_in = options.has_stand_in();
        let share = graph.usage.share(*lens, &told.missing, tells, may_stand_in);
        if share.is_little() {
            little.push(format!(
                "{} was used in {} of {} frames only: is it the same scene, and are the cameras lined up (--offset, --sync)?",
                footage.path().display(),
                share.used,
                share.frames
            ));
        }
    }
    little
}

/// What a recording's own frames show.
fn complaint(footage: &Footage, to: Option<gst::ClockTime>) -> Option<String> {
    match footage {
        Footage::Recording(reader) => {
            let text = reader.complaint(to)?;
            Some(format!("{}: {text}", reader.path().display()))
        }
        Footage::Pictures(_) => None,
    }
}

/// When the ultra-wide picture begins, counted from where the output does.
fn begin(clip: &Clip, options: &Options) -> gst::ClockTime {
    match &clip.ultrawide {
        Footage::Recording(reader) => {
            let first = reader.video.seen().first().unwrap_or_default();
            first.saturating_sub(options.from.unwrap_or_default())
        }
        Footage::Pictures(_) => gst::ClockTime::ZERO,
    }
}

/// Whether the user has said that the cameras began at different moments, and so ended at different ones.
fn is_explained(missing: &Missing, options: &Options, lens: Lens, begin: gst::ClockTime) -> bool {
    let lined_up =
        options.sync.is_some() || options.offsets.iter().any(|(given, _)| *given == lens);
    let at_an_end = missing.frames.is_none() || missing.from <= begin;
    lined_up && at_an_end
}

/// That a camera has no frames where the ultra-wide one has some.
fn lacking(footage: &Footage, ultrawide: &Path, places: &[&Missing], lead: i64) -> Option<String> {
    let first = places.first()?;
    let at = seconds(first.from.saturating_sub(nanoseconds(lead)));
    let frames: u64 = places.iter().filter_map(|place| place.frames).sum();
    let to_the_end = places.iter().any(|place| place.frames.is_none());
    let how_many = match (frames, to_the_end) {
        (0, _) => format!("the frames from {at:.3} s to the end"),
        (1, false) => format!("a frame at {at:.3} s"),
        (n, false) => format!("{n} frames, the first at {at:.3} s"),
        (n, true) => format!("{n} frames and the last ones, the first at {at:.3} s"),
    };
    Some(format!(
        "{} has none for {how_many} of {} (--set on-missing-reference=repeat uses the one before again)",
        footage.path().display(),
        ultrawide.display()
    ))
}

fn nanoseconds(time: i64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(time.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(from: u64, frames: Option<u64>) -> Missing {
        Missing {
            lens: "wide".into(),
            from: gst::ClockTime::from_mseconds(from),
            until: None,
            frames,
        }
    }

    #[test]
    fn only_the_ends_of_cameras_lined_up_are_explained() {
        let begin = gst::ClockTime::from_mseconds(20);
        let explained = |options: &Options| {
            [(20, Some(2)), (500, Some(1)), (900, None)].map(|(from, frames)| {
                is_explained(&missing(from, frames), options, Lens::Wide, begin)
            })
        };
        let mut options = Options::default();
        assert_eq!(explained(&options), [false; 3]);
        options.offsets = vec![(Lens::Tele, 7)];
        assert_eq!(explained(&options), [false; 3]);
        options.offsets.push((Lens::Wide, 7));
        assert_eq!(explained(&options), [true, false, true]);
    }
}
