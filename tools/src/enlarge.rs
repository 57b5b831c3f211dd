//! The ways to enlarge that are scored.

use refvsr::{Precision, Result, Session, SharedNetwork};
use tch::Tensor;

/// A session as models are scored with: every output exact, with as many frames of look-ahead as are named, or the model's own.
pub fn session(
    network: impl Into<SharedNetwork>,
    look_ahead: Option<usize>,
    precision: Precision,
) -> Result<Session> {
    let network = network.into();
    let mut options = Session::options_of(&network);
    options.look_ahead = look_ahead.or(options.look_ahead);
    options.precision = precision;
    // Frames that share a run of the backward branch are a little worse.
    options.backward_group = Some(1);
    Session::new(network, options)
}

/// Bicubic enlargement (a = -0.75), which the networks add their detail to.
pub fn bicubic(frame: &Tensor, scale: i64) -> Result<Tensor> {
    let (_, _, height, width) = frame.size4()?;
    let size = [height * scale, width * scale];
    Ok(frame
        .f_upsample_bicubic2d(size, false, None::<f64>, None::<f64>)?
        .f_clamp(0.0, 1.0)?)
}
