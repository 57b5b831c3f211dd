//! Model files: what is read, what is refused and in which words, and that no bytes at all lead to a panic.

mod common;

use common::{config, golden, network};
use proptest::prelude::*;
use refvsr::{
    Error, ModelConfig, Network,
    checkpoint::{self, Checkpoint},
    config::{PRESETS, Recurrence, Variant},
    error::CheckpointProblem,
};
use std::{collections::BTreeMap, io::Write, path::Path, sync::LazyLock};
use tch::{Device, Kind};
use zip::{ZipWriter, write::SimpleFileOptions};

static OFFICIAL: LazyLock<Vec<u8>> =
    LazyLock::new(|| std::fs::read(golden("official_format.pytorch")).unwrap());

/// The network of `bytes`, or what is wrong with them.
fn load(bytes: &[u8]) -> Result<Network, CheckpointProblem> {
    match Network::from_bytes(bytes, "some/model.pth", Device::Cpu) {
        Ok(network) => Ok(network),
        Err(error @ Error::Checkpoint { .. }) => {
            assert!(
                error.to_string().starts_with("model file some/model.pth: "),
                "{error}"
            );
            let Error::Checkpoint { problem, .. } = error else {
                unreachable!()
            };
            Err(problem)
        }
        Err(other) => panic!("not a checkpoint error: {other}"),
    }
}

fn message(bytes: &[u8]) -> String {
    load(bytes).unwrap_err().to_string()
}

/// A zip archive as `torch.save` writes it: nothing compressed.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(
            *name,
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
        )
        .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A pickle of protocol 2.
fn pickled(body: &[u8]) -> Vec<u8> {
    archive(&[("model/data.pkl", &[b"\x80\x02", body, b"."].concat())])
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        data,
    ]
    .concat()
}

#[test]
fn the_official_format_is_read_and_described() {
    let checkpoint = Checkpoint::parse(&OFFICIAL, Path::new("RefVSR.pytorch")).unwrap();
    let expected = ModelConfig {
        frame_num: 7,
        reset_interval: Some(9),
        ..config(4, false)
    };
    assert_eq!(checkpoint.config, expected);
    assert!(
        checkpoint
            .tensors()
            .contains_key("FlowNet.basic_module.0.basic_module.0.conv.weight")
    );
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    for (name, variable) in network.weights().variables() {
        assert!(
            variable.equal(&common::weight(&name, &variable.size())),
            "{name}"
        );
    }
}

#[test]
fn every_variants_keys_and_shapes_are_the_networks() {
    let hd = |c| ModelConfig { hd: true, ..c };
    let full = ModelConfig {
        mid_channels: 48,
        num_blocks: 30,
        ..config(4, false)
    };
    let cases = [
        ("x4", config(4, false)),
        ("x2", config(2, false)),
        ("hd_x4", hd(config(4, false))),
        ("full", full.clone()),
        (
            "ir",
            ModelConfig {
                variant: Variant::RefVsrIr,
                ..config(4, false)
            },
        ),
        (
            "small_full",
            ModelConfig {
                mid_channels: 24,
                num_blocks: 24,
                ..full
            },
        ),
    ];
    for (name, config) in cases {
        let text = std::fs::read(golden(&format!("state_dict_{name}.json"))).unwrap();
        let keys: BTreeMap<String, Vec<i64>> = serde_json::from_slice(&text).unwrap();
        let keys: BTreeMap<_, _> = keys
            .into_iter()
            .map(|(k, shape)| (k.strip_prefix("module.Network.").unwrap().to_owned(), shape))
            .filter(|(k, _)| !k.contains("sub_mean"))
            .collect();
        let network = Network::new(config, Device::Cpu).unwrap();
        let ours: BTreeMap<_, _> = network
            .weights()
            .variables()
            .into_iter()
            .map(|(k, v)| (k, v.size()))
            .collect();
        assert_eq!(ours, keys, "{name}");
    }
}

