//! Lessons of the registered variant, on networks so small that a step takes milliseconds.

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/rig/mod.rs"]
mod rig;

use refvsr::{
    Network,
    image::resize::bicubic_antialiased,
    net::{
        layers::local::gaussian,
        registered::{
            TELE_DENSITY, WIDE_DENSITY,
            registration::{Interpolation, pixels, sample},
            warped,
        },
    },
};
use refvsr_train::{
    config::Config,
    data::{
        batch::ClipPatch,
        png::{self, Picture},
        processor::{Processor, Strengths},
        random::Random,
        tree::frame_name,
    },
    lessons::registered::{
        camera::References,
        features::{Features, Motions},
        fusion::layers,
        own::LAID,
        trunks::thinned,
    },
    optimise::{StepReport, Trainer, parallel::Processes},
    precision::Precision,
    run::{initial_network, learn_from::LearnFrom, lesson},
};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Cameras that do not differ at all.
const NONE: Strengths = Strengths {
    alike: 0.0,
    blur: [0.0, 0.0],
    sharpened: 0.0,
    sharpening: [0.0, 0.0],
    sharpening_reach: [0.5, 0.5],
    gamma: [1.0, 1.0],
    colours: 0.0,
    shading: 0.0,
    flare: 0.0,
    noise: 0.0,
    something_else: 0.0,
};

/// Frames of a texture that moves by an input pixel a frame.
fn patch(side: i64, frames: i64) -> ClipPatch {
    tch::manual_seed(5);
    let whole = Tensor::rand(
        [1, 3, 4 * side, 4 * (side + frames)],
        (Kind::Float, Device::Cpu),
    );
    let whole = gaussian(&whole, 0.7).unwrap();
    let hr: Vec<Tensor> = (0..frames)
        .map(|t| whole.narrow(3, 4 * t, 4 * side))
        .collect();
    let hr = Tensor::cat(&hr, 0);
    let lr = hr.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None);
    ClipPatch {
        name: "texture".into(),
        wide: lr.shallow_clone(),
        loss_references: lr.shallow_clone(),
        clean: None,
        part: None,
        lr,
        hr,
    }
}

fn config(name: &str, overrides: &[&str]) -> Config {
    let small = [
        "device=cpu",
        "optimiser.precision=fp32",
        "model.mid_channels=8",
        "model.num_blocks=2",
        "start.weights=[]",
        "data.patch=24",
        "data.windows=3",
        "optimiser.steps=100",
        "optimiser.warmup=0",
        "optimiser.rate=2e-3",
    ];
    let all: Vec<String> = small
        .iter()
        .chain(overrides)
        .map(|s| (*s).to_owned())
        .collect();
    Config::load(name, &all).unwrap()
}

fn trainer(config: &Config) -> Trainer {
    let network = initial_network(config, Device::Cpu).unwrap();
    let lesson = lesson(config, network, Precision::Fp32).unwrap();
    Trainer::new(lesson, config.recipe(Precision::Fp32)).unwrap()
}

fn train(trainer: &mut Trainer, patch: &ClipPatch, times: usize) -> Vec<StepReport> {
    let mut steps = vec![];
    for _ in 0..times {
        let batch = std::slice::from_ref(patch);
        trainer
            .train_on(batch, &Processes::one(), |step| steps.push(step.clone()))
            .unwrap();
    }
    steps
}

fn weights(network: &Network) -> BTreeMap<String, Tensor> {
    let all = network.weights().variables().into_iter();
    all.map(|(name, w)| (name, w.detach().copy())).collect()
}

