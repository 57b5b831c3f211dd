//! One reference camera through a clip: found in its first frames, followed from frame to frame,
//! looked for anew where it is lost.

use super::{
    density::{at_density, dense},
    last::{Last, Unread},
    placement::Placement,
    register::{Registered, Track, register},
    sighting::Sighting,
    verdict::Place,
    zoom::{Zooms, can_be_found, search},
};
use crate::{Result, layout::size, net::flow::SpyNet};
use tch::Tensor;

/// What is known of a reference camera at a point of a clip.
///
/// Once the camera has been found, what came of a frame stays on the device until it is read: with
/// the next frame, or earlier by whoever asks. Then the frame is finished as a rule, so that nobody
/// waits for it.
#[derive(Debug)]
pub struct Follower {
    density: i64,
    zooms: Zooms,
    last: Option<Last>,
    /// Frames in a row in which the camera's picture was there but did not hold.
    misses: u32,
    /// The last frame, where what came of it has not been read.
    unread: Option<Unread>,
}

/// So many frames are tried at the old place before the camera is lost, and looked for anew.
const PATIENCE: u32 = 3;
/// At least every so many frames a lost camera is looked for.
const RETRY: u32 = 32;

/// Registration ends as near as this, in zoom and in shift, to where the search began it, else one
/// of the two is wrong: soft pictures can be bent to agree almost anywhere.
const CONFIRMED: (f64, f64) = (0.08, 0.03);
/// Agreement from which on no other place is looked at.
const CERTAIN: f64 = 0.9;

impl Follower {
    /// A camera of which only its range of zooms is known. `density` is that of its references: 2
    /// or 4 pixels an ultra-wide pixel.
    pub fn new(zooms: Zooms, density: i64) -> Self {
        Self {
            density,
            zooms,
            last: None,
            misses: 0,
            unread: None,
        }
    }

