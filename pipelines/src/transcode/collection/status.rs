//! How far the work is: the manifests and claims of all shares, summed up.

use super::Work;
use super::claim::Claim;
use super::list::Source;
use super::manifest::{Job, Manifest, Outcome};
use anyhow::Result;
use std::process::ExitCode;

impl Work<'_> {
    /// Sums up the manifests of all shares.
    pub fn status(&self, sources: &[Source]) -> Result<ExitCode> {
        let (mut done, mut failed, mut now, mut left, mut frames, mut seconds) =
            (0, 0, 0, 0, 0, 0.0);
        for source in sources {
            let job = Job::of(source, &self.model, &self.words);
            let manifest =
                Manifest::read(self.output, &source.name).filter(|manifest| manifest.job == job);
            match manifest.map(|manifest| (manifest.finished(&job), manifest.outcome)) {
                _ if Claim::is_taken(self.output, &source.name) => {
                    println!("{}: being worked on", source.name);
                    now += 1;
                }
                Some((
                    true,
                    Outcome::Done {
                        frames: n,
                        seconds: s,
                        damage,
                    },
                )) => {
                    for text in damage {
                        println!("{}: {text}", source.name);
                    }
                    done += 1;
                    frames += n;
                    seconds += s;
                }
                Some((_, Outcome::Failed { error })) => {
                    println!("{}: {error}", source.name);
                    failed += 1;
                }
                _ => left += 1,
            }
        }
        println!(
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
