//! Small data sets made on the spot.
#![allow(dead_code)] // each test file uses its own part

use refvsr::{
    ModelConfig, Network,
    checkpoint::Tensors,
    config::{FLOW_LEVELS, Recurrence, Variant},
};
use refvsr_train::{
    data::{
        png::{self, Picture},
        tree::{Density, Lens, frame_name},
    },
    score::ScoreOptions,
};
use std::{
    ffi::OsString,
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};
use tch::Device;

/// A pixel that tells where it is: lens, frame and position can be read off it.
pub fn pixel(lens: Lens, frame: usize, x: usize, y: usize) -> [u8; 3] {
    [x as u8, y as u8, (lens.zoom() * 20 + frame) as u8]
}

/// A clip in all nine folders; `full` is the size of HR frames.
pub fn clip(root: &Path, split: &str, name: &str, frames: usize, full: (usize, usize)) {
    for density in Density::ALL {
        for lens in Lens::ALL {
            let folder = root
                .join(split)
                .join(density.folder())
                .join(lens.folder())
                .join(name);
            fs::create_dir_all(&folder).unwrap();
            let (width, height) = (full.0 / density.scale(), full.1 / density.scale());
            for frame in 0..frames {
                let data = (0..height)
                    .flat_map(|y| (0..width).flat_map(move |x| pixel(lens, frame, x, y)))
                    .collect();
                png::write(
                    &folder.join(frame_name(frame)),
                    &Picture {
                        width,
                        height,
                        data,
                    },
                )
                .unwrap();
            }
        }
    }
}

/// fp32 tensors as `torch.save` wrote them before 1.6, in a dictionary of the given name if one is given.
pub fn legacy(tensors: &Tensors, inside: Option<&str>) -> Vec<u8> {
    let text = |t: &str| {
        [
            b"X".as_slice(),
            &(t.len() as u32).to_le_bytes(),
            t.as_bytes(),
        ]
        .concat()
    };
    let number = |n: i64| [b"J".as_slice(), &(n as i32).to_le_bytes()].concat();
    let tuple = |n: &[i64]| {
        [
            b"(".to_vec(),
            n.iter().flat_map(|&n| number(n)).collect(),
            b"t".to_vec(),
        ]
        .concat()
    };
    let mut file =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend([b"\x80\x02}(".as_slice(), &text("little_endian"), b"\x88u."].concat());
    file.extend(b"\x80\x02");
    if let Some(name) = inside {
        file.extend([b"}".as_slice(), &text(name)].concat());
    }
    file.extend(b"}(");
    for (n, (name, tensor)) in tensors.iter().enumerate() {
        let size = tensor.size();
        let stride: Vec<i64> = (0..size.len())
            .map(|d| size[d + 1..].iter().product())
            .collect();
        file.extend(
            [
                text(name),
                b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
                text("storage"),
            ]
            .concat(),
        );
        file.extend(
            [
                b"ctorch\nFloatStorage\n".to_vec(),
                text(&n.to_string()),
                text("cpu"),
                number(tensor.numel() as i64),
            ]
            .concat(),
        );
        file.extend(
            [
                b"NtQK\x00".to_vec(),
                tuple(&size),
                tuple(&stride),
                b"\x89NtR".to_vec(),
            ]
            .concat(),
        );
    }
    file.extend(if inside.is_some() {
        b"us.".as_slice()
    } else {
        b"u."
    });
    file.extend(b"\x80\x02](");
    (0..tensors.len()).for_each(|n| file.extend(text(&n.to_string())));
    file.extend(b"e.");
    for tensor in tensors.values() {
        let mut bytes = vec![0; tensor.numel() * 4];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        file.extend((tensor.numel() as u64).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// What follows `refvsr-train` to train a network so small that a step takes milliseconds, on the data in `root`.
pub fn tiny_run(root: &Path, run: &Path, overrides: &[&str]) -> Vec<String> {
    let (root, run) = (
        format!("data.root={}", root.display()),
        run.display().to_string(),
    );
    let tiny = [
        "device=cpu",
        &root,
        "model.mid_channels=4",
        "model.num_blocks=1",
        "data.patch=8",
        "data.windows=2",
        "data.workers=1",
        "start.zero=[]",
        "optimiser.frozen=[]",
        "validation.clips=0",
    ];
    let overrides = tiny
        .iter()
        .chain(overrides)
        .flat_map(|value| ["--set", value]);
    ["pretrain", "tiny", "--run", &run]
        .into_iter()
        .chain(overrides)
        .map(str::to_owned)
        .collect()
}

/// The steps that a run's log tells of, in order.
pub fn logged_steps(run: &Path) -> Vec<serde_json::Value> {
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap_or_default();
    // The last line may be half written.
    let entries = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    entries.filter(|entry| entry["event"] == "step").collect()
}

/// Waits for a condition, a minute at most (machines may be busy).
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "waited for {what} in vain"
        );
        sleep(Duration::from_millis(2));
    }
}

/// What `refvsr-train score` is asked for by these words.
pub fn score_options(words: impl IntoIterator<Item = OsString>) -> ScoreOptions {
    #[derive(clap::Parser)]
    struct Score {
        #[command(flatten)]
        options: ScoreOptions,
    }
    let words = std::iter::once("score".into()).chain(words);
    <Score as clap::Parser>::try_parse_from(words)
        .unwrap()
        .options
}

/// A registered network of one residual block and 64 channels, drawn anew.
pub fn registered(seed: i64) -> Network {
    tch::manual_seed(seed);
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: 64,
        num_blocks: 1,
        frame_num: 3,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    };
    Network::new(config, Device::Cpu).unwrap()
}

/// Two photos of smooth textures.
pub fn photos(folder: &Path) {
    for (name, width, height, fine) in [("a.png", 160, 120, 9.0), ("b/c.png", 128, 144, 5.0)] {
        let data = (0..width * height * 3).map(|i| {
            let (x, y) = ((i / 3 % width) as f64, (i / 3 / width) as f64);
            let wave = ((x + (i % 3) as f64) / fine).sin() * (y / (fine + 2.0)).cos();
            (128.0 + 100.0 * wave) as u8
        });
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let picture = Picture {
            width,
            height,
            data: data.collect(),
        };
        png::write(&path, &picture).unwrap();
    }
}