/// The names of weights that have changed.
fn changed(before: &BTreeMap<String, Tensor>, network: &Network) -> Vec<String> {
    let after = network.weights().variables();
    let names = before.iter().filter(|(name, w)| !after[*name].equal(w));
    names.map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_fusion_learns_and_nothing_else_changes() {
    let config = config("quality", &["references.wide=1", "references.ending=0"]);
    let mut trainer = trainer(&config);
    let before = weights(trainer.network());
    let steps = train(&mut trainer, &patch(24, 3), 16);
    assert_eq!(steps.len(), 48, "a step a frame");
    let mean =
        |steps: &[StepReport]| steps.iter().map(|s| s.psnr).sum::<f64>() / steps.len() as f64;
    let (first, last) = (mean(&steps[..6]), mean(&steps[36..]));
    assert!(
        last > first + 0.5,
        "{first:.2} dB at first, {last:.2} dB at last"
    );
    let changed = changed(&before, trainer.network());
    assert!(!changed.is_empty());
    for name in &changed {
        assert!(
            name.starts_with("wide_fusion.") || name.starts_with("tele_fusion."),
            "{name}"
        );
    }
}

/// Starts of the names of all that references have to do with.
const LEARNT: [&str; 3] = ["wide_fusion.", "wide_carrier.", "tele_fusion."];

/// What a run learns where detail is carried on, with one steady camera.
const CARRYING: [&str; 5] = [
    "optimiser.frozen=[]",
    "references.steady=true",
    "references.wide=1",
    "references.tele=0",
    "references.ending=0",
];

#[test]
fn what_is_carried_on_is_learnt_through_the_trunk() {
    let config = config("quality", &CARRYING);
    let mut trainer = trainer(&config);
    let before = weights(trainer.network());
    let (net, patch) = (trainer.network(), patch(24, 3));
    assert!(layers(net).unwrap().carries().unwrap());
    let steps = train(&mut trainer, &patch, 4);
    assert_eq!(steps.len(), 12, "a step a frame");
    let changed = changed(&before, trainer.network());
    assert!(
        changed.iter().any(|name| name == "wide_carrier.weight"),
        "{changed:?}"
    );
    for name in &changed {
        assert!(LEARNT.iter().any(|part| name.starts_with(part)), "{name}");
    }
}

#[test]
fn a_step_that_carries_is_a_sessions_where_no_camera_is_seen() {
    // Without cameras both know the same of them: nothing. A carrier that has learnt something adds nothing.
    let config = config(
        "quality",
        &[&CARRYING[..2], &["references.wide=0"]].concat(),
    );
    let start = || {
        let network = initial_network(&config, Device::Cpu).unwrap();
        for (name, mut weight) in network.weights().variables() {
            if name.starts_with("wide_carrier.") {
                let _ = tch::no_grad(|| weight.fill_(0.1));
            }
        }
        network
    };
    let network = start();
    let patch = patch(24, 3);
    let lr = frames(&patch);
    let options = refvsr::SessionOptions {
        backward_group: Some(1),
        look_ahead: Some(2),
        precision: refvsr::Precision::Fp32,
        ..refvsr::Session::options_of(&network)
    };
    let expected = {
        let mut session = refvsr::Session::new(start(), options).unwrap();
        for frame in &lr {
            session
                .send(refvsr::Triplet {
                    ultrawide: frame.shallow_clone(),
                    wide: None,
                    tele: None,
                })
                .unwrap();
        }
        session.drain();
        let out: Vec<Tensor> = std::iter::from_fn(|| session.receive().unwrap().frame()).collect();
        out
    };
    let lesson = lesson(&config, network, Precision::Fp32).unwrap();
    let mut exercises = lesson.prepare(&[patch], 0).unwrap();
    for (k, expected) in expected.iter().enumerate() {
        let out = exercises[0].losses(k).unwrap().output.clamp(0.0, 1.0);
        let off = (out - expected).abs().max().double_value(&[]);
        assert!(off < 1e-4, "step {k}: off by {off:.1e}");
    }
}

#[test]
fn references_are_drawn_anew_and_again_the_same_after_a_restart() {
    let config = config("quality", &[]);
    let patch = patch(24, 3);
    let mut whole = trainer(&config);
    let all = train(&mut whole, &patch, 3);
    assert_ne!(
        all[0].total, all[3].total,
        "the same frame, other references"
    );

    let mut first = trainer(&config);
    train(&mut first, &patch, 1);
    let mut second = trainer(&config);
    second
        .restore(&first.state(), first.steps(), first.updates(), None)
        .unwrap();
    let rest = train(&mut second, &patch, 2);
    let totals = |steps: &[StepReport]| steps.iter().map(|s| s.total).collect::<Vec<_>>();
    assert_eq!(totals(&rest), totals(&all[3..]));
}

#[test]
fn a_missing_reference_adds_nothing() {
    let config = config("quality", &["references.wide=0", "references.tele=0"]);
    let network = initial_network(&config, Device::Cpu).unwrap();
    for (name, mut variable) in network.weights().variables() {
        if name.contains("fusion.conv3") {
            let _ = tch::no_grad(|| variable.fill_(0.1));
        }
    }
    let plain = Features::of(
        layers(&network).unwrap(),
        &frames(&patch(24, 3)),
        &Motions::of(layers(&network).unwrap(), &frames(&patch(24, 3))).unwrap(),
    )
    .unwrap();
    let joined = plain.joined(layers(&network).unwrap()).unwrap();
    let alone = layers(&network)
        .unwrap()
        .enlarged(&joined[0], &frames(&patch(24, 3))[0], &Default::default())
        .unwrap();
    let lesson = lesson(&config, network, Precision::Fp32).unwrap();
    let mut exercises = lesson.prepare(&[patch(24, 3)], 0).unwrap();
    let losses = exercises[0].losses(0).unwrap();
    let off = (losses.output - alone.picture)
        .abs()
        .max()
        .double_value(&[]);
    assert!(off < 1e-4, "{off}");
    losses.total.graph.backward();
}

fn frames(patch: &ClipPatch) -> Vec<Tensor> {
    patch.frames("lr", &patch.lr, Device::Cpu).unwrap()
}

#[test]
fn both_trunks_see_the_whole_patch_their_own_way() {
    let network = initial_network(&config("quality", &[]), Device::Cpu).unwrap();
    let net = layers(&network).unwrap();
    let lr = frames(&patch(24, 3));
    let motions = Motions::of(net, &lr).unwrap();
    let found = tch::no_grad(|| Features::of(net, &lr, &motions)).unwrap();
    tch::no_grad(|| {
        let pyramids: Vec<_> = lr
            .iter()
            .map(|f| refvsr::net::flow::SpyNet::pyramid(f).unwrap())
            .collect();
        // By hand: frame 1 of each branch from its neighbour.
        for (branch, from) in [(&found.forward, 0), (&found.backward, 2)] {
            let motion = net.motion(&pyramids[1], &pyramids[from]).unwrap();
            let state = warped(&branch[from], &motion).unwrap();
            let by_hand = if from == 0 {
                net.forward_step(&lr[1], Some(&state))
            } else {
                net.backward_step(&lr[1], Some(&state))
            };
            let off = (by_hand.unwrap() - &branch[1])
                .abs()
                .max()
                .double_value(&[]);
            assert!(off < 1e-6, "from {from}: {off}");
        }
    });
}

/// A teacher's file of three blocks, and a config whose pupil has `blocks`.
fn pupil(folder: &std::path::Path, blocks: usize) -> (Network, Config) {
    let of = config("quality", &["model.num_blocks=3", "seed=9"]);
    let teacher = initial_network(&of, Device::Cpu).unwrap();
    let file = folder.join("teacher.safetensors");
    refvsr::checkpoint::save(&teacher, &file, Kind::Float).unwrap();
    let overrides = [
        format!("start.teacher={}", file.display()),
        format!("model.num_blocks={blocks}"),
        "model.flow_levels=6".into(),
    ];
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    (teacher, config("light-trunks", &overrides))
}

#[test]
fn a_pupil_starts_with_blocks_at_equal_distances_and_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let (teacher, _) = pupil(folder.path(), 1);
    let all = teacher.weights().variables();
    let thin = thinned(&teacher, 1);
    let block = "forward_trunk.main.2.0.conv1.weight";
    assert!(
        thin[block].equal(&all[block]) && !thin.contains_key("forward_trunk.main.2.1.conv1.weight")
    );
    let two = thinned(&teacher, 2);
    for (to, from) in [(0, 0), (1, 1)] {
        let name = |n: usize| format!("backward_trunk.main.2.{n}.conv2.bias");
        assert!(two[&name(to)].equal(&all[&name(from)]));
    }
    assert!(two["conv_last.weight"].equal(&all["conv_last.weight"]));
    assert_eq!(thinned(&teacher, 3).len(), all.len());
}

