//! Where a frame's time goes: seconds and floating-point operations by stage.
//!
//! Nothing is measured, and almost nothing spent, unless [`record`] is running on the thread. On a CUDA
//! device times are those of giving orders, not of the work itself.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

/// A part of the network's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Optical flow.
    Flow,
    /// Matching with the references.
    Matching,
    /// Laying references on the frame, without the optical flow in it.
    Registration,
    /// Features of the references.
    Encoders,
    /// Gathering and bending what was matched.
    Alignment,
    /// Moving the recurrent state along with the picture.
    Warping,
    /// The propagation trunks.
    Trunks,
    /// Fusing references into the branches.
    Fusion,
    /// Both branches joined into the output frame.
    Reconstruction,
    /// Everything else: copies, layout, colour.
    Other,
}

impl Stage {
    /// All, in the order of the work.
    pub const ALL: [Self; 10] = [
        Self::Flow,
        Self::Matching,
        Self::Registration,
        Self::Encoders,
        Self::Alignment,
        Self::Warping,
        Self::Trunks,
        Self::Fusion,
        Self::Reconstruction,
        Self::Other,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Matching => "matching",
            Self::Registration => "registration",
            Self::Encoders => "reference encoders",
            Self::Alignment => "alignment",
            Self::Warping => "warping",
            Self::Trunks => "trunks",
            Self::Fusion => "fusion",
            Self::Reconstruction => "reconstruction",
            Self::Other => "colour and copies",
        }
    }
}

/// What a stage took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// Wall time.
    pub time: Duration,
    /// Multiplications and additions of its convolutions and matrix products, counted by their direct
    /// form.
    pub flops: u64,
}

/// What each stage took.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    shares: [Share; Stage::ALL.len()],
    largest_piece: Share,
}

impl Profile {
    /// A stage's share.
    pub fn of(&self, stage: Stage) -> Share {
        self.shares[stage as usize]
    }

    /// The longest time and the most operations between two looks at the [stopper](crate::Stopper): how
    /// late a call stops at worst. The CPU kernels of this crate look all the time, so their work does
    /// not count. Zero where nothing looks.
    pub fn largest_piece(&self) -> Share {
        self.largest_piece
    }

    /// All stages together.
    pub fn total(&self) -> Share {
        self.shares
            .iter()
            .fold(Share::default(), |sum, share| Share {
                time: sum.time + share.time,
                flops: sum.flops + share.flops,
            })
    }
}

struct Recorder {
    profile: Profile,
    stage: Stage,
    since: Instant,
    /// When the stopper was last looked at, and the operations since.
    looked: Instant,
    flops_since: u64,
}

impl Recorder {
    /// Charges the time since the last change to the stage it was spent in.
    fn change(&mut self, stage: Stage) -> Stage {
        let now = Instant::now();
        self.profile.shares[self.stage as usize].time += now - self.since;
        self.since = now;
        std::mem::replace(&mut self.stage, stage)
    }
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

impl Profile {
    /// With what was recorded meanwhile.
    fn and(mut self, inner: &Self) -> Self {
        for (share, other) in self.shares.iter_mut().zip(&inner.shares) {
            share.time += other.time;
            share.flops += other.flops;
        }
        let (piece, other) = (&mut self.largest_piece, inner.largest_piece);
        piece.time = piece.time.max(other.time);
        piece.flops = piece.flops.max(other.flops);
        self
    }
}

/// Runs `work` and tells what its stages took on this thread. Records may lie in one another.
pub fn record<T>(work: impl FnOnce() -> T) -> (T, Profile) {
    /// Ends the record, also where `work` panics: the one about it goes on with what this one saw.
    struct End(Option<Recorder>);
    impl Drop for End {
        fn drop(&mut self) {
            let (now, seen) = (Instant::now(), recorded());
            RECORDER.replace(self.0.take().map(|outer| Recorder {
                profile: outer.profile.clone().and(&seen),
                since: now,
                looked: now,
                ..outer
            }));
        }
    }
    let now = Instant::now();
    let outer = RECORDER.take().map(|mut outer| {
        outer.change(outer.stage);
        outer
    });
    let _end = End(outer);
    RECORDER.replace(Some(Recorder {
        profile: Profile::default(),
        stage: Stage::Other,
        since: now,
        looked: now,
        flops_since: 0,
    }));
    let result = work();
    (result, recorded())
}

/// What the record under way has seen so far.
fn recorded() -> Profile {
    RECORDER.with_borrow_mut(|r| {
        r.as_mut().map_or_else(Profile::default, |recorder| {
            recorder.change(recorder.stage);
            recorder.profile.clone()
        })
    })
}

/// Until the guard goes, time counts for this stage.
pub(crate) fn stage(stage: Stage) -> Guard {
    Guard(RECORDER.with_borrow_mut(|r| r.as_mut().map(|recorder| recorder.change(stage))))
}

/// Puts the former stage back.
pub(crate) struct Guard(Option<Stage>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(former) = self.0 {
            RECORDER.with_borrow_mut(|r| r.as_mut().map(|recorder| recorder.change(former)));
        }
    }
}

