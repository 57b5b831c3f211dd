//! Whether cameras filmed at the same time at all.

use super::options::Lens;
use super::wishes::Options;
use crate::media::Footage;
use crate::media::continuity::seconds;
use anyhow::{Result, ensure};

/// Clocks that are wrong by a time zone are wrong by so much, or by a multiple.
const ZONE: u64 = 900_000_000_000;
/// How far from that clocks run.
const DRIFT: u64 = 30_000_000_000;

/// Fails where a camera that started `offset` nanoseconds after the ultra-wide one has no moment in common with the part that is enlarged.
pub fn is_possible(
    ultrawide: &Footage,
    other: &Footage,
    lens: Lens,
    offset: i64,
    options: &Options,
) -> Result<()> {
    let nanoseconds = |time: gst::ClockTime| time.nseconds() as i64;
    let from = options.from.map_or(0, nanoseconds);
    let whole = ultrawide.duration();
    let to = whole.into_iter().chain(options.to).min().map(nanoseconds);
    let ends_before = other
        .duration()
        .is_some_and(|lasts| offset.saturating_add(nanoseconds(lasts)) <= from);
    let begins_after = to.is_some_and(|to| offset >= to);
    let lasts = |footage: &Footage| {
        let time = footage.duration().map(seconds);
        time.map_or(String::new(), |time| format!(" ({time:.3} s long)"))
    };
    let away = offset.unsigned_abs();
    let zones = (away + DRIFT) / ZONE;
    let zone = if zones > 0 && away.abs_diff(zones * ZONE) <= DRIFT {
        "; their clocks seem to be set to other time zones"
    } else {
        ""
    };
    let lens = lens.name();
    ensure!(
        !(ends_before || begins_after),
        "{}{} and {}{} have no moment in common: the {lens} camera started {:+.3} s after the ultra-wide one{zone} (--offset {lens}=SECONDS \
         says when it did)",
        other.path().display(),
        lasts(other),
        ultrawide.path().display(),
        lasts(ultrawide),
        offset as f64 / 1e9
    );
    Ok(())
}
