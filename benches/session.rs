//! The session against the plain form, one output frame each; and what a key frame's features cost, of which deformable convolutions are a part:
//! `cargo bench -p refvsr`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use refvsr::{
    ModelConfig, Network, Session, SessionOptions, Triplet,
    net::{Frame, Run, deform::DeformPack, edvr::Edvr},
};
use tch::{Device, Kind, Tensor, nn::VarStore};

fn picture(h: i64, w: i64) -> Tensor {
    Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu))
}

fn one_frame(c: &mut Criterion) {
    for preset in ["refvsr-small-mfid", "refvsr-ir-mfid"] {
        one_frame_of(c, preset);
    }
}

fn one_frame_of(c: &mut Criterion, preset: &str) {
    let (h, w) = (64, 80);
    let config = ModelConfig::preset(preset).expect("a preset");
    let mut group = c.benchmark_group(format!("{preset} {w}x{h}"));
    group.sample_size(10);

    let network = Network::new(config, Device::Cpu).expect("a network");
    let (lr, wide) = (picture(h, w), picture(h, w));
    let references = [&wide];
    let window = vec![
        Frame {
            lr: &lr,
            references: &references
        };
        network.config().frame_num
    ];
    let (_, kept) =
        tch::no_grad(|| network.forward(&window, None, Run::Streaming)).expect("a frame");
    group.bench_function(BenchmarkId::from_parameter("plain"), |b| {
        b.iter(|| {
            tch::no_grad(|| network.forward(&window, Some(&kept), Run::Streaming)).expect("a frame")
        });
    });

    let options = SessionOptions {
        reset_interval: None,
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).expect("a session");
    let mut step = || {
        session
            .send(Triplet {
                ultrawide: lr.shallow_clone(),
                wide: Some(wide.shallow_clone()),
                tele: None,
            })
            .expect("room");
        session.receive().expect("a frame")
    };
    while step().is_none() {}
    group.bench_function(BenchmarkId::from_parameter("session"), |b| {
        b.iter(&mut step)
    });
    group.finish();
}

/// One key frame takes twenty deformable convolutions: for each of five frames one at full, half and quarter size and one more at full size.
fn key_frame(c: &mut Criterion) {
    let (h, w) = (64, 80);
    let vs = VarStore::new(Device::Cpu);
    let edvr = Edvr::new(vs.root() / "edvr").expect("an extractor");
    let deform = DeformPack::new(vs.root() / "deform", 64).expect("a convolution");
    let levels: Vec<_> = (0..5)
        .map(|_| edvr.levels(&picture(h, w)).expect("levels"))
        .collect();
    let feature = Tensor::rand([1, 64, h, w], (Kind::Float, Device::Cpu));
    let mut group = c.benchmark_group(format!("key frame {w}x{h}"));
    group.sample_size(10);
    group.bench_function("features of five frames", |b| {
        b.iter(|| {
            tch::no_grad(|| edvr.forward(std::array::from_fn(|i| &levels[i]))).expect("features")
        });
    });
    group.bench_function("one deformable convolution", |b| {
        b.iter(|| tch::no_grad(|| deform.forward(&feature, &feature)).expect("a feature"))
    });
    group.finish();
}

criterion_group!(benches, one_frame, key_frame);
criterion_main!(benches);