/// Counts operations for the present stage; the number is asked for only where it is recorded.
pub(crate) fn add_flops(flops: impl FnOnce() -> u64) {
    RECORDER.with_borrow_mut(|r| {
        if let Some(recorder) = r {
            let flops = flops();
            recorder.profile.shares[recorder.stage as usize].flops += flops;
            recorder.flops_since += flops;
        }
    });
}

/// Says that the stopper is looked at, which ends a piece of work.
pub(crate) fn piece_ends() {
    RECORDER.with_borrow_mut(|r| {
        if let Some(recorder) = r {
            let piece = &mut recorder.profile.largest_piece;
            piece.time = piece.time.max(recorder.looked.elapsed());
            piece.flops = piece.flops.max(recorder.flops_since);
        }
    });
    piece_starts();
}

/// A piece of work starts here; what was done since the last one ended looked at the stopper itself, or
/// was not to be stopped.
pub(crate) fn piece_starts() {
    RECORDER.with_borrow_mut(|r| {
        if let Some(recorder) = r {
            (recorder.looked, recorder.flops_since) = (Instant::now(), 0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_operations_go_to_the_innermost_stage() {
        let ((), profile) = record(|| {
            let _trunks = stage(Stage::Trunks);
            add_flops(|| 5);
            {
                let _flow = stage(Stage::Flow);
                add_flops(|| 7);
                std::thread::sleep(Duration::from_millis(20));
            }
            add_flops(|| 1);
        });
        assert_eq!(profile.of(Stage::Trunks).flops, 6);
        assert_eq!(profile.of(Stage::Flow).flops, 7);
        assert_eq!(profile.total().flops, 13);
        assert!(profile.of(Stage::Flow).time >= Duration::from_millis(20));
        assert!(profile.of(Stage::Trunks).time < profile.of(Stage::Flow).time);
    }

    #[test]
    fn a_record_in_another_takes_nothing_from_it() {
        let (inner, outer) = record(|| {
            let _trunks = stage(Stage::Trunks);
            add_flops(|| 5);
            let ((), inner) = record(|| {
                let _flow = stage(Stage::Flow);
                add_flops(|| 7);
                std::thread::sleep(Duration::from_millis(20));
            });
            let panics = std::panic::catch_unwind(|| {
                record(|| {
                    add_flops(|| 2);
                    panic!("inside")
                })
            });
            assert!(panics.is_err());
            add_flops(|| 1);
            inner
        });
        let flops = |profile: &Profile| {
            [Stage::Trunks, Stage::Flow, Stage::Other].map(|stage| profile.of(stage).flops)
        };
        assert_eq!(flops(&inner), [0, 7, 0]);
        assert_eq!(flops(&outer), [6, 7, 2]);
        assert!(outer.of(Stage::Flow).time >= Duration::from_millis(20));
        add_flops(|| unreachable!("nothing records any more"));
    }

    #[test]
    fn a_piece_of_work_lasts_from_look_to_look() {
        let ((), profile) = record(|| {
            add_flops(|| 900); // before the work that can be stopped
            piece_starts();
            add_flops(|| 5);
            piece_ends();
            add_flops(|| 3);
            add_flops(|| 4);
            std::thread::sleep(Duration::from_millis(20));
            piece_ends();
            add_flops(|| 800); // by a kernel that looks itself
            piece_starts();
        });
        assert_eq!(profile.largest_piece().flops, 7);
        assert!(profile.largest_piece().time >= Duration::from_millis(20));
    }

    #[test]
    fn nothing_is_counted_where_nothing_records() {
        add_flops(|| unreachable!("no recorder asks"));
        let _guard = stage(Stage::Flow);
        assert_eq!(record(|| ()).1.total().flops, 0);
    }
}
