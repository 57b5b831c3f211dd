//! Every reader under a short attack, and the attack itself on readers with a planted bug of each kind.

use refvsr_fuzz::{
    attack::{Budget, Fault, Finding, LIMITS, Limits, Target, attack},
    mutate::{LONGEST, Random, mutated},
    targets::{self, TARGETS},
};
use std::time::Duration;

/// As many inputs as take a second or two of a busy machine, always the same ones.
const FEW: Budget = Budget {
    cases: 1500,
    time: Duration::from_secs(600),
};

#[test]
fn no_reader_breaks_its_limits() {
    targets::init().unwrap();
    for target in &TARGETS {
        match attack(target, 1, FEW, None) {
            Ok(report) => {
                assert!(report.cases >= FEW.cases, "{}: {report:?}", target.name);
                // Changes get past the first bytes that are looked at.
                assert!(report.answers > 1, "{}: {report:?}", target.name);
            }
            Err(Finding { fault, input }) => {
                panic!(
                    "{}: {fault} at {:?}",
                    target.name,
                    String::from_utf8_lossy(&input)
                )
            }
        }
    }
}

const fn planted(run: fn(&[u8]) -> String) -> Target {
    Target {
        name: "planted",
        seeds: || vec![b"size=0004;data".to_vec()],
        words: &["size=", ";"],
        run,
        limits: Limits {
            time: Duration::from_millis(20),
            patience: Duration::from_secs(10),
            ..LIMITS
        },
    }
}

/// The number that an input claims.
fn claimed(input: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(input).ok()?;
    text.strip_prefix("size=")?.split_once(';')?.0.parse().ok()
}

fn found(run: fn(&[u8]) -> String) -> Finding {
    let budget = Budget {
        cases: 200_000,
        time: Duration::from_secs(300),
    };
    attack(&planted(run), 7, budget, None).unwrap_err()
}

#[test]
fn a_read_out_of_bounds_is_caught_and_its_input_made_small() {
    let Finding { fault, input } = found(|input| match claimed(input) {
        Some(size) => input[size].to_string(),
        None => String::new(),
    });
    assert!(
        matches!(&fault, Fault::Panic(text) if text.contains("out of bounds")),
        "{fault}"
    );
    assert!(claimed(&input).is_some_and(|size| size >= input.len()));
    assert!(input.len() <= 8, "{input:?}");
}

#[test]
fn memory_that_a_file_only_claims_is_caught() {
    let Finding { fault, input } = found(|input| {
        let size = claimed(input).unwrap_or(0).min(1 << 30);
        vec![0u8; size].len().to_string()
    });
    assert!(
        matches!(fault, Fault::Memory(bytes) if bytes > 1 << 20),
        "{fault}"
    );
    assert!(claimed(&input).is_some_and(|size| size > 1 << 20));
}

#[test]
fn work_that_takes_too_long_is_caught() {
    let Finding { fault, .. } = found(|input| {
        let rounds = claimed(input).unwrap_or(0).min(20_000_000) as u64;
        // It ends, a while after the limit.
        let sum = (0..rounds).fold(0u64, |sum, n| std::hint::black_box(sum ^ n));
        sum.to_string()
    });
    assert!(matches!(fault, Fault::Slow(_) | Fault::Hang), "{fault}");
}

#[test]
fn a_reader_that_does_not_end_is_caught() {
    let mut target = planted(|input| {
        while claimed(input) == Some(0) {
            std::thread::sleep(Duration::from_millis(50));
        }
        String::new()
    });
    target.limits.patience = Duration::from_secs(1);
    target.seeds = || vec![b"size=1;".to_vec(), b"size=0;".to_vec()];
    let Finding { fault, input } = attack(&target, 7, FEW, None).unwrap_err();
    assert_eq!((fault, &input[..]), (Fault::Hang, &b"size=0;"[..]));
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let made = |seed| -> Vec<Vec<u8>> {
        let mut random = Random::new(seed);
        let pool = [b"an input".to_vec(), vec![]];
        (0..500)
            .map(|_| mutated(&mut random, &pool, &["word"]))
            .collect()
    };
    assert_eq!(made(3), made(3));
    assert_ne!(made(3), made(4));
    assert!(made(3).iter().all(|input| input.len() <= LONGEST));
}
