//! How far the work is: the manifests and claims of all shares, summed up.

use super::Work;
use super::claim::Claim;
use super::list::Source;
use crate::transcode::manifest::Manifest;
use anyhow::Result;
use std::process::ExitCode;

impl Work<'_> {
    /// Sums up the manifests of all shares.
    pub fn status(&self, sources: &[Source]) -> Result<ExitCode> {
        let (mut done, mut failed, mut now, mut left, mut frames, mut seconds) =
            (0, 0, 0, 0, 0, 0.0);
        for source in sources {
            let job = self.job(source);
            let manifest = Manifest::read(self.output, &source.name);
            if Claim::is_taken(self.output, &source.name) {
                out!("{}: being worked on", source.name);
                now += 1;
            } else if let Some(finished) = manifest.finished(&job) {
                for text in &finished.damage {
                    out!("{}: {text}", source.name);
                }
                done += 1;
                frames += finished.frames;
                seconds += finished.seconds;
            } else if let Some(error) = manifest.failed(&job) {
                out!("{}: {error}", source.name);
                failed += 1;
            } else {
                left += 1;
            }
        }
        out!(
            "{done} of {} clips finished ({frames} frames, {seconds:.0} s of work), {now} being worked on, {failed} failed, {left} left",
            sources.len()
        );
        Ok(if done == sources.len() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
