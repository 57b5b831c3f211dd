//! The forms in which a case is computed.

use crate::{
    Result,
    cases::{Case, Model},
    footage::{Footage, Moment},
    process::{Cpu, computes_bf16},
};
use refvsr::{
    Precision, Session, SessionOptions, Triplet,
    net::{
        Frame, Run,
        registered::{
            self, Followers, RegisteredVsr,
            registration::{TELE_ZOOMS, WIDE_ZOOMS},
        },
    },
    profile::{Profile, Stage, record},
    trace::operations,
};
use serde_json::{Value, json};
use std::time::Instant;
use tch::{Cuda, Device, Tensor};

/// What was measured once the state was steady.
pub struct Steady {
    /// Seconds a frame, one figure for each frame or group of frames.
    pub seconds: Vec<f64>,
    pub frames: usize,
    pub cpu: Cpu,
    /// Seconds and GFLOP a frame by stage.
    pub stages: Vec<Value>,
    /// Operations of libtorch's, a frame, with those that they are made of.
    pub operations: f64,
    /// The longest time between two looks at the stopper, in seconds.
    pub longest_piece: f64,
}

/// A way to stream.
struct Form {
    name: &'static str,
    precision: Precision,
    /// Whether outputs share runs of the backward branch, in the model's own groups.
    shared: bool,
}

const FORMS: [Form; 8] = [
    form("session fp32", Precision::Fp32, false),
    form("session fp32, shared", Precision::Fp32, true),
    form("session fp32-fast", Precision::Fp32Fast, false),
    form("session fp32-fast, shared", Precision::Fp32Fast, true),
    form("session bf16", Precision::Bf16, false),
    form("session bf16, shared", Precision::Bf16, true),
    form("session fp16", Precision::Fp16, false),
    form("session fp16, shared", Precision::Fp16, true),
];

const fn form(name: &'static str, precision: Precision, shared: bool) -> Form {
    Form {
        name,
        precision,
        shared,
    }
}

/// The names of the forms that the case has on this machine's CPU, the plain one first.
pub fn forms(case: &Case) -> Vec<&'static str> {
    let shares = !matches!(case.model, Model::Generated(..));
    let has = |form: &&Form| {
        let fast = match form.precision {
            Precision::Bf16 => computes_bf16(),
            other => other != Precision::Fp16,
        };
        (!form.shared || shares) && fast
    };
    let streams = FORMS.iter().filter(has).map(|form| form.name);
    std::iter::once("plain").chain(streams).collect()
}

/// Runs a case in a form on a device and measures `frames` frames of it.
pub fn run(
    case: &Case,
    name: &str,
    footage: &mut Footage,
    frames: usize,
    device: Device,
) -> Result<Steady> {
    if name == "plain" {
        return plain(case, footage, frames, device);
    }
    // A form that the machine is slow in can still be asked for.
    match FORMS.iter().find(|form| form.name == name) {
        Some(form) => session(case, form, footage, frames, device),
        None => Err(format!("there is no form '{name}'").into()),
    }
}

/// Every window by itself, from the second on.
fn plain(case: &Case, footage: &mut Footage, frames: usize, device: Device) -> Result<Steady> {
    let network = case.network(device)?;
    let t = 2 * case.look_ahead_of(&network) + 1;
    if let Some(net) = network.registered() {
        return plain_registered(net, t, footage, frames, device);
    }
    let moments: Vec<Moment> = on(device, footage.moments(t + rounds(device) * frames + 1)?)?
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
    steadily(device, frames, 1, |k| {
        let window = &clip[k..k + t];
        let (_, next) = tch::no_grad(|| network.forward(window, kept.as_ref(), Run::Streaming))?;
        kept = Some(next);
        Ok(true)
    })
}

/// The same of the registered variant, whose plain form is its own.
fn plain_registered(
    net: &RegisteredVsr,
    t: usize,
    footage: &mut Footage,
    frames: usize,
    device: Device,
) -> Result<Steady> {
    let moments = on(device, footage.moments(t + rounds(device) * frames + 1)?)?;
    let clip: Vec<registered::Moment<'_>> = moments
        .iter()
        .map(|(ultrawide, wide)| registered::Moment {
            ultrawide,
            wide: Some(wide),
            tele: None,
        })
        .collect();
    let mut followers = Followers::new(WIDE_ZOOMS, TELE_ZOOMS);
    let mut kept = None;
    steadily(device, frames, 1, |k| {
        let window = &clip[k..k + t];
        let (_, next, followed) =
            tch::no_grad(|| net.forward(window, t / 2, kept.as_ref(), &followers))?;
        kept = Some(next);
        followers = followed;
        Ok(true)
    })
}