#[test]
fn a_pupil_learns_its_teachers_features() {
    let folder = tempfile::tempdir().unwrap();
    // As many blocks: it is the teacher.
    let (_, same) = pupil(folder.path(), 3);
    let lesson_of = |config: &Config| {
        let network = initial_network(config, Device::Cpu).unwrap();
        lesson(config, network, Precision::Fp32).unwrap()
    };
    let lesson = lesson_of(&same);
    let mut exercises = lesson.prepare(&[patch(24, 3)], 0).unwrap();
    let losses = exercises[0].losses(0).unwrap();
    let (name, features) = losses.parts.last().unwrap();
    assert_eq!(name, "features");
    assert!(features.double_value(&[]) < 1e-4, "{features:?}");

    // Its picture is the teacher's too, in other colours as in their own.
    assert!(losses.psnr.double_value(&[]) > 100.0, "{:?}", losses.psnr);
    assert_eq!(losses.output.size(), [1, 3, 96, 96]);

    let (_, smaller) = pupil(folder.path(), 1);
    let mut trainer = trainer(&smaller);
    let before = weights(trainer.network());
    let steps = train(&mut trainer, &patch(24, 3), 24);
    let features = |step: &StepReport| step.parts.last().unwrap().1;
    let (first, last) = (features(&steps[0]), features(steps.last().unwrap()));
    assert!(last < 0.7 * first, "{first} at first, {last} at last");
    for name in changed(&before, trainer.network()) {
        assert!(name.contains("_trunk."), "{name}");
    }
}

