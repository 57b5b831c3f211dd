//! Registration against warps that are known to the pixel.

mod common;
mod rig;

use refvsr::net::{
    flow::SpyNet,
    registered::registration::{
        Follower, Placement, Registered, TELE_ZOOMS, Track, WIDE_ZOOMS, Zooms, at_density,
        register, search,
    },
};
use rig::{Rig, Shot, flow_net, grid, leaves, sample};
use tch::{Device, Kind, Tensor};

/// Distances in ultra-wide pixels between where the reference's pixels lie and where registration
/// puts them, least first.
fn errors(shot: &Shot, zoom: f64, brought: &Tensor, density: i64, track: &Track) -> Vec<f64> {
    let size = |t: &Tensor| (t.size()[2], t.size()[3]);
    let (ultrawide, full) = (size(&shot.frame), size(brought));
    let (h, w) = ultrawide;
    let small = (
        full.0 as f64 / density as f64,
        full.1 as f64 / density as f64,
    );
    let moved = grid(h, w) + track.flow.as_ref().unwrap();
    let similarity = track
        .placement
        .similarity(ultrawide, small, Device::Cpu)
        .unwrap();
    let found = similarity.apply(&moved).unwrap();
    // From the reference's place in the frame back to its own pixels.
    let d = density as f64;
    let found = sample(&found, &shot.seen, false) * d + (d - 1.0) / 2.0;
    let original = size(&shot.reference);
    let scale = Tensor::from_slice(&[
        original.1 as f32 / full.1 as f32,
        original.0 as f32 / full.0 as f32,
    ]);
    let found = (found + 0.5) * scale.view([1, 2, 1, 1]) - 0.5;
    let off = (found - grid(original.0, original.1)) / zoom;
    let off = off
        .square()
        .sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
        .sqrt();
    let (x, y) = (shot.seen.select(1, 0), shot.seen.select(1, 1));
    let in_frame = x
        .ge(0.0)
        .logical_and(&x.le((w - 1) as f64))
        .logical_and(&y.ge(0.0))
        .logical_and(&y.le((h - 1) as f64));
    let (sorted, _) = off.masked_select(&in_frame).sort(0, false);
    Vec::<f64>::try_from(sorted.to_kind(Kind::Double)).unwrap()
}

/// The likeliest placement of a shot's reference.
fn best(shot: &Shot, zooms: Zooms) -> Placement {
    let found = search(&shot.frame, &shot.reference, zooms).unwrap();
    found.first().expect("a placement").0
}

const RIGS: [Rig; 4] = [
    Rig {
        zoom: 1.8,
        degrees: 3.0,
        shift: (12.0, -4.0),
        parallax: 4.0,
        another_look: true,
    },
    Rig {
        zoom: 2.2,
        degrees: -3.0,
        shift: (-8.3, 9.1),
        parallax: 4.0,
        another_look: true,
    },
    Rig {
        zoom: 2.0,
        degrees: 0.0,
        shift: (0.4, -12.0),
        parallax: -4.0,
        another_look: true,
    },
    Rig {
        zoom: 1.93,
        degrees: 1.7,
        shift: (3.7, 5.2),
        parallax: 0.0,
        another_look: false,
    },
];

/// A reference that holds, what the next frame starts from, and the agreement.
struct Held {
    found: Registered,
    track: Track,
    agreement: f64,
}

/// `None` where it does not hold.
fn held(found: Option<Registered>) -> Option<Held> {
    let found = found?;
    let read = found.read().unwrap();
    let masked = found.laid.mask.sum(Kind::Double).double_value(&[]);
    assert!(
        read.is_some() || masked == 0.0,
        "it does not hold, but {masked} pixels of it count"
    );
    read.map(|(track, agreement)| Held {
        found,
        track,
        agreement,
    })
}

/// [`register`], as far as it holds.
fn registered(
    net: &SpyNet,
    frame: &Tensor,
    brought: &Tensor,
    density: i64,
    start: &Track,
) -> Option<Held> {
    held(register(net, frame, brought, density, start).unwrap())
}

/// Median, and what nine of ten lie under.
fn of_ten(sorted: &[f64]) -> (f64, f64) {
    (sorted[sorted.len() / 2], sorted[sorted.len() * 9 / 10])
}

