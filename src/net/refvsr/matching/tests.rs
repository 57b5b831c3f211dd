//! The matching: its search, and what it finds at every density.

use super::*;
use tch::Kind;

fn unit_rows(n: i64, seed: i64) -> Tensor {
    tch::manual_seed(seed);
    let x = Tensor::randn([n, 144], (Kind::Float, Device::Cpu));
    &x / x
        .square()
        .sum_dim_intlist([1].as_slice(), true, None)
        .sqrt()
}

/// The plain form: the whole score matrix.
fn whole(queries: &Tensor, keys: &Tensor) -> (Tensor, Tensor) {
    queries.matmul(keys).max_dim(1, false)
}

#[test]
fn any_chunking_finds_what_the_whole_matrix_holds() {
    let queries = unit_rows(211, 1);
    let keys = unit_rows(97, 2).transpose(0, 1).contiguous();
    let (score, index) = whole(&queries, &keys);
    for budget in [1, 7, 97, 98, 500, 1 << 24] {
        let found = best_index(&queries, &keys, budget).unwrap();
        assert!(found.equal(&index), "budget {budget}");
    }
    let (found_score, found) = best(&queries, &keys).unwrap();
    assert!(found.equal(&index));
    assert!((found_score - score).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn blocks_of_scores_fit_the_device() {
    let mib = |device| scores_at_a_time(device) * 4 / (1 << 20);
    assert_eq!((mib(Device::Cpu), mib(Device::Cuda(0))), (4, 256));
}

#[test]
fn the_first_of_equals_wins() {
    // One-hot rows, whose dot products have no rounding that could part equals.
    let queries = Tensor::eye_m(5, 144, (Kind::Float, Device::Cpu));
    let keys = Tensor::cat(&[&queries, &queries], 0).transpose(0, 1);
    let numbers = |index: Tensor| Vec::<i64>::try_from(index).unwrap();
    for budget in [3, 40, 1 << 24] {
        let index = best_index(&queries, &keys, budget).unwrap();
        assert_eq!(numbers(index), [0, 1, 2, 3, 4], "budget {budget}");
    }
    assert_eq!(numbers(best(&queries, &keys).unwrap().1), [0, 1, 2, 3, 4]);
}

#[test]
fn gradients_reach_both_halves_of_the_winning_pair() {
    let (queries, keys) = (
        unit_rows(6, 4).set_requires_grad(true),
        unit_rows(4, 5).set_requires_grad(true),
    );
    let (score, index) = best(&queries, &keys.transpose(0, 1)).unwrap();
    score.sum(Kind::Float).backward();
    assert!(queries.grad().equal(&keys.detach().index_select(0, &index)));
    let uses = index.bincount::<Tensor>(None, 4);
    for key in 0..4 {
        let touched = keys.grad().get(key).abs().max().double_value(&[]) > 0.0;
        assert_eq!(touched, uses.int64_value(&[key]) > 0);
    }
}

/// A network that matches by features as they are drawn: the same in every run, whatever other tests draw meanwhile.
fn drawn(draw: i64) -> FeatureMatch {
    let vs = tch::nn::VarStore::new(Device::Cpu);
    let config = ModelConfig::preset("refvsr-mfid").unwrap();
    let net = FeatureMatch::new(vs.root().into(), &config).unwrap();
    let mut names: Vec<_> = vs.variables().into_iter().collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    for (seed, (_, mut weight)) in names.into_iter().enumerate() {
        let shape = weight.size();
        let inputs = match shape[..] {
            [_, c, h, w] => c * h * w,
            _ => 600, // a bias
        };
        let numbers = Tensor::arange(weight.numel() as i64, (Kind::Double, Device::Cpu));
        let mixed = ((numbers + 1000 * (seed as i64 + 50 * draw)) * 12.9898).sin() * 43758.5453;
        let uniform = (&mixed - mixed.floor()) * 2.0 - 1.0;
        let values = uniform.view(&shape[..]) / (inputs as f64).sqrt();
        tch::no_grad(|| weight.copy_(&values));
    }
    net
}

/// A real picture of 256x256, RGB in \[0, 1\].
fn photo() -> Tensor {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/demo.png");
    let picture = tch::vision::image::load(file).unwrap();
    let picture = picture.narrow(0, 0, 3).unsqueeze(0).to_kind(Kind::Float) / 255.0;
    picture.narrow(2, 60, 256).narrow(3, 40, 256)
}

#[test]
fn blocks_of_a_moved_picture_are_found_where_it_moved() {
    let net = drawn(0);
    let lr = photo().narrow(2, 0, 96).narrow(3, 0, 120);
    // Twice the size and moved by 6 rows and -10 columns of positions.
    let reference = lr
        .roll([6, -10], [2, 3])
        .upsample_nearest2d([192, 240], None, None);
    let index = |step| {
        let found = tch::no_grad(|| net.forward(&lr, &[&reference, &reference], step));
        found.unwrap()
    };
    let expected = Tensor::arange(96 * 120, (Kind::Int64, Device::Cpu)).view([1, 1, 96, 120]);
    let inner = |t: &Tensor| t.view([96, 120]).narrow(0, 16, 64).narrow(1, 24, 80);
    let (rows, columns) = (&expected / 120, &expected.remainder(120));
    let expected = inner(&((rows.floor() + 6) * 120 + columns - 10)).to_kind(Kind::Int64);
    for step in [1, 2, 4, 8] {
        let found = index(step);
        let right = inner(&found.index)
            .eq_tensor(&expected)
            .to_kind(Kind::Float);
        let right = right.mean(Kind::Float).double_value(&[]);
        let sure = found.confidence.mean(Kind::Float).double_value(&[]);
        assert!(
            right > 0.93 && sure > 0.97,
            "step {step}: {right:.3} of the positions, {sure:.3} alike"
        );
    }
}

#[test]
fn a_photo_matched_in_blocks_resembles_the_frame_as_one_matched_at_full_density() {
    let whole = photo();
    let lr = whole.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
    // What a wide camera sees: the middle half, half a position beside the frame's own.
    let wide = whole.narrow(2, 61, 128).narrow(3, 67, 128);
    let pooled = wide.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
    let middle = |t: &Tensor| t.narrow(2, 36, 52).narrow(3, 38, 52);
    let quality = |net: &FeatureMatch, step| {
        let found = tch::no_grad(|| net.forward(&lr, &[&wide], step)).unwrap();
        let rows = pooled.view([3, -1]).index_select(1, &found.index);
        let borrowed = rows.view([1, 3, 128, 128]);
        let db = |a: &Tensor, b: &Tensor| crate::metrics::psnr(a, b).unwrap();
        [db(&borrowed, &lr), db(&middle(&borrowed), &middle(&lr))]
    };
    // Features as they are drawn find more or less of what looks alike, so that some are asked.
    let nets = [0, 1, 2, 3].map(drawn);
    let mean = |step| {
        let found = nets.each_ref().map(|net| quality(net, step));
        [0, 1].map(|part| found.iter().map(|q| q[part]).sum::<f64>() / nets.len() as f64)
    };
    let full = mean(1);
    for step in [2, 4] {
        // In view it finds what is there; outside there is nothing but what looks alike.
        let [all, in_view] = mean(step);
        assert!(
            in_view > full[1] - 1.0 && all > full[0] - 1.0,
            "step {step}: {all:.1} and {in_view:.1} dB, at full density {full:.1?}"
        );
    }
}

#[test]
fn no_step_leaves_less_than_two_blocks() {
    let net = drawn(0);
    let picture = |n| Tensor::rand([1, 3, n, n], (Kind::Float, Device::Cpu));
    for n in [8, 10, 34] {
        for step in reduced::STEPS {
            let found = net.forward(&picture(n), &[&picture(n)], step).unwrap();
            assert_eq!(found.index.size(), [n * n]);
            let highest = found.index.max().int64_value(&[]);
            assert!(found.index.min().int64_value(&[]) >= 0 && highest < n * n / 4);
        }
    }
}

#[test]
fn the_cost_is_that_of_the_search() {
    for (scale, hd) in [(4, false), (2, false), (4, true)] {
        let config = ModelConfig {
            scale,
            hd,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let vs = tch::nn::VarStore::new(Device::Cpu);
        let net = FeatureMatch::new(vs.root().into(), &config).unwrap();
        let (lr, wide) = (picture_of(32, 48), picture_of(32, 32));
        let positions = |picture, reference| {
            let features = net.features(picture, reference, 1).unwrap();
            let (h, w) = size(&features);
            h * w
        };
        let (queries, keys) = (positions(&lr, false), positions(&wide, true));
        let own = net.cost((32, 48), &[(32, 32)]);
        assert_eq!(
            own,
            (2 * 144 * queries * keys) as f64,
            "scale {scale}, hd {hd}"
        );
    }
    assert_eq!(reduced::step_for(1.2e12), 1);
    assert_eq!(reduced::step_for(3.1e14), 4);
}

fn picture_of(h: i64, w: i64) -> Tensor {
    Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu))
}