#[test]
fn patches_learnt_at_once_teach_what_they_teach_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut config) = pupil(folder.path(), 1);
    config.data.recoloured = 0.0;
    // Of one frame: which frame's picture is looked at is drawn.
    let other = {
        let all = patch(24, 3);
        let last = |x: &Tensor| x.narrow(0, 2, 1).flip([-1]);
        ClipPatch {
            name: "another".into(),
            lr: last(&all.lr),
            wide: last(&all.wide),
            hr: last(&all.hr),
            loss_references: last(&all.loss_references),
            clean: None,
            part: None,
        }
    };
    let (first, second) = (patch(24, 1), other);
    let network = initial_network(&config, Device::Cpu).unwrap();
    let trained: Vec<Tensor> = network
        .weights()
        .variables()
        .into_iter()
        .filter(|(name, _)| name.contains("_trunk."))
        .map(|(_, w)| w.set_requires_grad(true))
        .collect();
    let lesson = lesson(&config, network, Precision::Fp32).unwrap();
    let gradients = |batch: &[ClipPatch]| -> Vec<Tensor> {
        let mut exercises = lesson.prepare(batch, 0).unwrap();
        assert_eq!(exercises.len(), 1);
        exercises[0].losses(0).unwrap().total.graph.backward();
        let mut found = vec![];
        for weight in &trained {
            let mut gradient = weight.grad();
            found.push(gradient.copy());
            let _ = gradient.zero_();
        }
        found
    };
    let batch = [first, second];
    let both = gradients(&batch);
    let one_by_one = (gradients(&batch[..1]), gradients(&batch[1..]));
    for ((both, a), b) in both.iter().zip(one_by_one.0).zip(one_by_one.1) {
        let mean = (a + b) / 2.0;
        let off = (both - &mean).abs().max().double_value(&[]);
        let size = mean.abs().max().double_value(&[]);
        assert!(off <= 1e-4 * size + 1e-6, "{off} of {size}");
    }
}

