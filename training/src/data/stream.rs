//! The endless stream of patches, made by worker threads.

use super::patches::{Inner, Patches};
use crate::data::batch::{ClipPatch, Source};
use anyhow::{Context, Result, anyhow};
use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

impl Source for Patches {
    fn start(&self, position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>> {
        let workers = self.0.options.workers as u64;
        let mut stream = Stream {
            queues: vec![],
            threads: vec![],
            turn: 0,
        };
        for worker in 0..workers {
            let (sender, queue) = sync_channel(self.0.options.ahead);
            let inner = self.0.clone();
            let numbers = Numbers {
                next: position + worker * inner.options.stride,
                step: workers * inner.options.stride,
            };
            let thread = thread::Builder::new()
                .name(format!("patches {worker}"))
                .spawn(move || work(&inner, numbers, &sender))?;
            stream.queues.push(queue);
            stream.threads.push(thread);
        }
        Ok(Box::new(stream))
    }
}

/// The patch numbers that are one worker's to make.
struct Numbers {
    next: u64,
    step: u64,
}

fn work(inner: &Inner, mut numbers: Numbers, queue: &SyncSender<Result<ClipPatch>>) {
    loop {
        if queue
            .send(
                inner
                    .patch(numbers.next)
                    .with_context(|| format!("patch {}", numbers.next)),
            )
            .is_err()
        {
            return; // nobody listens any more
        }
        numbers.next += numbers.step;
    }
}

/// Takes from the workers in turn, so that the order does not depend on which is faster.
struct Stream {
    queues: Vec<Receiver<Result<ClipPatch>>>,
    threads: Vec<JoinHandle<()>>,
    turn: usize,
}

impl Iterator for Stream {
    type Item = Result<ClipPatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.queues.len();
        let received = self.queues[turn].recv();
        Some(received.unwrap_or_else(|_| {
            Err(anyhow!(
                "the thread that cuts patches has failed (worker {turn})"
            ))
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.queues.clear(); // each worker's next send fails, and it ends
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
}
