//! `score --long`: models over hundreds of frames, on shots that stand still or hardly move, with noise
//! and as video encoders leave them.

mod bench;
pub mod case;
mod clip;
mod meter;
mod model;
pub mod options;
mod row;
mod table;

use anyhow::{Context, Result, ensure};
use bench::Bench;
use indicatif::{ProgressBar, ProgressStyle};
use model::Model;
pub use model::Running;
use options::LongOptions;
use refvsr::device::DeviceChoice;
use row::Ledger;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Measures; the tables, as Markdown.
///
/// # Errors
/// Where files are missing or do not fit, or an encoder is not there.
pub fn long(
    first: &Path,
    options: &LongOptions,
    running: Running<'_>,
    progress: &ProgressBar,
) -> Result<String> {
    ensure!(
        !options.sources.is_empty() || !options.as_recorded.is_empty(),
        "--long needs something to film (--sources) or to enlarge (--as-recorded)"
    );
    ensure!(
        running.frames >= 2,
        "{} frames; at least 2 are needed",
        running.frames
    );
    if let Some(noise) = options.noise.iter().find(|n| !(0.0..=128.0).contains(*n)) {
        anyhow::bail!("--noise {noise}; 0 to 128 codes expected");
    }
    let device = running.device.parse::<DeviceChoice>()?.resolve()?;
    let mut models = vec![];
    for path in std::iter::once(first).chain(options.against.iter().map(PathBuf::as_path)) {
        models.push(Model::open(path, &running, device)?);
    }
    let scale = models[0].session.network().config().scale;
    for model in &models {
        let config = model.session.network().config();
        ensure!(
            config.scale == scale && !config.hd,
            "{} enlarges {} times; models are compared at one scale, {scale}, and not at full resolution",
            model.name,
            config.scale
        );
    }
    let mut bench = Bench {
        options,
        models,
        scale,
        program: program()?,
        ledger: Ledger::open(options.json.as_deref())?,
        progress,
        rows: vec![],
    };
    let cases = bench.cases(running.frames)?;
    progress.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len} frames, {eta} left",
    )?);
    let columns = 1 + bench.models.len() * bench.references().len();
    progress.set_length((cases.len() * columns * running.frames) as u64);
    let mut text = bench.heading(&running);
    for (path, other, case) in &cases {
        let from = bench.rows.len();
        bench.case(
            path,
            other.as_ref().map(|(path, case)| (path.as_path(), case)),
            case,
        )?;
        text += &table::case(&bench.rows[from..]);
    }
    text += &table::summary(&bench.rows);
    if let Some(path) = &options.csv {
        fs::write(path, table::csv(&bench.rows))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(text)
}

/// What tells this build of the program from others, which may give other figures.
fn program() -> Result<String> {
    let file = env::current_exe().context("this program's file")?;
    let data = fs::metadata(&file).with_context(|| format!("looking at {}", file.display()))?;
    Ok(format!("{} bytes of {:?}", data.len(), data.modified()?))
}