#[test]
fn lessons_say_what_they_are_not_for() {
    let refused = |name: &str, overrides: &[&str]| {
        let all: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        format!("{:#}", Config::load(name, &all).unwrap_err())
    };
    for (name, overrides, expected) in [
        (
            "quality",
            vec!["lesson=windows"],
            "not for variant Registered",
        ),
        ("refvsr-l1", vec!["lesson=fusion"], "not for variant RefVsr"),
        (
            "quality",
            vec!["references.camera.gamma=[2, 1]"],
            "references.camera.gamma is [2, 1]",
        ),
        (
            "quality",
            vec!["references.wide=1.5"],
            "references.wide is 1.5",
        ),
        ("light-trunks", vec!["start.teacher="], "need a teacher"),
        (
            "light-trunks",
            vec!["data.recoloured=1.2"],
            "data.recoloured is 1.2",
        ),
        (
            "quality",
            vec!["data.recoloured=0.5"],
            "only the lessons trunks",
        ),
    ] {
        let text = refused(name, &overrides);
        assert!(text.contains(expected), "{text}");
    }
    let config = config("quality", &["loss.terms=1*FID_hr"]);
    let network = initial_network(&config, Device::Cpu).unwrap();
    let text = format!(
        "{:#}",
        lesson(&config, network, Precision::Fp32).unwrap_err()
    );
    assert!(text.contains("FID_hr"), "{text}");
}

#[test]
fn the_bundled_configs_have_the_phones_strengths() {
    for (name, alike) in [("quality", 0.0), ("light", 0.6)] {
        let config = Config::load(name, &[]).unwrap();
        let camera = Strengths {
            alike,
            ..Strengths::PHONE
        };
        assert_eq!(config.references.unwrap().camera, camera, "{name}");
    }
}

#[test]
fn a_camera_without_strengths_shows_the_truth_reduced() {
    let truth = patch(16, 1).hr * 0.9 + 0.05;
    let shown_at = |density: i64, strengths: &Strengths, number: u64| {
        let random = &mut Random::new(1, 2, number);
        let camera = Processor::draw(random, strengths).unwrap();
        let own = 4.0 / density as f64;
        let developed = camera
            .developed(&camera.seen(&truth, own).unwrap())
            .unwrap();
        camera.recorded(random, &developed).unwrap()
    };
    let shown = |strengths: &Strengths, number: u64| shown_at(WIDE_DENSITY, strengths, number);
    let apart = |a: &Tensor, b: &Tensor| (a - b).abs().mean(Kind::Double).double_value(&[]);
    let off = |a: &Tensor| apart(a, &truth);
    assert!(off(&shown_at(TELE_DENSITY, &NONE, 0)) < 1.0 / 255.0);
    // The wide camera's is reduced, here with the middles of its pixels between the truth's.
    let (h, w) = (truth.size()[2], truth.size()[3]);
    let (rows, columns) = (h / 2 - 4, w / 2 - 4);
    let between = pixels(2, 2, rows, columns, Device::Cpu).unwrap() * 2.0 + 0.5;
    let reduced = sample(&shown(&NONE, 0), &between, Interpolation::Bicubic).unwrap();
    let expected = bicubic_antialiased(&truth, h / 2, w / 2).unwrap();
    let expected = expected.narrow(2, 2, rows).narrow(3, 2, columns);
    assert!(apart(&reduced, &expected) < 1.0 / 255.0 && off(&shown(&NONE, 0)) > 0.03);
    for number in 0..8 {
        let other = shown(&Strengths::PHONE, number);
        assert!(off(&other) > 0.004, "camera {number}: {}", off(&other));
        assert!(other.equal(&shown(&Strengths::PHONE, number)));
        assert!(!other.equal(&shown(&Strengths::PHONE, number + 1)));
        let (low, high) = (other.min().double_value(&[]), other.max().double_value(&[]));
        assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
    }
    // Cameras that are nearly alike differ less, but they differ.
    let differs = |strengths: &Strengths| -> f64 {
        let strengths = Strengths {
            something_else: 0.0,
            ..strengths.clone()
        };
        (0..8).map(|n| off(&shown(&strengths, n))).sum::<f64>() / 8.0
    };
    let alike = Strengths {
        alike: 1.0,
        ..Strengths::PHONE
    };
    let (few, many) = (differs(&alike), differs(&Strengths::PHONE));
    // Blur alone takes much of a truth that is all noise.
    assert!(0.002 < few && few < 0.75 * many, "{few}, {many}");
    // All that one may add is a mirrored part.
    let covered = Strengths {
        something_else: 1.0,
        ..NONE
    };
    let parts = (0..8).filter(|&n| off(&shown(&covered, n)) > 0.01).count();
    assert!(parts >= 3, "{parts} of 8 show something else somewhere");
}

