//! What a model file may take of memory, libtorch's included. One test, because it is the whole process's.
#![cfg(target_os = "linux")]

use refvsr::{
    ModelConfig, Network,
    checkpoint::save,
    config::{FLOW_LEVELS, Recurrence, Variant},
    memory,
};
use std::{fmt::Write, fs, io::Write as _};
use tch::{Device, Kind};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Bytes of memory that this process held at its most since [`forget_peak`].
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<usize>().unwrap() << 10
}

fn forget_peak() {
    memory::trim();
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Loads a file; how many times its size that took, and what was said.
fn load(bytes: &[u8]) -> (f64, Result<Network, String>) {
    forget_peak();
    let before = peak();
    let network = Network::from_bytes(bytes, "claims.pth", Device::Cpu);
    let taken = peak().saturating_sub(before);
    let network = network.map_err(|error| error.to_string());
    (taken as f64 / bytes.len() as f64, network)
}

/// A safetensors file of such entries, and so many bytes of data.
fn safetensors(entries: &[String], data: usize) -> Vec<u8> {
    let header = format!("{{{}}}", entries.join(","));
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; data]].concat()
}

fn entry(name: &str, kind: &str, shape: &[usize], (start, end): (usize, usize)) -> String {
    format!(r#""{name}":{{"dtype":"{kind}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
}

fn registered(channels: i64) -> ModelConfig {
    ModelConfig {
        variant: Variant::Registered,
        mid_channels: channels,
        num_blocks: 1,
        frame_num: 1,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    }
}

#[test]
fn a_file_takes_a_small_multiple_of_its_size() {
    // Libraries and threads, once.
    drop(Network::new(registered(8), Device::Cpu).unwrap());
    let mib = 10 << 20;

    // Bytes in plenty, as if they were the trunks of a network with 512 channels.
    let numbers = |trunk: &str| {
        let entries = [
            entry("conv_hr.weight", "U8", &[512, 1, 1, 1], (0, 512)),
            entry(
                &format!("{trunk}.main.0.weight"),
                "U8",
                &[512, 0],
                (512, 512),
            ),
            entry(
                &format!("{trunk}.main.2.0.conv1.weight"),
                "U8",
                &[1],
                (512, 513),
            ),
            entry("numbers", "U8", &[mib], (513, 513 + mib)),
        ];
        safetensors(&entries, 513 + mib)
    };
    // Names without end; a shape without end; entries of an archive without end.
    let names: Vec<String> = (0..70_000)
        .map(|n| entry(&format!("{n:x}"), "U8", &[0], (0, 0)))
        .collect();
    let dimensions = vec![1; 1 << 20];
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for n in 0..50_000 {
        archive.start_file(format!("{n:x}"), stored).unwrap();
    }
    archive.start_file("m/data.pkl", stored).unwrap();
    archive.write_all(b"\x80\x02}.").unwrap();
    let hostile = [
        ("numbers of RefVSR", numbers("forward_resblocks")),
        ("numbers of a registered one", numbers("forward_trunk")),
        ("names", safetensors(&names, 0)),
        (
            "dimensions",
            safetensors(&[entry("w", "U8", &dimensions, (0, 1))], 1),
        ),
        (
            "an archive's entries",
            archive.finish().unwrap().into_inner(),
        ),
    ];
    let mut told = String::new();
    for (what, file) in hostile {
        let (share, network) = load(&file);
        let said = network.expect_err(what);
        writeln!(told, "{what}: {share:.1} times; {said:.200}").unwrap();
        assert!(share < 16.0, "{told}");
    }

    // A real one, of the smallest numbers, without what may be missing.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    save(
        &Network::new(registered(160), Device::Cpu).unwrap(),
        &path,
        Kind::Half,
    )
    .unwrap();
    let file = fs::read(&path).unwrap();
    let whole = ::safetensors::SafeTensors::deserialize(&file).unwrap();
    let (_, header) = ::safetensors::SafeTensors::read_metadata(&file).unwrap();
    let kept = whole.iter().filter(|(name, _)| !name.contains("_fusion."));
    let kept = ::safetensors::serialize(kept, header.metadata().clone()).unwrap();
    let (share, network) = load(&kept);
    network.unwrap();
    assert!(share < 16.0, "{told}a real one: {share:.1} times");
    let cut = &kept[..kept.len() - 1];
    let (share, network) = load(cut);
    assert!(share < 16.0 && network.is_err(), "a cut one: {share:.1}");
}
