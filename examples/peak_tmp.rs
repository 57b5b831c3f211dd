#[path = "../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;
use refvsr::*;
use tch::{Device, Kind, Tensor};
fn hwm(what: &str) {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    let f = |k: &str| {
        s.lines()
            .find(|l| l.starts_with(k))
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
            / 1024.0
    };
    eprintln!(
        "{what}: hwm {:.0} rss {:.0} waiting {:.0}",
        f("VmHWM"),
        f("VmRSS"),
        memory::waiting() as f64 / 1048576.0
    );
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
fn main() {
    let step = std::env::args().nth(1).unwrap().parse().unwrap();
    let fast = std::env::args().nth(2).unwrap() == "fast";
    memory::reuse();
    hwm("start");
    let network = common::network(ModelConfig {
        frame_num: 7,
        ..ModelConfig::preset("refvsr-small-mfid").unwrap()
    });
    let options = SessionOptions {
        precision: if fast {
            Precision::Fp32Fast
        } else {
            Precision::Fp32
        },
        matching_step: Some(step),
        reset_interval: None,
        backward_group: Some(1),
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).unwrap();
    hwm("network");
    for i in 0..5 {
        let p = || Tensor::rand([1, 3, 270, 480], (Kind::Float, Device::Cpu));
        session
            .send(Triplet {
                ultrawide: p(),
                wide: Some(p()),
                tele: None,
            })
            .unwrap();
        hwm(&format!("send {i}, session {}", session.memory() >> 20));
        while session.receive().unwrap().is_some() {
            hwm("receive");
        }
    }
}