/// A safetensors file of empty-handed tensors: enough to read a config off.
fn described(name: &str, file: &str) -> ModelConfig {
    let text = std::fs::read(golden(&format!("state_dict_{name}.json"))).unwrap();
    let keys: BTreeMap<String, Vec<i64>> = serde_json::from_slice(&text).unwrap();
    let mut end = 0;
    let entries: Vec<String> = keys
        .iter()
        .map(|(name, shape)| {
            let start = end;
            end += shape.iter().product::<i64>();
            format!(r#""{name}":{{"dtype":"U8","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let bytes = safetensors(
        &format!("{{{}}}", entries.join(",")),
        &vec![0; end as usize],
    );
    Checkpoint::parse(&bytes, Path::new(file)).unwrap().config
}

#[test]
fn configs_are_read_off_the_shapes() {
    let preset = |name| ModelConfig::preset(name).unwrap();
    assert_eq!(
        described("full", "RefVSR_MFID.pytorch"),
        preset("refvsr-mfid")
    );
    assert_eq!(described("full", "RefVSR_L1.pytorch"), preset("refvsr-l1"));
    assert_eq!(described("full", "all1.pytorch"), preset("refvsr-mfid"));
    assert_eq!(
        described("small_full", "RefVSR_small_MFID.pytorch"),
        preset("refvsr-small-mfid")
    );
    assert_eq!(
        described("small_full", "RefVSR_small_L1.pytorch"),
        preset("refvsr-small-l1")
    );
    let unpublished = ModelConfig {
        frame_num: 7,
        reset_interval: Some(9),
        ..config(4, false)
    };
    assert_eq!(described("x4", "a"), unpublished);
    assert_eq!(
        described("x2", "a"),
        ModelConfig {
            scale: 2,
            ..unpublished.clone()
        }
    );
    assert_eq!(
        described("hd_x4", "a"),
        ModelConfig {
            hd: true,
            ..unpublished.clone()
        }
    );
    assert_eq!(
        described("ir", "a"),
        ModelConfig {
            variant: Variant::RefVsrIr,
            ..unpublished
        }
    );
    assert_eq!(PRESETS.len(), 8);
}

#[test]
fn safetensors_carry_their_config_and_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let config = ModelConfig {
        recurrence: Recurrence::Clean,
        frame_num: 5,
        reset_interval: Some(4),
        ..config(2, true)
    };
    let network = network(config.clone());
    checkpoint::save(&network, &path, Kind::Float).unwrap();
    let again = Network::load(&path, Device::Cpu).unwrap();
    assert_eq!(again.config(), &config);
    for (name, variable) in again.weights().variables() {
        assert!(
            variable.equal(&network.weights().variables()[&name]),
            "{name}"
        );
    }
    let full = std::fs::metadata(&path).unwrap().len();
    checkpoint::save(&network, &path, Kind::Half).unwrap();
    let half = std::fs::metadata(&path).unwrap().len();
    assert!((0.45..0.55).contains(&(half as f64 / full as f64)));
    Network::load(&path, Device::Cpu).unwrap();
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        1,
        "nothing temporary stays"
    );

    let part = folder.path().join("m.part");
    std::fs::write(&part, "somebody's").unwrap();
    checkpoint::save(&network, &path, Kind::Float).unwrap();
    assert_eq!(std::fs::read(&part).unwrap(), b"somebody's");
    for (_, mut variable) in network.weights().variables() {
        let _ = tch::no_grad(|| variable.fill_(1e6));
    }
    assert!(
        checkpoint::save(&network, &path, Kind::Half)
            .unwrap_err()
            .to_string()
            .contains("not finite"),
        "too large for half precision"
    );
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        2,
        "and no half-written file"
    );

    let nowhere = folder.path().join("no/such/folder/m.safetensors");
    assert!(
        checkpoint::save(&network, &nowhere, Kind::Float)
            .unwrap_err()
            .to_string()
            .contains("no/such/folder")
    );
}