#[test]
fn nothing_known_beforehand_is_found_to_a_tenth_of_a_pixel() {
    let (net, _weights) = flow_net();
    for (n, rig) in RIGS.into_iter().enumerate() {
        let name = format!("known warp {n}");
        let shot = rig.film(&name, &leaves(&name, 576, 1024));
        let placement = best(&shot, WIDE_ZOOMS);
        let brought = at_density(&shot.reference, (144, 256), placement.zoom, 2).unwrap();
        let found =
            registered(&net, &shot.frame, &brought, 2, &placement.into()).expect("a registration");
        let errors = errors(&shot, rig.zoom, &brought, 2, &found.track);
        let (median, p90) = of_ten(&errors);
        let zoom = found.track.placement.zoom;
        assert!(
            median <= 0.12 && p90 <= 0.3,
            "{rig:?}: {median:.3}, {p90:.3}"
        );
        assert!(
            (zoom / rig.zoom - 1.0).abs() <= 0.005,
            "{rig:?}: zoom {zoom}"
        );
    }
}

/// An easy rig's shot and its registration.
fn easy(name: &str) -> (Tensor, Shot, Held) {
    let (net, _weights) = flow_net();
    let picture = leaves(name, 576, 1024);
    let shot = RIGS[3].film(name, &picture);
    let brought = at_density(&shot.reference, (144, 256), RIGS[3].zoom, 2).unwrap();
    let start = Track::from(Placement {
        rotation: 0.02,
        ..Placement::centred(RIGS[3].zoom)
    });
    let found = registered(&net, &shot.frame, &brought, 2, &start).expect("a registration");
    (picture, shot, found)
}

#[test]
fn the_picture_is_what_the_frame_shows_at_twice_its_density() {
    let (
        picture,
        shot,
        Held {
            found, agreement, ..
        },
    ) = easy("density");
    let field = found.field;
    assert_eq!(
        found.laid.picture.size(),
        [1, 3, 2 * field.height, 2 * field.width]
    );
    assert_eq!(
        found.laid.mask.size(),
        [1, 1, 2 * field.height, 2 * field.width]
    );
    assert_eq!(found.laid.residual.size(), found.laid.mask.size());
    let here = |t: &Tensor| {
        t.narrow(2, 2 * field.top, 2 * field.height)
            .narrow(3, 2 * field.left, 2 * field.width)
    };
    let truth = here(&picture.internal_upsample_bicubic2d_aa([288, 512], false, None, None));
    let enlarged = here(&shot.frame.upsample_bicubic2d([288, 512], false, None, None));
    let error = |t: &Tensor| {
        ((t - &truth).square() * &found.laid.mask)
            .mean(Kind::Double)
            .double_value(&[])
    };
    let gain = 10.0 * (error(&enlarged) / error(&found.laid.picture)).log10();
    assert!(gain > 8.0, "{gain:.2} dB over the enlarged frame");
    let covered = found.laid.mask.mean(Kind::Double).double_value(&[]);
    assert!(covered > 0.7, "mask covers {covered:.2}");
    assert!(agreement > 0.9, "{agreement}");
}