/// A stream, from its first outputs on, with the commands' own use of memory.
fn session(
    case: &Case,
    form: &Form,
    footage: &mut Footage,
    frames: usize,
    device: Device,
) -> Result<Steady> {
    let (mut session, group) = open(case, form, device)?;
    let measured = frames.div_ceil(group) * group;
    let warmed = if device == Device::Cpu { 0 } else { group };
    let moments = session.look_ahead() + 1 + group + warmed + rounds(device) * measured;
    let moments = footage.moments(moments)?;
    let moments = on(device, moments)?;
    steadily(device, frames, group, |k| {
        session.send(triplet(&moments[k]))?;
        let mut any = false;
        while session.receive()?.is_frame() {
            any = true;
        }
        Ok(any)
    })
}

/// A session, and how many of its outputs share a backward run.
fn open(case: &Case, form: &Form, device: Device) -> Result<(Session, usize)> {
    refvsr::memory::reuse();
    let network = case.network(device)?;
    let group = if form.shared {
        network.config().backward_group()
    } else {
        1
    };
    let options = SessionOptions {
        look_ahead: case.look_ahead,
        backward_group: Some(group),
        precision: form.precision,
        reset_interval: None,
        ..Session::options_of(&network)
    };
    Ok((Session::new(network, options)?, group))
}

/// The session of a form, by name.
pub fn session_of(case: &Case, name: &str) -> Result<Session> {
    let form = FORMS.iter().find(|form| form.name == name);
    let form = form.ok_or_else(|| format!("there is no session '{name}'"))?;
    Ok(open(case, form, Device::Cpu)?.0)
}

/// Rounds of the measured frames: a device's operations are counted in one of its own.
fn rounds(device: Device) -> usize {
    if device == Device::Cpu { 1 } else { 2 }
}

/// Moments on a device.
fn on(device: Device, moments: Vec<Moment>) -> Result<Vec<Moment>> {
    let there = |(a, b): Moment| Ok((a.f_to_device(device)?, b.f_to_device(device)?));
    moments.into_iter().map(there).collect()
}

/// Waits until a device has done what it was told.
fn wait_for(device: Device) {
    if let Device::Cuda(n) = device {
        Cuda::synchronize(n as i64);
    }
}

/// A moment as a session takes it.
pub fn triplet((ultrawide, wide): &Moment) -> Triplet {
    Triplet {
        ultrawide: ultrawide.shallow_clone(),
        wide: Some(wide.shallow_clone()),
        tele: None,
    }
}

/// Calls `step` until it gives the first output, then measures further calls, `group` at a time.
fn steadily(
    device: Device,
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
    let mut turn = || -> Result<f64> {
        let start = Instant::now();
        for _ in 0..group {
            step(k)?;
            k += 1;
        }
        wait_for(device);
        Ok(start.elapsed().as_secs_f64() / group as f64)
    };
    // A device tries its algorithms at the first call of each size, so one more group runs first.
    if device != Device::Cpu {
        turn()?;
    }
    let before = Cpu::now()?;
    let mut measured =
        || -> Result<Vec<f64>> { (0..frames.div_ceil(group)).map(|_| turn()).collect() };
    // Counting costs a microsecond an operation. A CPU's operations are far longer; a device's are not, so
    // they are counted in a second round that is not timed.
    let (seconds, cpu, (counted, profile), names);
    if device == Device::Cpu {
        ((counted, profile), names) = operations(|| record(&mut measured))?;
        seconds = counted?;
        cpu = Cpu::now()? - before;
    } else {
        seconds = measured()?;
        cpu = Cpu::now()? - before;
        ((counted, profile), names) = operations(|| record(&mut measured))?;
        counted?;
    }
    let frames = seconds.len() * group;
    Ok(Steady {
        frames,
        seconds,
        cpu,
        stages: stages(&profile, frames as f64),
        operations: names.len() as f64 / frames as f64,
        longest_piece: profile.largest_piece().time.as_secs_f64(),
    })
}

/// The stages' seconds and GFLOP a frame.
fn stages(profile: &Profile, frames: f64) -> Vec<Value> {
    let of = |stage: Stage| {
        let share = profile.of(stage);
        json!({
            "name": stage.name(),
            "seconds": share.time.as_secs_f64() / frames,
            "gflop": share.flops as f64 / frames / 1e9,
        })
    };
    Stage::ALL.into_iter().map(of).collect()
}