    /// The same with all that is known, read from the device.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn read(&self) -> Result<Self> {
        let Some(Unread {
            zoom,
            verdict,
            flow,
        }) = &self.unread
        else {
            return Ok(self.shallow_clone());
        };
        Ok(match verdict.read()? {
            Some(place) => self.found(*zoom, place, flow),
            None => self.missed(),
        })
    }

    /// Where the camera was seen last; `None` before it has been found. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn placement(&self) -> Result<Option<Placement>> {
        Ok(self.sighting()?.map(|sighting| sighting.placement))
    }

    /// The camera as it was seen last; `None` before it has been found. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn sighting(&self) -> Result<Option<Sighting>> {
        let known = self.read()?;
        Ok(known.last.as_ref().map(|last| Sighting {
            placement: last.track.placement,
            agreement: last.agreement,
            holds: known.misses == 0,
            lost: known.is_lost(),
        }))
    }

    /// The tensors it holds.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let known = self.last.iter().flat_map(|last| &last.track.flow);
        known.chain(self.unread.iter().map(|unread| &unread.flow))
    }

    /// The same once more.
    pub fn shallow_clone(&self) -> Self {
        Self {
            last: self.last.as_ref().map(|last| Last {
                track: last.track.shallow_clone(),
                ..*last
            }),
            unread: self.unread.as_ref().map(Unread::shallow_clone),
            ..*self
        }
    }

    /// Refuses references of a size (height, width) that is absurd beside the ultra-wide frame's at the
    /// smallest zoom at which they are looked for. `what` stands for them in the error.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape).
    pub fn check(&self, what: &str, size: (i64, i64), ultrawide: (i64, i64)) -> Result<()> {
        dense(what, size, ultrawide, self.zooms.from, self.density).map(drop)
    }

    /// Whether a reference of a size (height, width) covers so many pixels of the ultra-wide frame, at any
    /// zoom at which it is looked for, that it can be found. See [`can_be_found`].
    pub fn can_be_found(&self, size: (i64, i64), ultrawide: (i64, i64)) -> bool {
        self.last.is_some() || can_be_found(ultrawide, size, self.zooms)
    }

    /// The zooms at which the camera is looked for.
    pub fn zooms(&self) -> Zooms {
        self.zooms
    }

    /// Registers the next frame's reference, `[1, 3, H, W]` of any size, RGB in \[0, 1\], on
    /// `frame` `[1, 3, h, w]`, and gives what is known then. `None` where there is none, or where
    /// it is known not to hold; what does not hold, but is not known to, has an empty mask. A reference of
    /// a size that [`check`](Self::check) refuses does not hold.
    ///
    /// Waits for the device where the last frame has not been [read](Self::read), and where the camera
    /// has to be looked for.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn next(
        &self,
        flow_net: &SpyNet,
        frame: &Tensor,
        reference: Option<&Tensor>,
    ) -> Result<(Option<Registered>, Self)> {
        let known = self.read()?;
        let Some(reference) = reference else {
            return Ok((None, known));
        };
        if known.is_lost() && !known.is_search_due() {
            return Ok((None, known.missed()));
        }
        let sizes = (size(reference), size(frame));
        if known.check("reference frame", sizes.0, sizes.1).is_err() {
            return Ok((None, known.missed()));
        }
        let register_at = |zoom: f64, start: &Track| -> Result<Option<Registered>> {
            // The zoom that was found last may have drifted out of the range.
            if dense("reference frame", sizes.0, sizes.1, zoom, known.density).is_err() {
                return Ok(None);
            }
            let brought = at_density(reference, size(frame), zoom, known.density)?;
            register(flow_net, frame, &brought, known.density, start)
        };
        let again = match &known.last {
            Some(last) => {
                let zoom = last.density_zoom();
                register_at(zoom, &last.track)?.map(|found| (zoom, found))
            }
            None => None,
        };
        if !known.is_search_due() {
            return Ok(match again {
                Some((zoom, found)) => {
                    let next = known.unread(zoom, &found);
                    (Some(found), next)
                }
                None => (None, known.missed()),
            });
        }
        if let Some((zoom, found)) = again {
            let next = known.unread(zoom, &found).read()?;
            if next.misses == 0 {
                return Ok((Some(found), next));
            }
        }
        let Some((zoom, first, track)) = known.look(frame, reference, &register_at)? else {
            return Ok((None, known.missed()));
        };
        // Once more from there: the search is right to a pixel or two and a few per cent of zoom.
        let closer = track.placement.zoom;
        if let Some(second) = register_at(closer, &track)? {
            let next = known.unread(closer, &second).read()?;
            if next.misses == 0 {
                return Ok((Some(second), next));
            }
        }
        let next = known.unread(zoom, &first).read()?;
        Ok((Some(first), next))
    }

    /// The place at which frame and reference agree most once registered, and the zoom it was
    /// registered from. `None` where no place holds.
    fn look(
        &self,
        frame: &Tensor,
        reference: &Tensor,
        register_at: &dyn Fn(f64, &Track) -> Result<Option<Registered>>,
    ) -> Result<Option<(f64, Registered, Track)>> {
        let width = size(frame).1;
        let mut best: Option<(f64, (f64, Registered, Track))> = None;
        for (placement, _) in search(frame, reference, self.zooms)? {
            let led = |from: Placement| {
                let Some(found) = register_at(from.zoom, &from.into())? else {
                    return Ok(None);
                };
                Ok(found
                    .read()?
                    .map(|(track, agreement)| (track.placement, (found, track, agreement))))
            };
            let Some((zoom, (found, track, agreement))) = self.confirmed(placement, width, led)?
            else {
                continue;
            };
            if best.as_ref().is_none_or(|(most, _)| agreement > *most) {
                best = Some((agreement, (zoom, found, track)));
            }
            if agreement >= CERTAIN {
                break;
            }
        }
        Ok(best.map(|(_, best)| best))
    }

    /// What registration finds from a place on, and the zoom it began at: `register` gives the place where it
    /// ends. Where that is elsewhere in the range of zooms it is asked once more from there; where it leads on
    /// from there too, out of the range, or nowhere, nothing is confirmed.
    fn confirmed<T>(
        &self,
        place: Placement,
        width: i64,
        register: impl Fn(Placement) -> Result<Option<(Placement, T)>>,
    ) -> Result<Option<(f64, T)>> {
        let mut from = place;
        for _ in 0..2 {
            let Some((to, found)) = register(from)? else {
                return Ok(None);
            };
            if to.is_near(&from, width, CONFIRMED) {
                return Ok(Some((from.zoom, found)));
            }
            if !self.zooms.contain(to.zoom) {
                return Ok(None);
            }
            from = to;
        }
        Ok(None)
    }

    /// With a frame that was registered, not yet read.
    fn unread(&self, zoom: f64, found: &Registered) -> Self {
        // What is read next either has a flow of its own, or says that the last one is of no use.
        Self {
            unread: Some(Unread {
                zoom,
                verdict: found.verdict.shallow_clone(),
                flow: found.flow.shallow_clone(),
            }),
            last: self.last.as_ref().map(Last::without_flow),
            ..*self
        }
    }

    /// With a frame in which the camera was seen.
    fn found(&self, zoom: f64, place: Place, flow: &Tensor) -> Self {
        let Place {
            placement,
            agreement,
        } = place;
        let flow = Some(flow.shallow_clone());
        Self {
            last: Some(Last {
                zoom,
                track: Track { placement, flow },
                agreement,
            }),
            misses: 0,
            unread: None,
            ..*self
        }
    }

    /// With a frame in which the camera's picture did not hold.
    fn missed(&self) -> Self {
        Self {
            last: self.last.as_ref().map(Last::without_flow),
            misses: self.misses.saturating_add(1),
            unread: None,
            ..*self
        }
    }

    /// It is no longer tried where it was, but in the frames in which it is looked for.
    fn is_lost(&self) -> bool {
        self.misses >= PATIENCE
    }

    /// At first in every frame, then ever more rarely.
    fn is_search_due(&self) -> bool {
        let patient = self.last.is_some() && !self.is_lost();
        let n = self.misses.saturating_add(1);
        !patient && (n.is_power_of_two() || n.is_multiple_of(RETRY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registration_that_leads_elsewhere_is_asked_once_more_from_there() {
        let follower = Follower::new(Zooms::about(2.0), 2);
        let led = |ways: &'static [(f64, f64)]| {
            let place = |zoom| Placement::centred(zoom);
            let register = |from: Placement| {
                let way = ways.iter().find(|way| from == place(way.0));
                Ok(way.map(|&(_, to)| (place(to), to)))
            };
            follower.confirmed(place(2.0), 200, register).unwrap()
        };
        assert_eq!(led(&[(2.0, 2.01)]), Some((2.0, 2.01)), "it stays");
        let settled = Some((2.22, 2.23));
        assert_eq!(led(&[(2.0, 2.22), (2.22, 2.23)]), settled, "it settles");
        assert_eq!(led(&[(2.0, 2.22), (2.22, 2.0)]), None, "it leads on");
        assert_eq!(led(&[(2.0, 9.0), (9.0, 9.0)]), None, "out of the range");
        assert_eq!(led(&[(2.0, 2.22)]), None, "it does not hold there");
    }

    #[test]
    fn a_camera_that_is_not_found_is_looked_for_ever_more_rarely() {
        let at = |misses: u32, last: bool| {
            let last = last.then(|| Last {
                zoom: 2.0,
                track: Placement::centred(2.0).into(),
                agreement: 0.9,
            });
            Follower {
                misses,
                last,
                ..Follower::new(Zooms::about(2.0), 2)
            }
            .is_search_due()
        };
        let due = |last| (0..100).filter(|&n| at(n, last)).collect::<Vec<_>>();
        assert_eq!(due(false), [0, 1, 3, 7, 15, 31, 63, 95]);
        assert_eq!(due(true), [3, 7, 15, 31, 63, 95]);
    }
}
