//! Writing a clip: nine folders of frames, which appear together once all frames are written, and a record of where they are from.

use super::reduce::reduce;
use crate::data::{
    png::{self, Picture},
    tree::{Density, Lens, frame_name},
};
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

/// Threads that pack PNG files, and pictures that may wait for them.
const THREADS: usize = 2;
const WAITING: usize = 9;

type Job = (PathBuf, Picture);

/// A clip that is being written. Dropped before it is finished, it leaves nothing behind.
pub struct ClipWriter {
    split: PathBuf,
    name: String,
    record: Value,
    partial: tempfile::TempDir,
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<Result<()>>>,
}

fn folder(base: &Path, density: Density, lens: Lens) -> PathBuf {
    base.join(density.folder()).join(lens.folder())
}

fn record_path(split: &Path, name: &str) -> PathBuf {
    split.join("sources").join(format!("{name}.json"))
}

impl ClipWriter {
    /// Starts a clip in a split's folder. None if it is there already, made by the same record.
    ///
    /// # Errors
    /// Where folders cannot be made.
    pub fn begin(split: &Path, name: &str, record: &Value) -> Result<Option<Self>> {
        if let Ok(text) = fs::read_to_string(record_path(split, name)) {
            let whole = Density::ALL.iter().all(|&d| {
                Lens::ALL
                    .iter()
                    .all(|&l| folder(split, d, l).join(name).is_dir())
            });
            if whole && serde_json::from_str::<Value>(&text).ok().as_ref() == Some(&normal(record)?)
            {
                return Ok(None);
            }
        }
        let create = |path: &Path| {
            fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))
        };
        create(split)?;
        let partial = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(split)
            .with_context(|| format!("in {}", split.display()))?;
        for density in Density::ALL {
            for lens in Lens::ALL {
                create(&folder(partial.path(), density, lens))?;
            }
        }
        let (jobs, queue) = sync_channel(WAITING);
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..THREADS).map(|_| {
            let queue = queue.clone();
            thread::Builder::new()
                .name("png".into())
                .spawn(move || work(&queue))
        });
        let threads = threads
            .collect::<Result<_, _>>()
            .context("starting a thread")?;
        Ok(Some(Self {
            split: split.to_owned(),
            name: name.to_owned(),
            record: record.clone(),
            partial,
            jobs: Some(jobs),
            threads,
        }))
    }

    /// Adds one lens's frame, with its reduced copies.
    ///
    /// # Errors
    /// Where an earlier frame could not be written.
    pub fn frame(&mut self, lens: Lens, number: usize, picture: Picture) -> Result<()> {
        let full = picture.to_tensor()?.f_unsqueeze(0)?;
        for density in [Density::Lr2, Density::Lr4] {
            let small = reduce(&full, density.scale() as i64)?;
            self.send(
                density,
                lens,
                number,
                Picture::from_tensor(&small.f_squeeze_dim(0)?)?,
            )?;
        }
        self.send(Density::Hr, lens, number, picture)
    }

    fn send(
        &mut self,
        density: Density,
        lens: Lens,
        number: usize,
        picture: Picture,
    ) -> Result<()> {
        let path = folder(self.partial.path(), density, lens).join(frame_name(number));
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send((path, picture)).is_ok());
        if sent {
            Ok(())
        } else {
            self.join()
                .and_then(|()| Err(anyhow!("the threads that write frames have ended")))
        }
    }

    fn join(&mut self) -> Result<()> {
        self.jobs = None;
        self.threads.drain(..).try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("a thread that writes frames has failed"))?
        })
    }

    /// Puts the frames in place, then the record.
    ///
    /// # Errors
    /// Where a frame could not be written.
    pub fn finish(mut self) -> Result<()> {
        self.join()?;
        let record = record_path(&self.split, &self.name);
        fs::create_dir_all(record.parent().unwrap_or(&self.split))
            .with_context(|| format!("creating {}", record.display()))?;
        if record.exists() {
            fs::remove_file(&record).with_context(|| format!("removing {}", record.display()))?;
        }
        for density in Density::ALL {
            for lens in Lens::ALL {
                let place = folder(&self.split, density, lens);
                fs::create_dir_all(&place)
                    .with_context(|| format!("creating {}", place.display()))?;
                let place = place.join(&self.name);
                if place.exists() {
                    fs::remove_dir_all(&place)
                        .with_context(|| format!("removing {}", place.display()))?;
                }
                fs::rename(folder(self.partial.path(), density, lens), &place)
                    .with_context(|| format!("writing {}", place.display()))?;
            }
        }
        png::write_text(
            &record,
            &format!("{}\n", serde_json::to_string_pretty(&self.record)?),
        )
    }
}

impl Drop for ClipWriter {
    fn drop(&mut self) {
        _ = self.join(); // before the folder they write to goes
    }
}

/// As it reads back from a file.
fn normal(record: &Value) -> Result<Value> {
    Ok(serde_json::from_str(&record.to_string())?)
}

/// Packs pictures until there are no more, or one fails.
fn work(queue: &Mutex<Receiver<Job>>) -> Result<()> {
    loop {
        let job = queue.lock().unwrap_or_else(|e| e.into_inner()).recv();
        let Ok((path, picture)) = job else {
            return Ok(());
        };
        png::write(&path, &picture)?;
    }
}