#[test]
fn cameras_that_are_nearly_alike_lie_nearer_to_where_they_should() {
    let patch = patch(24, 1);
    let frame = patch
        .hr
        .avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None);
    // How much misplacement alone changes what a camera shows, on the average of some cameras.
    let moved = |alike: f64| -> f64 {
        let shown = |misplaced: f64, number: u64| {
            let references = References {
                wide: 1.0,
                tele: 0.0,
                steady: false,
                ending: 0.0,
                misplaced,
                camera: Strengths {
                    alike,
                    blur: [0.0, 0.3],
                    ..NONE
                },
            };
            let mut random = [Random::new(1, 2, number), Random::new(3, 4, number)];
            let [random, noise] = &mut random;
            let size = (WIDE_DENSITY, 24);
            let detail = references.detail(random, noise, &frame, &patch.hr, size);
            detail.unwrap().map(|detail| detail.input.narrow(1, 0, 3))
        };
        let differences: Vec<f64> = (0..24)
            .filter_map(|n| Some(shown(0.0, n)? - shown(0.1, n)?))
            .map(|off| off.abs().mean(Kind::Double).double_value(&[]))
            .collect();
        assert!(differences.len() > 12, "{} hold", differences.len());
        differences.iter().sum::<f64>() / differences.len() as f64
    };
    let (alike, others) = (moved(1.0), moved(0.0));
    assert!(0.0 < alike && alike < 0.6 * others, "{alike}, {others}");
}

#[test]
fn some_weights_of_a_file_can_be_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (teacher, _) = pupil(folder.path(), 1);
    let file = folder.path().join("teacher.safetensors");
    let only = format!(
        r#"start.weights=[{{ file = "{}", only = ["wide_fusion.", "conv_hr."] }}]"#,
        file.display()
    );
    let fresh = initial_network(&config("quality", &["seed=4"]), Device::Cpu).unwrap();
    let started = initial_network(&config("quality", &["seed=4", &only]), Device::Cpu).unwrap();
    let (theirs, fresh) = (weights(&teacher), weights(&fresh));
    for (name, weight) in weights(&started) {
        let taken = name.starts_with("wide_fusion.") || name.starts_with("conv_hr.");
        let from = if taken { &theirs } else { &fresh };
        assert!(weight.equal(&from[&name]), "{name}");
    }
}

