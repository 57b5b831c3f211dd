//! One attack: inputs, one after the other, on one reader, and what it may take.

use crate::{
    allocation::counted,
    mutate::{Random, mutated},
};
use std::{
    collections::HashSet,
    fmt,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Inputs that made a reader say something new; more are not kept.
const POOL: usize = 2000;

/// A reader to attack.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Good inputs and those that found something.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What its inputs are made of.
    pub words: &'static [&'static str],
    /// Reads an input; says what came of it.
    pub run: fn(&[u8]) -> String,
    /// What it may take.
    pub limits: Limits,
}

/// What reading an input may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, whatever the input's size.
    pub memory: usize,
    /// Bytes for each of the input's.
    pub times: usize,
    /// Time of a processor.
    pub time: Duration,
    /// Time of a clock, after which it counts as hanging. Long, because machines are busy.
    pub patience: Duration,
}

/// 16 times the input and 2 s of a processor, and a mebibyte for what every reader takes.
pub const LIMITS: Limits = Limits {
    memory: 1 << 20,
    times: 16,
    time: Duration::from_secs(2),
    patience: Duration::from_secs(60),
};

/// What a reader did that it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It panicked, with this message.
    Panic(String),
    /// It took more bytes than it may.
    Memory(usize),
    /// It took more time than it may.
    Slow(Duration),
    /// It did not end.
    Hang,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(message) => write!(f, "panic: {message}"),
            Self::Memory(bytes) => write!(f, "memory: {bytes} bytes"),
            Self::Slow(time) => write!(f, "time: {:.1} s", time.as_secs_f64()),
            Self::Hang => write!(f, "it hangs"),
        }
    }
}

/// A fault and the smallest input that was found to cause it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What happened.
    pub fault: Fault,
    /// At which input.
    pub input: Vec<u8>,
}

/// An attack without a finding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Inputs.
    pub cases: u64,
    /// Different answers.
    pub answers: usize,
    /// The most bytes that one took.
    pub memory: usize,
    /// The most time of a processor that one took.
    pub time: Duration,
}

/// How long an attack lasts: it ends with the first of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Changed inputs; the seeds are read besides.
    pub cases: u64,
    /// Time.
    pub time: Duration,
}

/// Attacks a reader. The input at hand is kept in the file `last`, for crashes that take the process along.
///
/// # Errors
/// The first fault that it finds.
pub fn attack(
    target: &Target,
    seed: u64,
    budget: Budget,
    last: Option<&Path>,
) -> Result<Report, Finding> {
    let (target, last) = (*target, last.map(Path::to_owned));
    watched(target.limits, move |hand| {
        search(&target, seed, budget, last.as_deref(), hand)
    })
}

/// Reads one input.
///
/// # Errors
/// What is wrong with that.
pub fn once(target: &Target, input: &[u8]) -> Result<String, Fault> {
    let (target, input) = (*target, input.to_owned());
    let read = watched(target.limits, move |hand| {
        hand.take(&input);
        read(&target, &input).map_err(|fault| Finding { fault, input })
    });
    read.map(|read| read.said).map_err(|finding| finding.fault)
}

fn search(
    target: &Target,
    seed: u64,
    budget: Budget,
    last: Option<&Path>,
    hand: &Hand,
) -> Result<Report, Finding> {
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut pool = (target.seeds)();
    let (mut known, mut report) = (HashSet::new(), Report::default());
    let seeds = pool.len() as u64;
    while report.cases < seeds.saturating_add(budget.cases) {
        let input = match pool.get(report.cases as usize) {
            Some(seed) if report.cases < seeds => seed.clone(),
            _ if begun.elapsed() > budget.time => break,
            _ => mutated(&mut random, &pool, target.words),
        };
        if let Some(last) = last {
            _ = std::fs::write(last, &input);
        }
        hand.take(&input);
        let read = match read(target, &input) {
            Ok(read) => read,
            Err(fault) => {
                let input = smallest(target, &fault, input, hand);
                return Err(Finding { fault, input });
            }
        };
        report.cases += 1;
        report.memory = report.memory.max(read.memory);
        report.time = report.time.max(read.time);
        if known.insert(kind(&read.said)) && report.cases > seeds && pool.len() < POOL {
            pool.push(input);
        }
    }
    report.answers = known.len();
    Ok(report)
}

/// What an answer is about: numbers and names are left out.
fn kind(said: &str) -> String {
    let letters = said
        .chars()
        .filter(|c| c.is_ascii_alphabetic() || *c == ' ');
    letters.take(60).collect()
}

/// Takes pieces out of an input, smaller and smaller ones, as long as the fault stays.
fn smallest(target: &Target, fault: &Fault, mut input: Vec<u8>, hand: &Hand) -> Vec<u8> {
    let same = |other: &Fault| std::mem::discriminant(other) == std::mem::discriminant(fault);
    let mut piece = input.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut shorter = input.clone();
            shorter.drain(at..(at + piece).min(input.len()));
            hand.take(&shorter);
            match read(target, &shorter) {
                Err(other) if same(&other) => input = shorter,
                _ => at += piece,
            }
        }
        piece /= 2;
    }
    input
}

/// The input at hand, and since when.
struct Hand(Mutex<(Instant, Vec<u8>)>);

impl Hand {
    fn lock(&self) -> MutexGuard<'_, (Instant, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, input: &[u8]) {
        let mut hand = self.lock();
        hand.0 = Instant::now();
        hand.1.clear();
        hand.1.extend_from_slice(input);
    }
}

/// The name of threads whose panics are counted, not printed.
const ATTACKED: &str = "attacked";

/// Does the work on a thread of its own, so that an input whose reading never ends can be told. That thread is then left alone.
fn watched<T: Send + 'static>(
    limits: Limits,
    work: impl FnOnce(&Hand) -> Result<T, Finding> + Send + 'static,
) -> Result<T, Finding> {
    silence();
    let hand = Arc::new(Hand(Mutex::new((Instant::now(), vec![]))));
    let (given, results) = channel();
    let own = hand.clone();
    let thread = thread::Builder::new().name(ATTACKED.into());
    if let Err(error) = thread.spawn(move || given.send(work(&own))) {
        panic!("no thread: {error}");
    }
    loop {
        match results.recv_timeout(limits.patience / 4) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => {
                let hand = hand.lock();
                if hand.0.elapsed() > limits.patience {
                    return Err(Finding {
                        fault: Fault::Hang,
                        input: hand.1.clone(),
                    });
                }
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the attack itself panicked"),
        }
    }
}

struct Read {
    said: String,
    memory: usize,
    time: Duration,
}

fn read(target: &Target, input: &[u8]) -> Result<Read, Fault> {
    let begun = busy();
    let work = || panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let (said, memory) = counted(work);
    let time = busy().saturating_sub(begun);
    let said = said.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Fault::Panic(text.unwrap_or_default())
    })?;
    let limits = target.limits;
    if memory > limits.memory + limits.times * input.len() {
        return Err(Fault::Memory(memory));
    }
    if time > limits.time {
        return Err(Fault::Slow(time));
    }
    Ok(Read { said, memory, time })
}

/// The time that this thread had a processor for.
fn busy() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes to `time` alone.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) } != 0 {
        panic!("the system has no clock of a thread's time");
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Panics of attacked threads are findings; they are told once, when the smallest input is found.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(ATTACKED) {
                usual(info);
            }
        }));
    });
}
