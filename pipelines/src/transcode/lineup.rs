//! When each camera started.

use super::cameras::Scene;
use super::options::Lens;
use super::sync::Sync;
use super::wishes::Options;
use super::{meeting, sync};
use crate::media::Footage;
use crate::stop::Stop;
use anyhow::{Result, anyhow};

/// How much later than the ultra-wide camera each other one started, in nanoseconds, by their sound.
pub type Heard = Vec<(Lens, Result<i64>)>;

/// Listens to the cameras, and notes what is heard where nothing else says when one started.
///
/// # Errors
/// The work was stopped.
pub fn listen(scene: &Scene, options: &mut Options, stop: &Stop) -> Result<Heard> {
    let mut heard = Vec::new();
    for (lens, footage) in &scene.references {
        let found = match (&scene.ultrawide, footage) {
            (Footage::Recording(ultrawide), Footage::Recording(other)) => {
                sync::offset(Sync::Audio, ultrawide, other, stop)
            }
            _ => Err(anyhow!("pictures have no sound")),
        };
        stop.check()?;
        let said = options.offsets.iter().any(|(own, _)| own == lens);
        if let (Ok(offset), false, None) = (&found, said, options.sync) {
            options.offsets.push((*lens, *offset));
        }
        heard.push((*lens, found));
    }
    Ok(heard)
}

/// How much later than the ultra-wide camera each other one started, in nanoseconds: as the user says, or as is found out. `say` is
/// told what was found.
///
/// # Errors
/// It cannot be found out, or the cameras have no moment in common.
pub fn offsets(
    ultrawide: &Footage,
    references: &[(Lens, Footage)],
    options: &Options,
    say: &mut dyn FnMut(&str),
    stop: &Stop,
) -> Result<Vec<i64>> {
    let mut offsets = Vec::new();
    for (lens, footage) in references {
        let given = options.offsets.iter().find(|(given, _)| given == lens);
        let offset = match (given, options.sync, ultrawide, footage) {
            (Some((_, offset)), ..) => *offset,
            (None, Some(how), Footage::Recording(ultrawide), Footage::Recording(reader)) => {
                let offset = sync::offset(how, ultrawide, reader, stop)?;
                say(&format!(
                    "the {} camera started {:+.4} s after the ultra-wide one",
                    lens.name(),
                    offset as f64 / 1e9
                ));
                offset
            }
            _ => 0,
        };
        meeting::is_possible(ultrawide, footage, *lens, offset, options)?;
        offsets.push(offset);
    }
    Ok(offsets)
}
