//! What is done with a frame and its references when they come: little, since frames may be left out.

use super::{
    Session, Triplet,
    clip::{ClipFrame, References},
    density::ReducedMatching,
    unseen::Unseen,
};
use crate::{
    Error, Result,
    image::resize::{bicubic_antialiased, check_reference_area, reference_size},
    layout::{channels_last, rgb_size, size},
    net::{
        found::Found,
        refvsr::reduced,
        registered::{Details, registration::Follower},
    },
};
use tch::{Kind, Tensor};

impl Session {
    pub(super) fn take(&mut self, triplet: &Triplet) -> Result<()> {
        let size = rgb_size("ultra-wide frame", &triplet.ultrawide)?;
        if let Some(first) = self.clip.size.filter(|&first| first != size) {
            let text = |(h, w)| format!("{w}x{h}");
            return Err(Error::Shape {
                what: "ultra-wide frame".into(),
                actual: text(size),
                expected: format!("{}, as the first of the clip", text(first)),
            });
        }
        if self.clip.size.is_none() {
            self.lease.begin(size);
            self.clip.footage = Some(self.options.footage);
        }
        let lr = self.padded(&clean("ultra-wide frame", &triplet.ultrawide)?)?;
        let (waiting, reduced) = match self.network.registered() {
            Some(_) => (self.to_register(triplet, size)?, None),
            None => self.to_match(&lr, triplet, size)?,
        };
        let frame = ClipFrame {
            lr,
            // Until they are found.
            reference: Found::Registered(Details::default()),
            waiting: Some(waiting),
            followers: None,
            pyramid: None,
            levels: None,
            to_previous: None,
            to_next: None,
            to_itself: None,
        };
        self.clip.frames.push_back(frame);
        if self.clip.unseen.is_none() {
            self.clip.unseen = self.unseen_in(triplet, size);
        }
        self.clip.reduced_matching = reduced;
        self.clip.size = Some(size);
        self.clip.sent += 1;
        Ok(())
    }

    /// RefVSR's references, as they will be matched; the ultra-wide frame stands in for a wide one.
    fn to_match(
        &self,
        lr: &Tensor,
        triplet: &Triplet,
        size: (i64, i64),
    ) -> Result<(References, Option<ReducedMatching>)> {
        let at_scale =
            |what, frame: &Tensor, zoom| self.padded(&at_reference_scale(what, frame, size, zoom)?);
        let wide = match &triplet.wide {
            Some(wide) => at_scale("wide frame", wide, self.options.wide_zoom)?,
            None => lr.shallow_clone(),
        };
        let tele = match &triplet.tele {
            Some(tele) => Some(at_scale("tele frame", tele, self.options.tele_zoom)?),
            None => None,
        };
        let mut references = References {
            wide: Some(wide),
            tele,
            step: 1,
        };
        let cost = self.network.matching_cost(lr, &references.all())?;
        let asked = self.options.matching_step;
        references.step = asked.unwrap_or_else(|| reduced::step_for(cost));
        let (step, config) = (references.step, self.network.config());
        let reduced = (step > 1).then(|| ReducedMatching::new(step, cost, config, size));
        Ok((references, reduced))
    }

    /// The registered variant's references, as they will be registered.
    fn to_register(&self, triplet: &Triplet, ultrawide: (i64, i64)) -> Result<References> {
        let range = self.options.followers();
        let taken = |what, frame: &Option<Tensor>, follower: &Follower| -> Result<Option<Tensor>> {
            let Some(frame) = frame else { return Ok(None) };
            follower.check(what, rgb_size(what, frame)?, ultrawide)?;
            self.padded(&clean(what, frame)?).map(Some)
        };
        Ok(References {
            wide: taken("wide frame", &triplet.wide, &range.wide)?,
            tele: taken("tele frame", &triplet.tele, &range.tele)?,
            step: 1,
        })
    }

    /// A camera of a moment that the registered variant cannot find.
    fn unseen_in(&self, triplet: &Triplet, ultrawide: (i64, i64)) -> Option<Unseen> {
        self.network.registered()?;
        let fresh = self.options.followers();
        let known = self.clip.followers.as_ref().unwrap_or(&fresh);
        let cameras = [
            ("wide frame", &triplet.wide, &known.wide),
            ("tele frame", &triplet.tele, &known.tele),
        ];
        cameras.into_iter().find_map(|(what, frame, follower)| {
            let reference = size(frame.as_ref()?);
            let unseen = !follower.can_be_found(reference, ultrawide);
            unseen.then(|| Unseen {
                what,
                frame: ultrawide,
                reference,
                zooms: follower.zooms(),
            })
        })
    }

    /// A clean frame as the network takes it.
    fn padded(&self, frame: &Tensor) -> Result<Tensor> {
        channels_last(&self.network.pad(frame)?)
    }
}

/// A frame as fp32 in \[0, 1\]. What is no number would stay in the recurrent state for the rest of the clip,
/// and so would what is larger than 16 bits can hold: one becomes black, the other black or white.
fn clean(what: &str, frame: &Tensor) -> Result<Tensor> {
    let kind = frame.kind();
    if !matches!(
        kind,
        Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double
    ) {
        return Err(Error::Shape {
            what: what.into(),
            actual: format!("numbers of type {kind:?}"),
            expected: "floating-point numbers from 0 to 1".into(),
        });
    }
    let frame = frame.f_to_kind(Kind::Float)?;
    let mut frame = frame.f_nan_to_num(0.0, 1.0, 0.0)?;
    Ok(frame.f_clamp_(0.0, 1.0)?)
}

/// A reference frame at the size at which one of its pixels covers half an ultra-wide pixel.
fn at_reference_scale(
    what: &str,
    frame: &Tensor,
    ultrawide: (i64, i64),
    zoom: f64,
) -> Result<Tensor> {
    let size = rgb_size(what, frame)?;
    let (h, w) = reference_size(ultrawide, size, zoom);
    let given = format!("{}x{} at zoom {zoom}", size.1, size.0);
    check_reference_area(what, &given, (h, w), ultrawide)?;
    let frame = clean(what, frame)?;
    if (h, w) == size {
        Ok(frame)
    } else {
        Ok(bicubic_antialiased(&frame, h, w)?.f_clamp(0.0, 1.0)?)
    }
}