#[test]
fn the_mask_leaves_out_what_only_the_reference_sees() {
    let (net, _weights) = flow_net();
    let shot = RIGS[3].film("hand", &leaves("hand", 576, 1024));
    let hand = leaves("a hand before the lens", 144, 256);
    let mut place = shot.reference.narrow(2, 40, 50).narrow(3, 90, 60);
    place.copy_(&hand.narrow(2, 0, 50).narrow(3, 0, 60));
    let mark = shot.reference.narrow(1, 0, 1).zeros_like();
    let _ = mark.narrow(2, 46, 38).narrow(3, 96, 48).fill_(1.0);
    let start = Track::from(Placement {
        rotation: 0.02,
        ..Placement::centred(1.93)
    });
    let brought = at_density(&shot.reference, (144, 256), 1.93, 2).unwrap();
    let found = registered(&net, &shot.frame, &brought, 2, &start)
        .expect("the rest still holds")
        .found;
    // Where the hand is in the frame: every pixel of the reference says where it lies.
    let (mut on, mut off) = (vec![], vec![]);
    let (rows, columns) = (found.laid.mask.size()[2], found.laid.mask.size()[3]);
    for (row, column) in (0..144)
        .step_by(4)
        .flat_map(|r| (0..256).step_by(4).map(move |c| (r, c)))
    {
        let at = |axis: i64, first: i64| {
            ((shot.seen.double_value(&[0, axis, row, column]) - first as f64 + 0.5) * 2.0) as i64
        };
        let (y, x) = (at(1, found.field.top), at(0, found.field.left));
        if !(8..rows - 8).contains(&y) || !(8..columns - 8).contains(&x) {
            continue;
        }
        let value = found.laid.mask.double_value(&[0, 0, y, x]);
        if mark.double_value(&[0, 0, row, column]) > 0.5 {
            on.push(value);
        } else if !(34..96).contains(&row) || !(84..156).contains(&column) {
            off.push(value);
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (on, off) = (mean(&on), mean(&off));
    assert!(
        on < 0.3 && off > 0.85,
        "{on:.2} on the hand, {off:.2} elsewhere"
    );
}

#[test]
fn what_is_not_there_is_not_found() {
    let (net, _weights) = flow_net();
    let shot = RIGS[3].film("one place", &leaves("one place", 576, 1024));
    let other = RIGS[3]
        .film("another", &leaves("another", 576, 1024))
        .reference;
    let plain = shot.reference.zeros_like() + 0.4;
    for (what, reference) in [("another place", &other), ("a plain wall", &plain)] {
        let (found, _) = Follower::new(WIDE_ZOOMS, 2)
            .next(&net, &shot.frame, Some(reference))
            .unwrap();
        assert!(found.is_none(), "{what}: {found:?}");
        let start = Track::from(Placement::centred(2.0));
        let found = registered(&net, &shot.frame, reference, 2, &start);
        assert!(found.is_none(), "{what}: {:?}", found.map(|f| f.agreement));
    }
    let far = Track::from(Placement {
        shift: (1000.0, 0.0),
        ..Placement::centred(2.0)
    });
    let found = register(&net, &shot.frame, &shot.reference, 2, &far).unwrap();
    assert!(found.is_none(), "outside the frame");
    let speck = shot.reference.narrow(2, 0, 1).narrow(3, 0, 1);
    let start = Track::from(Placement::centred(2.0));
    assert!(
        register(&net, &shot.frame, &speck, 2, &start)
            .unwrap()
            .is_none()
    );
    assert!(search(&speck, &speck, WIDE_ZOOMS).unwrap().is_empty());
}

/// How alike a rig's two pictures are once registered from the right place on, where more than half
/// of the reference shows something else. `None` where that does not hold.
fn covered(rig: Rig) -> Option<f64> {
    let (net, _weights) = flow_net();
    let shot = rig.film("covered", &leaves("covered", 576, 1024));
    let reference = shot.reference.copy();
    let (h, w) = (reference.size()[2], reference.size()[3]);
    let cover = leaves("cover", h, w * 9 / 16);
    reference.narrow(3, w / 4, w * 9 / 16).copy_(&cover);
    let start = Placement {
        shift: rig.shift,
        ..Placement::centred(rig.zoom)
    };
    let brought = at_density(&reference, (144, 256), rig.zoom, 2).unwrap();
    registered(&net, &shot.frame, &brought, 2, &start.into()).map(|found| found.agreement)
}

#[test]
fn a_camera_that_is_largely_covered_is_believed_where_lenses_look() {
    let ahead = covered(RIGS[3]).expect("a registration");
    assert!((0.35..0.5).contains(&ahead), "{ahead}");
    let aside = Rig {
        shift: (45.0, 5.2),
        ..RIGS[3]
    };
    assert_eq!(covered(aside), None);
}

#[test]
fn the_tele_camera_is_found_and_registered_at_four_times_the_density() {
    let (net, _weights) = flow_net();
    let rig = Rig {
        zoom: 4.9,
        degrees: -1.5,
        shift: (6.0, 4.5),
        parallax: 1.0,
        another_look: true,
    };
    let shot = rig.film("tele", &leaves("tele", 720, 1280));
    let placement = best(&shot, TELE_ZOOMS);
    let brought = at_density(&shot.reference, (180, 320), placement.zoom, 4).unwrap();
    let found =
        registered(&net, &shot.frame, &brought, 4, &placement.into()).expect("a registration");
    let (median, p90) = of_ten(&errors(&shot, rig.zoom, &brought, 4, &found.track));
    assert!(median <= 0.12 && p90 <= 0.3, "{median:.3}, {p90:.3}");
    let zoom = found.track.placement.zoom;
    assert!((zoom / rig.zoom - 1.0).abs() <= 0.01, "zoom {zoom}");
    let Registered { laid, field, .. } = found.found;
    assert_eq!(laid.picture.size()[3], 4 * field.width);
}

#[test]
fn a_field_as_small_as_a_window_is_registered_up_to_its_edges() {
    let (net, _weights) = flow_net();
    let rig = Rig {
        zoom: 5.0,
        degrees: 0.5,
        shift: (1.0, -0.6),
        parallax: 0.5,
        another_look: true,
    };
    // 32 x 18 pixels of the frame, where windows of local means reach 24 to each side. What the
    // leaves show is little beside light and shade, which go on beyond the field.
    let shade =
        (grid(360, 640).narrow(1, 0, 1) * 0.04 + grid(360, 640).narrow(1, 1, 1) * 0.05).sin() * 0.3
            + 0.5;
    for name in ["small field 0", "small field 1", "small field 2"] {
        let picture = (leaves(name, 360, 640) - 0.5) * 0.2 + &shade;
        let shot = rig.film(name, &picture);
        let brought = at_density(&shot.reference, (90, 160), rig.zoom, 4).unwrap();
        let start = Placement::centred(rig.zoom).into();
        let found = registered(&net, &shot.frame, &brought, 4, &start).expect("a registration");
        let (median, p90) = of_ten(&errors(&shot, rig.zoom, &brought, 4, &found.track));
        assert!(
            median <= 0.12 && p90 <= 0.3,
            "{name}: {median:.3}, {p90:.3}"
        );
    }
}

#[test]
fn the_next_frame_goes_on_from_the_last_one() {
    let (net, _weights) = flow_net();
    let picture = leaves("following", 576, 1024);
    let mut track = Track::from(Placement::centred(2.0));
    // A hand that shakes, and a lens that breathes.
    for (n, (zoom, degrees, x)) in [(2.0, 0.2, 1.0), (2.02, 0.6, 2.5), (2.03, 0.3, 4.0)]
        .into_iter()
        .enumerate()
    {
        let rig = Rig {
            zoom,
            degrees,
            shift: (x, -1.0),
            parallax: 3.0,
            another_look: true,
        };
        let shot = rig.film("following", &picture);
        let brought = at_density(&shot.reference, (144, 256), 2.0, 2).unwrap();
        let found = registered(&net, &shot.frame, &brought, 2, &track).expect("a registration");
        track = found.track;
        let (median, p90) = of_ten(&errors(&shot, zoom, &brought, 2, &track));
        assert!(
            median <= 0.12 && p90 <= 0.3,
            "frame {n}: {median:.3}, {p90:.3}"
        );
        assert!(
            (track.placement.zoom / zoom - 1.0).abs() <= 0.005,
            "frame {n}: {:?}",
            track.placement
        );
    }
}

#[test]
fn a_camera_that_has_jumped_is_cut_at_its_former_field() {
    let (net, _weights) = flow_net();
    let shot = RIGS[3].film("jump", &leaves("jump", 576, 1024));
    let brought = at_density(&shot.reference, (144, 256), RIGS[3].zoom, 2).unwrap();
    let before = Placement {
        shift: (RIGS[3].shift.0 - 7.0, RIGS[3].shift.1),
        ..Placement::centred(RIGS[3].zoom)
    };
    let Held { found, track, .. } =
        registered(&net, &shot.frame, &brought, 2, &before.into()).expect("a registration");
    let (x, y) = track.placement.shift;
    let off = (x - RIGS[3].shift.0).hypot(y - RIGS[3].shift.1);
    assert!(off < 0.3, "{:?}", track.placement);
    let mask = found.laid.mask;
    let (h, w) = (mask.size()[2], mask.size()[3]);
    for (dim, at) in [(2, 0), (2, h - 1), (3, 0), (3, w - 1)] {
        let side = mask.narrow(dim, at, 1).max().double_value(&[]);
        assert!(side < 0.3, "side {at} of dimension {dim}: {side}");
    }
    assert!(mask.mean(Kind::Double).double_value(&[]) > 0.6);
}

#[test]
fn numbers_that_overflow_stay_out() {
    let (net, _weights) = flow_net();
    let shot = RIGS[3].film("overflow", &leaves("overflow", 576, 1024));
    let start = Placement::centred(2.0).into();
    let found = register(&net, &shot.frame, &(&shot.reference * 1e30), 2, &start).unwrap();
    let laid = &found.as_ref().expect("it lies in the frame").laid;
    for part in [&laid.picture, &laid.mask, &laid.residual] {
        assert_eq!(part.abs().max().double_value(&[]), 0.0);
    }
    assert!(held(found).is_none());
}

#[test]
fn a_reference_that_would_take_all_memory_is_refused() {
    let tall = Tensor::zeros([1, 3, 4000, 10], (Kind::Float, Device::Cpu));
    let error = at_density(&tall, (144, 256), 2.0, 2)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("10x4000 at zoom 2, which makes 256x102400") && error.contains("32 times"),
        "{error}"
    );
}

#[test]
fn a_zoom_nearly_known_is_enough_to_search_about() {
    let shot = RIGS[1].film("about", &leaves("about", 576, 1024));
    let placement = best(&shot, Zooms::about(2.0));
    assert!((placement.zoom / 2.2 - 1.0).abs() < 0.03, "{placement:?}");
    let (net, _weights) = flow_net();
    let (found, _) = Follower::new(Zooms::about(3.2), 2)
        .next(&net, &shot.frame, Some(&shot.reference))
        .unwrap();
    assert!(found.is_none(), "not at this zoom: {found:?}");
}
