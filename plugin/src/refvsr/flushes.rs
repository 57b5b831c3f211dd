//! Flushes that are under way.
//!
//! Pads are flushed one after another. A frame from after the flush of one pad must not meet frames from before the flush of another: it would be
//! paired to nothing, or lost with them. So the streaming thread takes no frame from the first sign of a flush until every pad has had it.

use gst::{Seqnum, glib};
use std::time::{Duration, Instant};

/// How long after one pad's flush the others' may come. A flush need not reach them all: a camera can be flushed alone.
const GRACE: Duration = Duration::from_millis(100);

/// Where the pads' flushes stand.
#[derive(Debug, Default)]
pub struct Flushes {
    /// Flushing seeks that are on their way upstream.
    seeks: usize,
    pads: Vec<Pad>,
    /// The flush that was last over on some pad, and when that was.
    last: Option<(Seqnum, Instant)>,
}

#[derive(Debug)]
struct Pad {
    name: glib::GString,
    flushing: bool,
    stopped: Option<Seqnum>,
}

impl Flushes {
    /// A flushing seek sets out.
    pub fn seek(&mut self) {
        self.seeks += 1;
    }

    /// A flushing seek has been everywhere.
    pub fn seek_done(&mut self) {
        self.seeks = self.seeks.saturating_sub(1);
    }

    /// A pad's flush starts.
    pub fn start(&mut self, pad: glib::GString) {
        self.pad(pad).flushing = true;
    }

    /// A pad's flush is over.
    pub fn stop(&mut self, pad: glib::GString, seqnum: Seqnum) {
        let pad = self.pad(pad);
        pad.flushing = false;
        pad.stopped = Some(seqnum);
        self.last = Some((seqnum, Instant::now()));
    }

    /// A pad is gone.
    pub fn forget(&mut self, pad: &str) {
        self.pads.retain(|p| p.name != pad);
    }

    /// The last flush was of one pad alone.
    pub fn settle(&mut self) {
        self.last = None;
    }

    /// Whether a flush has not been on all of these pads yet.
    pub fn under_way(&mut self, pads: &[glib::GString]) -> bool {
        if self.seeks > 0 || self.pads.iter().any(|pad| pad.flushing) {
            return true;
        }
        let Some((seqnum, when)) = self.last else {
            return false;
        };
        let everywhere = pads.iter().all(|name| {
            self.pads
                .iter()
                .any(|pad| pad.name == *name && pad.stopped == Some(seqnum))
        });
        if everywhere || when.elapsed() >= GRACE {
            self.last = None;
        }
        self.last.is_some()
    }

    fn pad(&mut self, name: glib::GString) -> &mut Pad {
        let index = self
            .pads
            .iter()
            .position(|pad| pad.name == name)
            .unwrap_or_else(|| {
                self.pads.push(Pad {
                    name,
                    flushing: false,
                    stopped: None,
                });
                self.pads.len() - 1
            });
        &mut self.pads[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_under_way_until_every_pad_has_had_it() {
        let pads = ["ultrawide", "wide"].map(glib::GString::from);
        let [ultrawide, wide] = pads.clone();
        let mut flushes = Flushes::default();
        assert!(!flushes.under_way(&pads));
        let seqnum = Seqnum::next();
        flushes.start(ultrawide.clone());
        assert!(flushes.under_way(&pads));
        flushes.stop(ultrawide.clone(), seqnum);
        assert!(flushes.under_way(&pads), "the other pad's may follow");
        flushes.start(wide.clone());
        assert!(flushes.under_way(&pads));
        flushes.stop(wide.clone(), seqnum);
        assert!(!flushes.under_way(&pads));

        flushes.stop(wide.clone(), Seqnum::next());
        assert!(flushes.under_way(&pads));
        flushes.settle();
        assert!(!flushes.under_way(&pads));
        flushes.stop(wide.clone(), Seqnum::next());
        std::thread::sleep(GRACE);
        assert!(!flushes.under_way(&pads), "it was alone");

        flushes.seek();
        assert!(flushes.under_way(&pads));
        flushes.seek_done();
        flushes.start(wide.clone());
        flushes.forget(&wide);
        assert!(!flushes.under_way(&pads));
    }
}