/// Two cameras' recordings of a still scene, 3 frames at `{UW,W}/scene`: the wide one sees the middle
/// half at twice the density.
fn recordings(folder: &std::path::Path) {
    let scene = rig::leaves("own", 768, 1024);
    let halved = refvsr::image::resize::bicubic_antialiased(&scene, 384, 512).unwrap();
    let middle = scene.narrow(2, 192, 384).narrow(3, 256, 512);
    for (lens, picture) in [("UW", halved), ("W", middle)] {
        let clip = folder.join(lens).join("scene");
        std::fs::create_dir_all(&clip).unwrap();
        let pixels = (picture.clamp(0.0, 1.0) * 255.0)
            .round()
            .to_kind(Kind::Uint8);
        let pixels = pixels
            .squeeze_dim(0)
            .permute([1, 2, 0])
            .contiguous()
            .view([-1]);
        let picture = Picture {
            width: 512,
            height: 384,
            data: Vec::try_from(pixels).unwrap(),
        };
        for frame in 0..3 {
            png::write(&clip.join(frame_name(frame)), &picture).unwrap();
        }
    }
}

#[test]
fn ones_own_cameras_are_registered_and_learnt_from() {
    let folder = tempfile::tempdir().unwrap();
    recordings(folder.path());
    let start = initial_network(&config("quality", &[]), Device::Cpu).unwrap();
    rig::give_flow(start.weights());
    let file = folder.path().join("start.safetensors");
    refvsr::checkpoint::save(&start, &file, Kind::Float).unwrap();
    let overrides = [
        format!("start.checkpoint={}", file.display()),
        format!("data.root={}", folder.path().display()),
        "validation.frames=1".into(),
        "optimiser.batch=1".into(),
    ];
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    let config = config("own", &overrides);

    let from = LearnFrom::open(&config, &Processes::one(), None).unwrap();
    assert_eq!((from.clips, from.validation.len()), (1, 1));
    let patch = from.source.start(0).unwrap().next().unwrap().unwrap();
    assert_eq!(patch.lr.size(), [3, 3, 24, 24]);
    assert_eq!(patch.wide.size(), [3, LAID, 48, 48]);
    assert_eq!(patch.loss_references.size(), [3, LAID, 96, 96]);
    assert_eq!(
        patch.loss_references.abs().max().double_value(&[]),
        0.0,
        "no tele camera"
    );
    // Where it is seen it shows the truth better than the enlarged input.
    let mask = patch.wide.narrow(1, 3, 1);
    assert!(
        mask.mean(Kind::Float).double_value(&[]) > 0.2,
        "{}",
        patch.name
    );
    let truth = patch
        .hr
        .avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
    let error = |x: &Tensor| {
        let weighted = (x - &truth).square() * &mask;
        weighted.mean(Kind::Double).double_value(&[])
    };
    let enlarged = patch.lr.upsample_bicubic2d([48, 48], false, None, None);
    let (ours, bicubic) = (error(&patch.wide.narrow(1, 0, 3)), error(&enlarged));
    assert!(ours < 0.7 * bicubic, "{ours:.2e} against {bicubic:.2e}");
    // The same again, wherever the stream starts.
    let again = from.source.start(0).unwrap().next().unwrap().unwrap();
    assert!(again.wide.equal(&patch.wide) && again.name == patch.name);

    let mut trainer = trainer(&config);
    let before = weights(trainer.network());
    let steps = train(&mut trainer, &patch, 8);
    let (first, last) = (steps[0].psnr, steps.last().unwrap().psnr);
    assert!(last > first + 0.2, "{first:.2} dB, then {last:.2} dB");
    for name in changed(&before, trainer.network()) {
        assert!(LEARNT.iter().any(|part| name.starts_with(part)), "{name}");
    }
    let frame = from.validation[0].frame(2).unwrap();
    assert_eq!(frame.lr.size(), [1, 3, 96, 128]);
    assert_eq!(frame.hr.size(), [1, 3, 384, 512]);
}
