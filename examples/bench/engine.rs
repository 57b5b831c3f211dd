//! The forms in which a case is computed.

use crate::{
    Result,
    cases::Case,
    footage::{Footage, Moment},
    process::Cpu,
};
use refvsr::{
    Session, SessionOptions, Triplet,
    net::{Frame, Run},
};
use serde_json::Value;
use std::time::Instant;
use tch::Tensor;

/// What was measured once the state was steady.
pub struct Steady {
    /// Seconds a frame, one figure for each frame or group of frames.
    pub seconds: Vec<f64>,
    pub frames: usize,
    pub cpu: Cpu,
    /// Seconds and GFLOP a frame by stage.
    pub stages: Vec<Value>,
}

/// The names of the forms, the plain one first.
pub fn forms(_case: &Case) -> Vec<String> {
    vec!["plain".into(), "session fp32".into()]
}

/// Runs a case in a form and measures `frames` frames of it.
pub fn run(case: &Case, form: &str, footage: &mut Footage, frames: usize) -> Result<Steady> {
    match form {
        "plain" => plain(case, footage, frames),
        "session fp32" => session(case, footage, frames),
        _ => Err(format!("case '{}' has no form '{form}'", case.name).into()),
    }
}

/// Every window by itself, from the second on.
fn plain(case: &Case, footage: &mut Footage, frames: usize) -> Result<Steady> {
    let network = case.network()?;
    let t = 2 * case.look_ahead_of(&network) + 1;
    let moments: Vec<Moment> = footage
        .moments(t + frames)?
        .iter()
        .map(|(lr, wide)| Ok((network.pad(lr)?, network.pad(wide)?)))
        .collect::<Result<_>>()?;
    let references: Vec<[&Tensor; 1]> = moments.iter().map(|(_, wide)| [wide]).collect();
    let clip: Vec<Frame<'_>> = moments
        .iter()
        .zip(&references)
        .map(|((lr, _), references)| Frame { lr, references })
        .collect();
    let mut kept = None;
    steadily(frames, 1, |k| {
        let window = &clip[k..k + t];
        let (_, next) = tch::no_grad(|| network.forward(window, kept.as_ref(), Run::Streaming))?;
        kept = Some(next);
        Ok(true)
    })
}

/// A stream, from its first output on.
fn session(case: &Case, footage: &mut Footage, frames: usize) -> Result<Steady> {
    let network = case.network()?;
    let options = SessionOptions {
        look_ahead: case.look_ahead,
        reset_interval: None,
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options)?;
    let moments = footage.moments(session.look_ahead() + 1 + frames)?;
    steadily(frames, 1, |k| {
        let (ultrawide, wide) = &moments[k];
        session.send(Triplet {
            ultrawide: ultrawide.shallow_clone(),
            wide: Some(wide.shallow_clone()),
            tele: None,
        })?;
        let mut any = false;
        while session.receive()?.is_some() {
            any = true;
        }
        Ok(any)
    })
}

/// Calls `step` until it gives the first output, then measures further calls, `group` at a time.
fn steadily(
    frames: usize,
    group: usize,
    mut step: impl FnMut(usize) -> Result<bool>,
) -> Result<Steady> {
    let mut k = 0;
    loop {
        k += 1;
        if step(k - 1)? {
            break;
        }
    }
    let before = Cpu::now()?;
    let mut seconds = vec![];
    for _ in 0..frames.div_ceil(group) {
        let start = Instant::now();
        for _ in 0..group {
            step(k)?;
            k += 1;
        }
        seconds.push(start.elapsed().as_secs_f64() / group as f64);
    }
    Ok(Steady {
        frames: seconds.len() * group,
        seconds,
        cpu: Cpu::now()? - before,
        stages: vec![],
    })
}
