//! `dataset verify`: is a data set whole?

use super::{
    png,
    tree::{Density, Lens, Split, folders, frame_name, frame_number},
};
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What to look at.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyOptions {
    /// The data folder: the one with train/, valid/ and test/ in it.
    pub root: PathBuf,
    /// Look at these parts only, say `--splits train,valid`. A part named here that is not there is reported; without this option, those that
    /// are there are looked at.
    #[arg(long, value_delimiter = ',')]
    pub splits: Vec<Split>,
    /// These sizes only: HR, LRx2, LRx4. Scale-4 training needs HR and LRx4.
    #[arg(long, value_delimiter = ',', value_parser = density, default_value = "HR,LRx2,LRx4")]
    pub densities: Vec<Density>,
    /// These cameras only: UW, W, T.
    #[arg(long, value_delimiter = ',', value_parser = lens, default_value = "UW,W,T")]
    pub lenses: Vec<Lens>,
    /// Read the frames' headers only (seconds, not minutes). Finds missing and mis-sized frames, not damaged ones.
    #[arg(long)]
    pub quick: bool,
    /// Threads [default: one a processor].
    #[arg(long)]
    pub threads: Option<usize>,
}

fn density(text: &str) -> Result<Density, String> {
    Density::ALL
        .into_iter()
        .find(|d| d.folder().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("'{text}' is not one of HR, LRx2, LRx4"))
}

fn lens(text: &str) -> Result<Lens, String> {
    Lens::ALL
        .into_iter()
        .find(|l| l.folder().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("'{text}' is not one of UW, W, T"))
}

/// Something wrong with a file or folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A folder or frame is not there.
    Missing,
    /// A frame cannot be decoded.
    Unreadable(String),
    /// A frame has another size than the rest of its clip.
    Size {
        /// Width and height found.
        actual: (usize, usize),
        /// Width and height expected.
        expected: (usize, usize),
    },
    /// A clip's folder has another number of frames than its other folders.
    Count {
        /// Frames found.
        actual: usize,
        /// Frames expected.
        expected: usize,
    },
    /// A file that is no frame.
    Stray,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            ProblemKind::Missing => write!(f, "missing"),
            ProblemKind::Unreadable(why) => write!(f, "unreadable: {why}"),
            ProblemKind::Size { actual, expected } => {
                write!(
                    f,
                    "{} x {} pixels, {} x {} expected",
                    actual.0, actual.1, expected.0, expected.1
                )
            }
            ProblemKind::Count { actual, expected } => {
                write!(f, "{actual} frames, {expected} expected")
            }
            ProblemKind::Stray => write!(f, "not a frame's name (0000.png and on)"),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// All that is wrong, by path.
    pub problems: Vec<Problem>,
    /// Clips looked at.
    pub clips: usize,
    /// Frames looked at.
    pub frames: usize,
}

/// Looks a data set through.
///
/// # Errors
/// Where there is no data set; what is wrong inside one is in the report.
pub fn verify(options: &VerifyOptions, progress: &ProgressBar) -> Result<Report> {
    ensure!(
        options.root.is_dir(),
        "data folder {} is not there",
        options.root.display()
    );
    let splits: Vec<_> = if options.splits.is_empty() {
        Split::ALL
            .into_iter()
            .filter(|s| options.root.join(s.folder()).is_dir())
            .collect()
    } else {
        options.splits.clone()
    };
    ensure!(
        !splits.is_empty(),
        "{} holds none of train/, valid/, test/; expected is train/HR/UW/CLIP/0000.png and so on",
        options.root.display()
    );
    let mut clips = vec![];
    let mut report = Report::default();
    for split in splits {
        clips.extend(list(
            &options.root.join(split.folder()),
            options,
            &mut report.problems,
        )?);
    }
    report.clips = clips.len();
    report.frames = clips
        .iter()
        .flat_map(|clip| clip.folders.iter().map(|f| f.numbers.len()))
        .sum();
    progress.set_length(report.frames as u64);
    progress.set_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} frames, {per_sec}, {eta} left")
            .context("progress bar")?,
    );

    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![]));
    let threads = options
        .threads
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
        .clamp(1, 256);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(clip) = clips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let problems = clip.check(options.quick, progress);
                    found
                        .lock()
                        .unwrap_or_else(|e| e.into_inner())
                        .extend(problems);
                }
            });
        }
    });
    progress.finish_and_clear();
    report
        .problems
        .extend(found.into_inner().unwrap_or_else(|e| e.into_inner()));
    report.problems.sort();
    Ok(report)
}

