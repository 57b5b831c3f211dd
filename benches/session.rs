//! The session against the plain form, one output frame each: `cargo bench -p refvsr`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use refvsr::{
    ModelConfig, Network, Session, SessionOptions, Triplet,
    net::{Frame, Run},
};
use tch::{Device, Kind, Tensor};

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
    let window = vec![Frame { lr: &lr, references: &references }; network.config().frame_num];
    let (_, kept) = tch::no_grad(|| network.forward(&window, None, Run::Streaming)).expect("a frame");
    group.bench_function(BenchmarkId::from_parameter("plain"), |b| {
        b.iter(|| tch::no_grad(|| network.forward(&window, Some(&kept), Run::Streaming)).expect("a frame"));
    });

    let options = SessionOptions { reset_interval: None, ..Session::options_of(&network) };
    let mut session = Session::new(network, options).expect("a session");
    let mut step = || {
        session.send(Triplet { ultrawide: lr.shallow_clone(), wide: Some(wide.shallow_clone()), tele: None }).expect("room");
        session.receive().expect("a frame")
    };
    while step().is_none() {}
    group.bench_function(BenchmarkId::from_parameter("session"), |b| b.iter(&mut step));
    group.finish();
}

criterion_group!(benches, one_frame);
criterion_main!(benches);
