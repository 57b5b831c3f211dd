//! How late a session stops that is told to.

use crate::{
    Result,
    cases::Case,
    engine::{session_of, triplet},
    footage::Footage,
};
use refvsr::{Error, Session, profile::record};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Runs a frame to its end, then tells the session `tries` times to stop, at random moments of its next
/// frames. Gives the seconds that went by between the order and the end of the call.
pub fn delays(case: &Case, form: &str, footage: &mut Footage, tries: usize) -> Result<Value> {
    let mut session = session_of(case, form)?;
    let ahead = session.look_ahead();
    let moments = footage.moments(ahead + 3)?;
    for moment in &moments[..=ahead] {
        session.send(triplet(moment))?;
    }
    while session.receive()?.is_frame() {}

    // A whole frame, for its time and its longest piece.
    let start = Instant::now();
    let (done, profile) = record(|| -> Result<f64> {
        session.send(triplet(&moments[ahead + 1]))?;
        let sent = start.elapsed().as_secs_f64();
        _ = session.receive()?;
        Ok(sent)
    });
    let send = done?;
    let receive = start.elapsed().as_secs_f64() - send;

    // A call that is done before it is told cannot be made again: its tries end there.
    let next = &moments[ahead + 2];
    let (mut state, mut of_send, mut of_receive) = (0x9E37_79B9_7F4A_7C15, vec![], vec![]);
    let mut random = |length: f64| Duration::from_secs_f64(length * 0.95 * random(&mut state));
    let mut sent = false;
    while !sent && of_send.len() < tries {
        match stopped(random(send), &mut session, |s| s.send(triplet(next)))? {
            Some(delay) => of_send.push(delay),
            None => sent = true,
        }
    }
    if !sent {
        session.send(triplet(next))?;
    }
    let mut received = false;
    while !received && of_receive.len() < tries {
        match stopped(random(receive), &mut session, |s| s.receive().map(drop))? {
            Some(delay) => of_receive.push(delay),
            None => received = true,
        }
    }
    Ok(json!({
        "send": send,
        "receive": receive,
        "longest_piece": profile.largest_piece().time.as_secs_f64(),
        "delays_of_send": of_send,
        "delays_of_receive": of_receive,
    }))
}

/// Seconds from telling the session to stop, `at` so long after the call's start, to the end of the call.
/// None where it was done before.
fn stopped(
    at: Duration,
    session: &mut Session,
    call: impl FnOnce(&mut Session) -> refvsr::Result<()>,
) -> Result<Option<f64>> {
    let stopper = session.stopper();
    let watch = thread::spawn(move || {
        thread::sleep(at);
        let told = Instant::now();
        stopper.stop();
        told
    });
    let done = call(session);
    let end = Instant::now();
    let told = watch.join().map_err(|_| "the watch broke")?;
    session.stopper().rearm();
    match done {
        Ok(()) => Ok(None),
        Err(Error::Stopped) => Ok(Some((end - told).as_secs_f64())),
        Err(other) => Err(other.into()),
    }
}

/// From 0 to 1, by xorshift.
fn random(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1u64 << 53) as f64
}
