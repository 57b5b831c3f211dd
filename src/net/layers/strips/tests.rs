//! Tests.

use super::*;
use tch::{Device, Kind};

const LARGEST: Largest = Largest {
    channels: 8,
    factor: 4,
    width: 96,
};

fn whole(of: i64) -> Rows {
    Rows {
        first: 0,
        count: of,
        of,
    }
}

#[test]
fn strips_cover_every_row_once_and_start_at_whole_units() {
    let cases = [1, 7, 64, 270, 1080].map(whole).into_iter().chain([Rows {
        first: 8,
        count: 97,
        of: 110,
    }]);
    for (rows, halo) in cases.flat_map(|rows| [(rows, HALO), (rows, PART_HALO)]) {
        for bytes in [1, 1 << 20, 8 << 20, 1 << 40] {
            let limit = Limit {
                bytes,
                least_rows: 16,
            };
            let all = strips(rows, LARGEST, limit, halo);
            let mut next = rows.first;
            for s in &all {
                assert_eq!((s.first + s.above, (next - rows.first) % UNIT), (next, 0));
                assert!(s.above == halo || s.first == 0);
                let below = s.first + s.rows - next - s.kept;
                assert!(
                    below == halo || s.first + s.rows == rows.of,
                    "{s:?} of {rows:?}"
                );
                next += s.kept;
            }
            assert_eq!(next, rows.first + rows.count);
        }
    }
}

#[test]
fn a_network_in_strips_gives_the_picture_of_the_whole() {
    use crate::{
        ModelConfig, Network,
        net::{Frame, Run},
    };
    for hd in [false, true] {
        tch::manual_seed(8);
        let config = ModelConfig {
            mid_channels: if hd { 8 } else { 32 },
            num_blocks: 1,
            hd,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let network = Network::new(config, Device::Cpu).unwrap();
        let rand = || Tensor::rand([1, 3, 96, 24], (Kind::Float, Device::Cpu));
        let (frames, wide) = ([rand(), rand()], [rand(), rand()]);
        let references: Vec<[&Tensor; 1]> = wide.iter().map(|w| [w]).collect();
        let window: Vec<Frame<'_>> = (frames.iter().zip(&references))
            .map(|(lr, references)| Frame { lr, references })
            .collect();
        let cut = Limit {
            bytes: 1,
            least_rows: 16,
        };
        let picture = |limit| {
            LIMIT_HERE.set(limit);
            let out = tch::no_grad(|| network.forward_about(&window, 0, None, Run::Streaming));
            LIMIT_HERE.set(LIMIT);
            out.unwrap().0
        };
        let (whole, cut) = (picture(LIMIT), picture(cut));
        let off = (whole - cut).abs().max().double_value(&[]);
        assert!(off <= 1e-6, "hd {hd}: off by {off:.1e}");
    }
}

#[test]
fn the_registered_variant_in_strips_gives_the_picture_of_the_whole() {
    use crate::{
        ModelConfig, Network,
        config::{Recurrence, Variant},
        net::{
            layers::rectangle::Rectangle,
            registered::{Details, fusion::Detail},
        },
    };
    tch::manual_seed(9);
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: 8,
        num_blocks: 1,
        recurrence: Recurrence::Clean,
        ..ModelConfig::preset("refvsr-mfid").unwrap()
    };
    let network = Network::new(config, Device::Cpu).unwrap();
    for (name, mut weights) in network.weights().variables() {
        if name.contains("_fusion.conv3") || name.contains("_carrier.") {
            tch::no_grad(|| weights.copy_(&(weights.rand_like() * 0.1)));
        }
    }
    let rand = |shape: [i64; 4]| Tensor::rand(shape, (Kind::Float, Device::Cpu));
    // Neither field starts or ends where a strip does.
    let detail = |density: i64, top: i64, height: i64| {
        let (h, w) = (density * height, density * 16);
        let input = rand([1, 12, h, w]);
        let _ = input.narrow(1, 11, 1).fill_(1.0);
        Some(Detail {
            input,
            field: Rectangle {
                top,
                left: 4,
                height,
                width: 16,
            },
            density,
        })
    };
    let details = Details {
        wide: detail(2, 13, 70),
        tele: detail(4, 41, 22),
    };
    let (joined, frame) = (rand([1, 8, 96, 24]), rand([1, 3, 96, 24]));
    let net = network.registered().unwrap();
    let picture = |details: &Details, least_rows| {
        LIMIT_HERE.set(Limit {
            bytes: 1,
            least_rows,
        });
        let out = tch::no_grad(|| net.enlarged(&joined, &frame, details));
        LIMIT_HERE.set(LIMIT);
        let out = out.unwrap();
        (out.picture, out.carried.onto(&joined).unwrap())
    };
    let off = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
    let (whole, cut) = (picture(&details, 96), picture(&details, 16));
    for (whole, cut) in [(&whole.0, &cut.0), (&whole.1, &cut.1)] {
        assert!(off(whole, cut) <= 1e-6, "off by {:.1e}", off(whole, cut));
    }
    let without = picture(&Details::default(), 96);
    assert!(
        off(&whole.0, &without.0) > 1e-3,
        "the references add something"
    );
    assert!(without.1.equal(&joined), "nothing is carried");
    // What is carried lies in the wide camera's field, and is the same without the picture.
    let carried = &whole.1 - &joined;
    let field = carried.narrow(2, 13, 70).narrow(3, 4, 16);
    let sum = |t: &Tensor| t.abs().sum(Kind::Double).double_value(&[]);
    assert!(sum(&field) > 1.0 && (sum(&carried) - sum(&field)).abs() < 1e-3);
    let wide = details.wide.as_ref().unwrap();
    let alone = tch::no_grad(|| net.with_carried(&joined, &joined, wide)).unwrap();
    assert!(off(&alone, &whole.1) <= 1e-6);
}

#[test]
fn a_chain_of_convolutions_in_strips_equals_the_whole() {
    tch::manual_seed(2);
    let rand = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let (x, weight) = (rand(&[1, 4, 2 * 91, 30]), rand(&[4, 4, 3, 3]) * 0.2);
    let convolved = |x: Tensor| {
        (0..13).fold(x, |x, _| {
            x.conv2d::<Tensor>(&weight, None, [1, 1], [1, 1], [1, 1], 1)
        })
    };
    let uncut = convolved(x.shallow_clone());
    let limit = Limit {
        bytes: 1 << 17,
        least_rows: 16,
    };
    let largest = Largest {
        channels: 4,
        width: 15,
        ..LARGEST
    };
    let all = strips(whole(91), largest, limit, HALO);
    assert!(all.len() > 2);
    let joined = join(&all, 2, &mut |s| s.kept(&convolved(s.of(&x, 2)?), 2)).unwrap();
    assert_eq!(joined.size(), uncut.size());
    let off = (joined - &uncut).abs().max().double_value(&[]);
    assert!(
        off <= 1e-5 * uncut.abs().max().double_value(&[]),
        "off by {off:.1e}"
    );
}