/// A clip's folders at all densities and lenses.
struct Clip {
    folders: Vec<Folder>,
}

struct Folder {
    path: PathBuf,
    density: Density,
    numbers: BTreeSet<usize>,
}

/// The clips of a split: all names that any of its folders has.
fn list(base: &Path, options: &VerifyOptions, problems: &mut Vec<Problem>) -> Result<Vec<Clip>> {
    let mut names = BTreeSet::new();
    let mut cameras = vec![];
    for &density in &options.densities {
        for &lens in &options.lenses {
            let path = base.join(density.folder()).join(lens.folder());
            if path.is_dir() {
                names.extend(folders(&path)?);
                cameras.push((density, path));
            } else {
                problems.push(Problem {
                    path,
                    kind: ProblemKind::Missing,
                });
            }
        }
    }
    if names.is_empty() && !cameras.is_empty() {
        problems.push(Problem {
            path: base.to_owned(),
            kind: ProblemKind::Count {
                actual: 0,
                expected: 1,
            },
        });
    }
    let mut clips = vec![];
    for name in names {
        let mut clip = Clip { folders: vec![] };
        for (density, camera) in &cameras {
            let path = camera.join(&name);
            if path.is_dir() {
                let numbers = numbers(&path, problems)?;
                clip.folders.push(Folder {
                    path,
                    density: *density,
                    numbers,
                });
            } else {
                problems.push(Problem {
                    path,
                    kind: ProblemKind::Missing,
                });
            }
        }
        clips.push(clip);
    }
    Ok(clips)
}

fn numbers(folder: &Path, problems: &mut Vec<Problem>) -> Result<BTreeSet<usize>> {
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("folder {}", folder.display()))? {
        let name = entry
            .with_context(|| format!("folder {}", folder.display()))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        match frame_number(&name) {
            Some(number) => _ = numbers.insert(number),
            None if name.starts_with('.') => {}
            None => problems.push(Problem {
                path: folder.join(name),
                kind: ProblemKind::Stray,
            }),
        }
    }
    Ok(numbers)
}

impl Clip {
    fn check(&self, quick: bool, progress: &ProgressBar) -> Vec<Problem> {
        let mut problems = vec![];
        // A frame that any folder has is expected in all, and so is every frame before it.
        let expected = self
            .folders
            .iter()
            .filter_map(|f| f.numbers.last())
            .max()
            .map_or(0, |last| last + 1);
        let mut sizes = vec![];
        for folder in &self.folders {
            let missing: Vec<usize> = (0..expected)
                .filter(|n| !folder.numbers.contains(n))
                .collect();
            if !missing.is_empty() || expected == 0 {
                let count = ProblemKind::Count {
                    actual: folder.numbers.len(),
                    expected: expected.max(1),
                };
                problems.push(Problem {
                    path: folder.path.clone(),
                    kind: count,
                });
            }
            problems.extend(missing.iter().map(|&n| Problem {
                path: folder.path.join(frame_name(n)),
                kind: ProblemKind::Missing,
            }));
            for &number in &folder.numbers {
                let path = folder.path.join(frame_name(number));
                let size = if quick {
                    png::size(&path)
                } else {
                    png::read(&path).map(|p| (p.width, p.height))
                };
                match size {
                    Ok(size) => sizes.push((path, folder.density, size)),
                    Err(e) => {
                        let why = e
                            .chain()
                            .skip(1)
                            .map(ToString::to_string)
                            .collect::<Vec<_>>()
                            .join(": ");
                        problems.push(Problem {
                            path,
                            kind: ProblemKind::Unreadable(why),
                        });
                    }
                }
                progress.inc(1);
            }
        }
        // The full size that most frames agree on; one odd frame is then the one to be named.
        let mut votes: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (_, density, size) in &sizes {
            *votes
                .entry((size.0 * density.scale(), size.1 * density.scale()))
                .or_default() += 1;
        }
        let Some((full, _)) = votes.into_iter().max_by_key(|&(_, n)| n) else {
            return problems;
        };
        for (path, density, actual) in sizes {
            let expected = (full.0 / density.scale(), full.1 / density.scale());
            if actual != expected {
                problems.push(Problem {
                    path,
                    kind: ProblemKind::Size { actual, expected },
                });
            }
        }
        problems
    }
}
