//! Memory goes back to the system once a large clip is over. One test, because it is the whole process's.
#![cfg(target_os = "linux")]

use refvsr::{
    ModelConfig, Network, Precision, Session, SessionOptions, Triplet,
    config::{FLOW_LEVELS, Recurrence, Variant},
    memory,
};
use tch::{Device, Kind, Tensor};

/// MiB of this process that lie in memory.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<f64>().unwrap() / 1024.0
}

fn play(session: &mut Session, side: i64) {
    let triplet = Triplet {
        ultrawide: Tensor::rand([1, 3, side, side], (Kind::Float, Device::Cpu)),
        wide: None,
        tele: None,
    };
    session.send(triplet).unwrap();
    assert!(session.receive().unwrap().is_frame());
}

#[test]
fn a_large_clips_memory_goes_back_to_the_system() {
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: 8,
        num_blocks: 1,
        frame_num: 1,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    };
    let network = Network::new(config, Device::Cpu).unwrap();
    let options = SessionOptions {
        backward_group: Some(1),
        precision: Precision::Fp32,
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).unwrap();
    play(&mut session, 32);
    let before = resident();
    session.reset();
    play(&mut session, 360);
    let large = resident() - before;
    assert!(large > 60.0, "no large clip: {large:.0} MiB");

    // A clip of the same size uses it again, one of another size has no use for it.
    session.reset();
    play(&mut session, 360);
    session.reset();
    assert!(resident() - before > large / 2.0, "given back too early");
    play(&mut session, 32);
    let small = resident() - before;
    assert!(small < large / 4.0, "{small:.0} of {large:.0} MiB stay");

    // A sibling that ends leaves the memory to the others; the last session gives it back.
    session.reset();
    play(&mut session, 360);
    drop(session.sibling());
    assert!(resident() - before > large / 2.0);
    drop(session);
    let left = resident() - before;
    assert!(left < large / 4.0, "{left:.0} of {large:.0} MiB stay");

    // Nor does a small tensor keep the region about it.
    let mib = |n: i64| Tensor::ones([n << 20], (Kind::Uint8, Device::Cpu));
    let (first, kept, last) = (mib(100), mib(2), mib(100));
    drop((first, last));
    let held = resident();
    memory::trim();
    let given = held - resident();
    assert!(given > 150.0, "{given:.0} MiB of 200 go back");
    assert_eq!(kept.min().int64_value(&[]), 1);
    let again = mib(100);
    assert_eq!(again.min().int64_value(&[]), 1);
}