#[test]
fn wrong_files_are_named_for_what_they_are() {
    assert!(
        matches!(load(b"").unwrap_err(), CheckpointProblem::UnknownFormat { found } if found.contains("empty"))
    );
    assert!(message(b"\x89PNG\r\n\x1a\n0000").contains("a picture"));
    assert!(message(b"\x80\x02}q\x00.").contains("bare pickle"));
    assert!(message(&archive(&[("word/document.xml", b"<x/>")])).contains("without 'data.pkl'"));
    let missing = Network::load(Path::new("no/such/file.pth"), Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("no/such/file.pth") && missing.contains("No such file"),
        "{missing}"
    );
    let folder = Network::load(Path::new(env!("CARGO_MANIFEST_DIR")), Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(folder.contains("a folder"), "{folder}");
}

#[test]
fn a_pickle_with_anything_but_tensors_is_refused_and_not_run() {
    let witness = tempfile::tempdir().unwrap();
    let touched = witness.path().join("touched");
    let command = format!("touch {}", touched.display());
    let attack = [
        b"cos\nsystem\nX".as_slice(),
        &(command.len() as u32).to_le_bytes(),
        command.as_bytes(),
        b"\x85R",
    ]
    .concat();
    assert!(message(&pickled(&attack)).contains("os.system"));
    assert!(!touched.exists());
    assert!(message(&pickled(b"cbuiltins\neval\n")).contains("builtins.eval"));
    assert!(message(&pickled(b"}X\x05\x00\x00\x00epochK\x07s")).contains("epoch: a number"));
    assert!(message(&pickled(b"K\x07")).contains("a number in place of a dictionary"));
    assert!(
        message(&pickled(b"](K\x01K\x02e")).contains("a list with a number in it"),
        "lists have no place in a state dict"
    );
    assert!(message(&pickled(b"]")).contains("a list in place of a dictionary"));
    assert!(matches!(
        load(&pickled(b"}")).unwrap_err(),
        CheckpointProblem::NotRefVsr(_)
    ));
}

#[test]
fn hostile_pickles_are_refused() {
    let nested = pickled(&[b"N".as_slice(), &[0x85; 100_000]].concat());
    assert!(message(&nested).contains("nested"));
    for short in [
        &b"R"[..],
        b"t",
        b"s",
        b"}u",
        b"h\x07",
        b"q\x01",
        b"X\xff\xff\xff\x7fabc",
        b"cos",
        b"\x8a\x09123456789",
        b"Q",
        b"K\x01Q",
        b"\x93",
    ] {
        assert!(
            matches!(
                load(&pickled(short)).unwrap_err(),
                CheckpointProblem::Malformed(_)
            ),
            "{short:?}"
        );
    }
    // A tensor of four elements in a storage of two; one that repeats an element; a storage that is not there.
    let tensor = |key: &str, size: u8, stride: u8, offset: u8| {
        let mut code =
            b"}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
                .to_vec();
        code.extend(key.bytes());
        code.extend(b"X\x03\x00\x00\x00cpuK\x02tQK");
        code.extend([offset, b'K', size, 0x85, b'K', stride, 0x85, 0x89]);
        code.extend(b"ccollections\nOrderedDict\n)RtRs");
        archive(&[
            ("m/data.pkl", &[b"\x80\x02", &code[..], b"."].concat()),
            ("m/data/0", &[0; 8]),
        ])
    };
    assert!(message(&tensor("0", 4, 1, 0)).contains("'w' reaches beyond"));
    assert!(message(&tensor("0", 4, 0, 0)).contains("'w' reaches beyond"));
    assert!(message(&tensor("0", 2, 1, 1)).contains("'w' reaches beyond"));
    assert!(message(&tensor("7", 2, 1, 0)).contains("'m/data/7'"));
    assert!(
        matches!(
            load(&tensor("0", 2, 1, 0)).unwrap_err(),
            CheckpointProblem::NotRefVsr(_)
        ),
        "that one is in order"
    );
}

/// A state dict of tensors `(name, key, size, stride)` in fp32, over storages of so many numbers.
fn state_dict(tensors: &[(&str, &str, &[u8], &[u8])], storages: &[(&str, usize)]) -> Vec<u8> {
    let text = |s: &str| {
        [
            b"X".as_slice(),
            &(s.len() as u32).to_le_bytes(),
            s.as_bytes(),
        ]
        .concat()
    };
    let tuple = |numbers: &[u8]| {
        [
            b"(".as_slice(),
            &numbers.iter().flat_map(|&n| [b'K', n]).collect::<Vec<_>>(),
            b"t",
        ]
        .concat()
    };
    let mut code = b"}(".to_vec();
    for (name, key, size, stride) in tensors {
        code.extend(text(name));
        code.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        code.extend(text("storage"));
        code.extend(b"ctorch\nFloatStorage\n");
        code.extend(
            [
                text(key),
                text("cpu"),
                b"K\x02tQK\x00".to_vec(),
                tuple(size),
                tuple(stride),
                b"\x89}tR".to_vec(),
            ]
            .concat(),
        );
    }
    code.extend(b"u");
    let storages: Vec<(String, Vec<u8>)> = storages
        .iter()
        .map(|(key, n)| (format!("m/data/{key}"), vec![0; 4 * n]))
        .collect();
    let pickle = [b"\x80\x02", &code[..], b"."].concat();
    let mut entries: Vec<(&str, &[u8])> = vec![("m/data.pkl", &pickle)];
    entries.extend(
        storages
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    );
    archive(&entries)
}

#[test]
fn a_small_file_cannot_claim_much_memory() {
    // Transposed views of one storage, which have to be copied: few may be, many not.
    let shared = |copies: usize| {
        let names: Vec<String> = (0..copies).map(|i| i.to_string()).collect();
        let tensors: Vec<(&str, &str, &[u8], &[u8])> = names
            .iter()
            .map(|n| (n.as_str(), "0", &[100, 100][..], &[1, 100][..]))
            .collect();
        message(&state_dict(&tensors, &[("0", 10_000)]))
    };
    assert!(
        shared(3).contains("no tensor 'conv_hr.weight'"),
        "{}",
        shared(3)
    );
    assert!(shared(50).contains("claim far more data"), "{}", shared(50));
    // A shape of many dimensions, a pickle without end.
    assert!(
        message(&state_dict(&[("w", "0", &[1; 9], &[1; 9])], &[("0", 1)]))
            .contains("not a few numbers")
    );
    let endless = [b"X\x00\x00\x50\x00".as_slice(), &vec![b'n'; 5 << 20]].concat();
    assert!(message(&pickled(&endless)).contains("far larger than a state dict's"));
    // A name said twice.
    let twice = state_dict(
        &[("w", "0", &[1], &[1]), ("w", "0", &[1], &[1])],
        &[("0", 1)],
    );
    assert!(message(&twice).contains("two tensors are named 'w'"));
}

#[cfg(unix)]
#[test]
fn a_device_or_pipe_is_refused_at_once() {
    let text = Network::load(Path::new("/dev/zero"), Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("/dev/zero") && text.contains("a pipe or device"),
        "{text}"
    );
}

#[test]
fn damaged_safetensors_are_refused() {
    let whole = refvsr::Bundled::Quality.content().unwrap();
    assert!(matches!(
        load(&whole[..whole.len() - 1]).unwrap_err(),
        CheckpointProblem::Malformed(_)
    ));
    assert!(matches!(
        load(&whole[..1000]).unwrap_err(),
        CheckpointProblem::Malformed(_)
    ));
    let huge_header = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    assert!(matches!(
        load(&huge_header).unwrap_err(),
        CheckpointProblem::Malformed(_)
    ));
    let huge_shape = safetensors(
        r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}"#,
        &[0; 4],
    );
    assert!(matches!(
        load(&huge_shape).unwrap_err(),
        CheckpointProblem::Malformed(_)
    ));
    let metadata =
        |text: &str| safetensors(&format!(r#"{{"__metadata__":{{"refvsr":{text:?}}}}}"#), &[]);
    assert!(message(&metadata(r#"{"format":2}"#)).contains("its format is 2"));
    assert!(matches!(
        load(&metadata("nonsense")).unwrap_err(),
        CheckpointProblem::Metadata(_)
    ));
    let good = serde_json::to_string(&config(4, false)).unwrap();
    let state = |config: &str| message(&metadata(&format!(r#"{{"format":1,"config":{config}}}"#)));
    assert!(
        state(&good.replace("\"scale\":4", "\"scale\":3"))
            .contains("scale is 3, allowed is 2 or 4")
    );
    assert!(state(&good.replace("\"scale\":4", "\"scale\":4,\"colour\":1")).contains("colour"));
    let text = state(&good);
    assert!(
        text.contains("not those of RefVSR of 8 channels and 2 blocks: ")
            && text.contains(" missing: ")
            && text.contains(" more"),
        "{text}"
    );
}

/// The default model's file with a change to one tensor's entry or bytes.
fn saved_with(change: impl Fn(&mut BTreeMap<String, (Vec<usize>, Vec<f32>)>)) -> Vec<u8> {
    let network = network(config(4, false));
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = network
        .weights()
        .variables()
        .into_iter()
        .map(|(k, v)| {
            (
                k,
                (
                    v.size().iter().map(|&d| d as usize).collect(),
                    Vec::<f32>::try_from(v.detach().reshape([-1])).unwrap(),
                ),
            )
        })
        .collect();
    change(&mut tensors);
    let bytes: BTreeMap<_, Vec<u8>> = tensors
        .iter()
        .map(|(k, (_, v))| (k, v.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(k, (shape, _))| {
        (
            k,
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), &bytes[k])
                .unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn weights_that_do_not_fit_are_named() {
    load(&saved_with(|_| ())).unwrap();
    let text = message(&saved_with(|t| _ = t.remove("conv_last.bias")));
    let network = "its tensors are not those of RefVSR of 8 channels and 2 blocks";
    assert_eq!(text, format!("{network}: 1 missing: conv_last.bias"));
    let text = message(&saved_with(|t| {
        t.retain(|name, _| !name.starts_with("res1."))
    }));
    assert!(
        text.contains(": 18 missing: res1.RBs.0.conv1.bias") && text.ends_with("and 13 more"),
        "{text}"
    );
    let text = message(&saved_with(|t| {
        _ = t.insert("conv_last.bias".into(), (vec![1, 3], vec![0.0; 3]))
    }));
    assert_eq!(
        text,
        format!("{network}: 1 of another shape: conv_last.bias is [1, 3], [3] expected")
    );
    let text = message(&saved_with(|t| {
        t.get_mut("conv_last.bias").unwrap().1[1] = f32::NAN
    }));
    assert_eq!(
        text,
        "1 tensors hold values that are not finite: conv_last.bias"
    );
    let text = message(&saved_with(|t| {
        t.get_mut("res1.conv_tail.weight").unwrap().1[7] = f32::INFINITY;
        t.get_mut("conv_last.bias").unwrap().1[1] = f32::NAN;
    }));
    assert_eq!(
        text,
        "2 tensors hold values that are not finite: conv_last.bias, res1.conv_tail.weight"
    );
    let extra = saved_with(|t| _ = t.insert("optimizer.step".into(), (vec![1], vec![0.0])));
    let checkpoint = Checkpoint::parse(&extra, Path::new("a")).unwrap();
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    assert_eq!(checkpoint.unused(&network), ["optimizer.step"]);
    let twice = saved_with(|t| {
        _ = t.insert(
            "module.Network.conv_last.bias".into(),
            (vec![3], vec![0.0; 3]),
        )
    });
    assert!(message(&twice).contains("two tensors are named 'conv_last.bias'"));
    let spynet = saved_with(|t| t.retain(|name, _| name.starts_with("FlowNet")));
    assert!(message(&spynet).contains("conv_hr.weight"));
    let absurd =
        saved_with(|t| _ = t.insert("conv_hr.weight".into(), (vec![100_000, 0, 3, 3], vec![])));
    assert!(message(&absurd).contains("mid_channels is 100000, allowed is 1 to 512"));
}

#[test]
fn all_that_does_not_fit_is_told_at_once() {
    let file = saved_with(|t| {
        // Renamed, gone, of another shape, and two that belong to nothing.
        let renamed = t.remove("conv_last.bias").unwrap();
        t.insert("conv_lst.bias".into(), renamed);
        t.remove("res1.conv_tail.weight").unwrap();
        t.get_mut("conv_hr.bias").unwrap().0 = vec![2, 4];
        t.insert("optimizer.step".into(), (vec![1], vec![0.0]));
        t.insert("n".repeat(5000), (vec![1], vec![0.0]));
    });
    let text = message(&file);
    let unused = format!(
        "3 of no use: conv_lst.bias, {}..., optimizer.step",
        "n".repeat(100)
    );
    assert_eq!(
        text,
        format!(
            "its tensors are not those of RefVSR of 8 channels and 2 blocks: \
             2 missing: conv_last.bias (the file has conv_lst.bias), res1.conv_tail.weight; \
             1 of another shape: conv_hr.bias is [2, 4], [8] expected; {unused}"
        )
    );
    let CheckpointProblem::Mismatch(mismatch) = load(&file).unwrap_err() else {
        panic!("{text}")
    };
    assert_eq!((mismatch.missing.len(), mismatch.unused.len()), (2, 3));

    // Types that are not even read: both are named.
    let unread = r#"{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},
                     "b":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[1,2]}}"#;
    let text = message(&safetensors(unread, &[0; 2]));
    assert!(text.ends_with("a (BOOL), b (F8_E5M2)"), "{text}");
}

#[test]
fn shapes_are_known_without_a_network() {
    let registered = ModelConfig {
        variant: Variant::Registered,
        recurrence: Recurrence::Clean,
        flow_levels: 5,
        first_looks: 1,
        ..config(4, false)
    };
    let refill = ModelConfig {
        variant: Variant::RefVsrIr,
        ..config(4, false)
    };
    for config in [
        config(4, false),
        config(2, false),
        config(4, true),
        refill,
        registered,
    ] {
        let network = Network::new(config.clone(), Device::Cpu).unwrap();
        let weights = network.weights().variables();
        let own = weights.iter().map(|(name, t)| (name.clone(), t.size()));
        assert_eq!(Network::shapes(&config).unwrap(), own.collect());
    }
}

#[test]
fn integers_are_no_weights() {
    let bytes = saved_with(|_| ());
    // Integers of the same width; the shapes stay as they are.
    let header_end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..header_end])
        .unwrap()
        .replace("\"F32\"", "\"I32\"");
    let text = message(&safetensors(&header, &bytes[header_end..]));
    assert!(
        text.contains(": 250 not f16, bf16, f32 or f64: FlowNet.")
            && text.contains(".bias is Int, "),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = load(&bytes);
    }

    #[test]
    fn no_pickle_panics(body in prop::collection::vec(prop::sample::select(b"(.NJKMXcqrhj)t}su]QRb\x80\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95\x00\x01\x02\n".to_vec()), 0..200)) {
        let _ = load(&pickled(&body));
    }

    #[test]
    fn no_damage_panics(at in 0..OFFICIAL.len(), byte in any::<u8>(), near_start in any::<bool>()) {
        // The pickle lies at the start, the zip's directory at the end; the weights between them are less interesting.
        let mut bytes = OFFICIAL.clone();
        let at = if near_start { at % 60_000 } else { bytes.len() - 1 - at % 30_000 };
        bytes[at] = byte;
        let _ = load(&bytes);
    }

    #[test]
    fn no_cut_panics(end in 0..OFFICIAL.len()) {
        prop_assert!(load(&OFFICIAL[..end]).is_err());
    }
}
