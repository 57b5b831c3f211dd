//! Where clips are enlarged: a process of its own, one clip after the other. A recording that kills its decoder takes that process
//! with it, and nothing else.

use super::report::{Event, Reporter};
use super::turn::Turn;
use crate::exit::TryAgain;
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
use signal_hook::low_level::signal_name;
use std::io::{BufRead, BufReader, Write, stdin};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// What a worker says, one a line.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    /// It takes clips now.
    Ready,
    Event(Event),
    /// The turn of the clip it was given has ended.
    Turn(Turn),
}

/// What a worker is told, one a line.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Clip(String),
    /// Stop in an orderly way.
    Stop,
}

impl Line {
    fn say(&self) {
        if let Ok(text) = serde_json::to_string(self) {
            // Some plugins print, and may have left a line open.
            out!("\n{text}");
        }
    }
}

/// Works for another process: takes clips until there are no more.
pub fn serve(stop: &Stop, mut turn: impl FnMut(&str, &mut Reporter) -> Turn) {
    let mut reporter = Reporter::through(|event| Line::Event(event.clone()).say());
    Line::Ready.say();
    let working = Arc::new(AtomicBool::new(false));
    for name in orders(stop.clone(), working.clone()) {
        let turn = turn(&name, &mut reporter);
        working.store(false, Ordering::SeqCst);
        Line::Turn(turn).say();
    }
}

/// The clips that are ordered. Whoever kills the process that orders them means this one as well.
fn orders(stop: Stop, working: Arc<AtomicBool>) -> Receiver<String> {
    let (order, ordered) = channel();
    thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Order::Clip(name)) => {
                    working.store(true, Ordering::SeqCst);
                    _ = order.send(name);
                }
                Ok(Order::Stop) => stop.ask(),
                Err(error) => err!("refvsr: {error}"),
            }
        }
        if working.load(Ordering::SeqCst) {
            signal_hook::low_level::exit(128 + SIGKILL);
        }
    });
    ordered
}

/// A worker, from outside.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    /// None once it is to end.
    orders: Option<ChildStdin>,
    answers: Receiver<Line>,
    ready: bool,
}

/// How an order ended.
pub enum Ended {
    Turn(Turn),
    /// The worker is no more; why.
    Died(anyhow::Error),
}

impl Worker {
    /// Starts this program with what it was started with.
    pub fn start(more: &[String]) -> Result<Self> {
        // This very program, also where another version has taken its place since.
        let mut child = Command::new("/proc/self/exe")
            .arg0("refvsr")
            .args(std::env::args_os().skip(1))
            .args(more)
            .arg("--worker")
            // Ctrl-C is for this process, which passes it on.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process that enlarges")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (orders, output) = pipes.context("a process without pipes")?;
        let (told, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                match serde_json::from_slice(&line) {
                    Ok(line) => _ = told.send(line),
                    Err(_) if line.is_empty() => (),
                    // What plugins print.
                    Err(_) => err!("{}", String::from_utf8_lossy(&line)),
                }
            }
        });
        Ok(Self {
            child,
            orders: Some(orders),
            answers,
            ready: false,
        })
    }

    /// Has a clip done.
    ///
    /// # Errors
    /// The worker did not even start.
    pub fn order(&mut self, clip: &str, stop: &Stop, reporter: &mut Reporter) -> Result<Ended> {
        self.tell(&Order::Clip(clip.to_owned()))?;
        let (mut told, mut gone) = (false, None);
        loop {
            if stop.asked() && !told {
                self.tell(&Order::Stop)?;
                told = true;
            }
            match self.answers.recv_timeout(Duration::from_millis(100)) {
                Ok(Line::Ready) => self.ready = true,
                Ok(Line::Event(event)) => reporter.tell(&event),
                Ok(Line::Turn(Turn::Stopped(_))) if told => {
                    return Ok(Ended::Turn(Turn::Stopped(stop.code())));
                }
                Ok(Line::Turn(turn)) => return Ok(Ended::Turn(turn)),
                Err(RecvTimeoutError::Disconnected) => break,
                // Its pipe may be held open by a process that it started.
                Err(RecvTimeoutError::Timeout) if gone.is_some() => break,
                Err(RecvTimeoutError::Timeout) => gone = self.child.try_wait()?,
            }
        }
        let status = self.child.wait()?;
        stop.check()?;
        match self.ready {
            true => Ok(Ended::Died(death(clip, status))),
            false => Err(anyhow!(
                "the process that enlarges does not start ({status})"
            )),
        }
    }

    fn tell(&mut self, order: &Order) -> Result<()> {
        let order = serde_json::to_string(order)?;
        if let Some(orders) = &mut self.orders {
            // Whether it has died is found out elsewhere.
            _ = writeln!(orders, "{order}");
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends where no more orders come.
        self.orders = None;
        _ = self.child.wait();
    }
}

/// What it means that a worker died at a clip.
fn death(clip: &str, status: ExitStatus) -> anyhow::Error {
    let Some(signal) = status.signal() else {
        return anyhow!(
            "{clip}: its process ended early ({status}); the recordings may be damaged"
        );
    };
    let name = signal_name(signal).unwrap_or("a signal");
    // Nothing in a file makes a process do that to itself.
    if [SIGKILL, SIGTERM, SIGINT, SIGHUP].contains(&signal) {
        let text = format!("{clip}: its process was killed ({name}), for want of memory perhaps");
        return TryAgain(text).into();
    }
    anyhow!(
        "{clip}: a decoder or another plugin of GStreamer crashed ({name}); the recordings may be damaged or of a kind that it cannot read"
    )
}
