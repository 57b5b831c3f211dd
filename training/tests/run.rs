//! Whole runs, on the closed-form scene.

#[path = "../../tests/common/mod.rs"]
mod common;

use anyhow::{Result, bail};
use common::scene;
use refvsr::{ModelConfig, Network, checkpoint::Tensors};
use refvsr_train::{
    config::Config,
    data::batch::{ClipPatch, Source, ValidationClip, ValidationFrame},
    optimise::parallel::Processes,
    optimise::{StepReport, Trainer},
    precision::Precision,
    run::export::{Changes, Gain, Numbers, export},
    run::saved::{self, Progress},
    run::{BEST, CONFIG, LAST, LOG, Outcome, Resume, Run, initial_network, lesson},
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};
use tch::{Device, Kind, Tensor};

/// Frames from `first` on, `[n, 3, side, side]` in [0, 1], without detail too fine for their pixels. Zoom 1 shows a quarter of the scene.
fn frames(zoom: f64, first: i64, n: i64, side: i64) -> Tensor {
    let fine = (64 / side).max(1);
    let frames: Vec<Tensor> = (first..first + n)
        .map(|t| scene(4.0 * zoom, t, fine * side, fine * side))
        .collect();
    let frames = Tensor::cat(&frames, 0).to_kind(Kind::Float) / 255.0;
    frames.avg_pool2d([fine, fine], [fine, fine], [0, 0], false, true, None)
}

/// Patches of the scene: number k starts at a moment of its own.
struct Scene {
    frames: i64,
    patch: i64,
    adapt: bool,
    /// The stream fails after so many patches, as a machine that loses its power does.
    dies_after: Option<u64>,
    /// The loss of patches from this number on is not a number.
    spoilt_from: Option<u64>,
    /// Set after so many patches.
    stop: Option<(u64, &'static AtomicBool)>,
}

impl Scene {
    fn new(config: &Config, adapt: bool) -> Self {
        Self {
            frames: config.frames() as i64,
            patch: config.data.patch as i64,
            adapt,
            dies_after: None,
            spoilt_from: None,
            stop: None,
        }
    }

    fn patch(&self, k: u64) -> ClipPatch {
        let (first, n, p) = ((k * 7 % 23) as i64, self.frames, self.patch);
        let lr = frames(1.0, first, n, p);
        let hr = if self.adapt {
            lr.shallow_clone()
        } else {
            frames(1.0, first, n, 4 * p)
        };
        let spoilt = self.spoilt_from.is_some_and(|from| k >= from);
        ClipPatch {
            name: format!("scene {k}"),
            wide: frames(2.0, first, n, 2 * p),
            hr: if spoilt { hr * f64::NAN } else { hr },
            loss_references: frames(if self.adapt { 5.0 } else { 2.0 }, first, n, 4 * p),
            clean: None,
            part: None,
            lr,
        }
    }
}

impl Source for Scene {
    fn start(&self, position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>> {
        // A run asks for a known number of patches; they are made at once, which keeps the stream free of borrows.
        let until = position + 12;
        let mut patches = vec![];
        for k in position..until {
            if self.dies_after.is_some_and(|n| k - position >= n) {
                patches.push(Err(anyhow::anyhow!("the power is gone")));
                break;
            }
            patches.push(Ok(self.patch(k)));
        }
        let stop = self.stop;
        let mut given = 0;
        Ok(Box::new(patches.into_iter().inspect(move |_| {
            given += 1;
            if let Some((after, flag)) = stop
                && given >= after
            {
                flag.store(true, Ordering::Relaxed);
            }
        })))
    }
}

struct SceneClip;

impl ValidationClip for SceneClip {
    fn name(&self) -> &str {
        "scene"
    }

    fn len(&self) -> usize {
        3
    }

    fn frame(&self, i: usize) -> Result<ValidationFrame> {
        if i >= 3 {
            bail!("frame {i}");
        }
        let t = 40 + i as i64;
        Ok(ValidationFrame {
            lr: frames(1.0, t, 1, 16),
            wide: frames(2.0, t, 1, 16),
            hr: frames(1.0, t, 1, 64),
        })
    }
}

fn config(overrides: &[&str]) -> Config {
    let tiny = [
        "device=cpu",
        "model.mid_channels=4",
        "model.num_blocks=1",
        "data.patch=8",
        "data.windows=2",
        "optimiser.steps=12",
        "output.save_every=4",
        "output.picture_every=4",
        "validation.every=6",
        "validation.frames=2",
        "optimiser.frozen=[]",
    ];
    let all: Vec<String> = tiny
        .iter()
        .chain(overrides)
        .map(|s| (*s).to_owned())
        .collect();
    Config::load("tiny", &all).unwrap()
}

static NEVER: AtomicBool = AtomicBool::new(false);

fn run(config: &Config, folder: &Path, source: &Scene, stop: &AtomicBool) -> Result<Outcome> {
    let validation: [Box<dyn ValidationClip>; 1] = [Box::new(SceneClip)];
    Run {
        config,
        folder,
        processes: &Processes::one(),
        source,
        data: 7,
        validation: &validation,
        resume: Resume::Auto,
        stop,
        show: false,
    }
    .run()
}

fn state(folder: &Path) -> Tensors {
    saved::load::<Progress>(&folder.join(LAST)).unwrap().0
}

fn assert_same(a: &Tensors, b: &Tensors) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    assert!(
        a.keys().any(|k| k.starts_with("adam.square.")) && a.keys().any(|k| k.starts_with("ema."))
    );
    for (name, tensor) in a {
        assert!(tensor.equal(&b[name]), "{name} differs");
    }
}

#[test]
fn a_run_that_is_stopped_or_killed_ends_where_an_undisturbed_one_does() {
    let config = config(&["optimiser.batch=2", "optimiser.steps=8"]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = run(&config, &at("whole"), &Scene::new(&config, false), &NEVER).unwrap();
    assert!(whole.finished && whole.steps == 8 && whole.best_psnr.is_some());
    let expected = state(&at("whole"));
    for file in [LAST, BEST, CONFIG, LOG, "best.json"] {
        assert!(at("whole").join(file).exists(), "{file}");
    }

    // The strip of pictures: six squares.
    let files = fs::read_dir(at("whole"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let events = files
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("events.")
        })
        .map(|path| fs::read(path).unwrap());
    let events = events.collect::<Vec<_>>().concat();
    let header = events
        .windows(4)
        .position(|bytes| bytes == b"IHDR")
        .unwrap();
    let number =
        |at: usize| u32::from_be_bytes(events[header + at..header + at + 4].try_into().unwrap());
    assert_eq!((number(4), number(8)), (6 * 32, 32));

    // Killed: nothing is saved at the end. Steps 4 and 8 are saved; patches come in pairs, two steps each.
    let dying = Scene {
        dies_after: Some(7),
        ..Scene::new(&config, false)
    };
    let error = run(&config, &at("killed"), &dying, &NEVER).unwrap_err();
    assert!(
        format!("{error:#}").contains("the power is gone"),
        "{error:#}"
    );
    let saved = saved::load::<Progress>(&at("killed").join(LAST)).unwrap().1;
    assert_eq!((saved.steps, saved.patches), (4, 4));
    fs::write(at("killed").join(".part-abc"), b"half a file").unwrap();
    assert!(
        run(&config, &at("killed"), &Scene::new(&config, false), &NEVER)
            .unwrap()
            .finished
    );
    assert_same(&state(&at("killed")), &expected);

    // Ctrl-C: the state is saved at the end of the clip patch.
    static STOP: AtomicBool = AtomicBool::new(false);
    let stopping = Scene {
        stop: Some((5, &STOP)),
        ..Scene::new(&config, false)
    };
    let stopped = run(&config, &at("stopped"), &stopping, &STOP).unwrap();
    assert!(!stopped.finished && stopped.steps == 6, "{stopped:?}");
    assert!(
        run(&config, &at("stopped"), &Scene::new(&config, false), &NEVER)
            .unwrap()
            .finished
    );
    assert_same(&state(&at("stopped")), &expected);

    // What is not the same run is refused.
    let other = self::config(&[
        "optimiser.batch=2",
        "optimiser.steps=8",
        "optimiser.rate=1e-4",
    ]);
    let message = format!(
        "{:#}",
        run(&other, &at("stopped"), &Scene::new(&config, false), &NEVER).unwrap_err()
    );
    assert!(message.contains("optimiser.rate"), "{message}");
    let source = Scene::new(&config, false);
    let again = |data, resume| {
        let (folder, processes) = (at("stopped"), Processes::one());
        let run = Run {
            config: &config,
            folder: &folder,
            processes: &processes,
            source: &source,
            data,
            validation: &[],
            resume,
            stop: &NEVER,
            show: false,
        };
        format!("{:#}", run.run().unwrap_err())
    };
    assert!(again(8, Resume::Auto).contains("other data"));
    assert!(again(7, Resume::Never).contains("holds a run already"));
}

#[test]
fn losses_that_are_not_finite_are_skipped_then_end_the_run() {
    let config = config(&["data.windows=4", "optimiser.steps=40"]);
    let folder = tempfile::tempdir().unwrap();
    let spoilt = Scene {
        spoilt_from: Some(1),
        ..Scene::new(&config, false)
    };
    let message = format!(
        "{:#}",
        run(&config, folder.path(), &spoilt, &NEVER).unwrap_err()
    );
    assert!(
        message.contains("10 steps in a row") && message.contains(LAST),
        "{message}"
    );
    // The good state is from before the last skipped steps, and whole.
    let (tensors, progress) = saved::load::<Progress>(&folder.path().join(LAST)).unwrap();
    assert_eq!((progress.steps, progress.updates), (12, 4));
    assert!(
        tensors
            .values()
            .all(|t| t.isfinite().all().int64_value(&[]) == 1)
    );
}

fn trainer(config: &Config, precision: Precision) -> Trainer {
    let network = initial_network(config, Device::Cpu).unwrap();
    let lesson = lesson(config, network, precision).unwrap();
    Trainer::new(lesson, config.recipe(precision)).unwrap()
}

fn train(trainer: &mut Trainer, patch: ClipPatch) -> Result<Vec<StepReport>> {
    let mut steps = vec![];
    trainer.train_on(&[patch], &Processes::one(), |step| steps.push(step.clone()))?;
    Ok(steps)
}

/// On the CPU fp16 leaves the numbers fp32: what is left of it is the scale.
#[test]
fn the_scale_of_the_loss_changes_no_update_and_is_kept() {
    let config = config(&["data.windows=3", "optimiser.steps=1000", "start.zero=[]"]);
    let scene = Scene::new(&config, false);
    let (mut plain, mut scaled) = (
        trainer(&config, Precision::Fp32),
        trainer(&config, Precision::Fp16),
    );
    for k in 0..2 {
        let (a, b) = (
            train(&mut plain, scene.patch(k)).unwrap(),
            train(&mut scaled, scene.patch(k)).unwrap(),
        );
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(
                (a.loss_scale, b.loss_scale, a.skipped, b.skipped),
                (None, Some(65536.0), false, false)
            );
            assert_eq!((a.total, a.gradient_norm), (b.total, b.gradient_norm));
        }
    }
    assert_same(&plain.state(), &scaled.state());

    // What is not finite halves the scale and does not end the training before the scale is 1.
    let spoilt = Scene {
        spoilt_from: Some(0),
        ..Scene::new(&config, false)
    };
    let steps = train(&mut scaled, spoilt.patch(0)).unwrap();
    assert!(steps.iter().all(|step| step.skipped));
    assert_eq!(scaled.loss_scale().unwrap().factor(), 65536.0 / 8.0);
    assert_same(&plain.state(), &scaled.state());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LAST);
    let mut progress = Progress::new(&config, 7, config.start.contents().unwrap(), 1);
    progress.loss_scale = scaled.loss_scale();
    saved::save(&path, &scaled.state(), &progress).unwrap();
    let (state, progress) = saved::load::<Progress>(&path).unwrap();
    let mut resumed = trainer(&config, Precision::Fp16);
    resumed
        .restore(
            &state,
            scaled.steps(),
            scaled.updates(),
            progress.loss_scale,
        )
        .unwrap();
    assert_eq!(resumed.loss_scale(), scaled.loss_scale());

    let mut more = 0;
    let error = (0..100).find_map(|_| match train(&mut resumed, spoilt.patch(0)) {
        Ok(steps) => {
            more += steps.len();
            None
        }
        Err(error) => Some(error),
    });
    assert!(error.unwrap().to_string().contains("10 steps in a row"));
    // 13 halvings are left, then ten steps are counted: the 23rd is a window of the eighth patch.
    assert_eq!(more, 7 * 3);
    assert_eq!(resumed.loss_scale().unwrap().factor(), 1.0);
}

fn losses(folder: &Path) -> Vec<f64> {
    let log = fs::read_to_string(folder.join(LOG)).unwrap();
    let entries = log
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    entries
        .filter(|e| e["event"] == "step")
        .map(|e| e["loss"].as_f64().unwrap())
        .collect()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

#[test]
fn pretraining_then_adaptation_lower_the_loss() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let first = config(&[
        "data.windows=3",
        "optimiser.steps=24",
        "optimiser.rate=2e-3",
        "start.zero=[]",
        "validation.every=0",
    ]);
    let outcome = run(&first, &at("first"), &Scene::new(&first, false), &NEVER).unwrap();
    assert!(outcome.finished);
    let lowered = losses(&at("first"));
    assert_eq!(lowered.len(), 24);
    assert!(
        mean(&lowered[18..]) < 0.9 * mean(&lowered[..6]),
        "{lowered:?}"
    );
    let best: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(at("first").join("best.json")).unwrap()).unwrap();
    let score = |name: &str| best["scores"][name].as_f64().unwrap();
    assert!(
        score("psnr") > 10.0 && score("psnr_bicubic") > 20.0,
        "{best}"
    );
    assert_ne!(score("psnr"), score("psnr_without_reference"));

    // Adaptation starts from the best weights; hd networks have some layers that others do not have.
    let from = format!("start.checkpoint={}", at("first").join(BEST).display());
    let second = config(&[
        "stage=adapt",
        "model.hd=true",
        "data.patch=16",
        "data.windows=3",
        "optimiser.steps=12",
        "optimiser.rate=1e-3",
        "loss.terms=1*L1_lf",
        "start.zero=[]",
        "validation.clips=0",
        &from,
    ]);
    assert!(
        run(&second, &at("second"), &Scene::new(&second, true), &NEVER)
            .unwrap()
            .finished
    );
    let lowered = losses(&at("second"));
    assert!(mean(&lowered[6..]) < mean(&lowered[..6]), "{lowered:?}");

    // Export: a model that loads, half the size, with a card.
    let model = at("tiny.safetensors");
    let card = fs::read_to_string(
        export(&at("first"), &model, Numbers::Fp16, &Changes::default()).unwrap(),
    )
    .unwrap();
    assert!(
        card.contains("| scene |") && card.contains("mid_channels = 4"),
        "{card}"
    );
    let (small, large) = (
        Network::load(&model, Device::Cpu).unwrap(),
        Network::load(&at("first").join(BEST), Device::Cpu).unwrap(),
    );
    assert_eq!(small.config(), large.config());
    let size = |path: &Path| fs::metadata(path).unwrap().len() as f64;
    assert!(size(&model) < 0.6 * size(&at("first").join(BEST)));
    let window = Changes {
        window: Some(5),
        ..Changes::default()
    };
    export(&at("first"), &model, Numbers::Fp32, &window).unwrap();
    let longer = Network::load(&model, Device::Cpu).unwrap();
    assert_eq!(
        (longer.config().frame_num, small.config().frame_num),
        (5, 3),
        "a window of another length"
    );
    // Weights that are multiplied by a number, by the start of their names.
    let name = longer.weights().variables().into_keys().min().unwrap();
    let gains = |gain: &str| Changes {
        gains: vec![gain.parse().unwrap()],
        ..Changes::default()
    };
    export(
        &at("first"),
        &model,
        Numbers::Fp32,
        &gains(&format!("{name}=1.5")),
    )
    .unwrap();
    let gained = Network::load(&model, Device::Cpu).unwrap();
    for (key, weight) in gained.weights().variables() {
        let factor = if key.starts_with(&name) { 1.5 } else { 1.0 };
        let expected = &longer.weights().variables()[&key] * factor;
        assert!(weight.equal(&expected), "{key}");
    }
    // The mean with other files' weights: here of (1 + 1.5 + 1.5) / 3 times the same.
    let mean = Changes {
        average: vec![model.clone(), model.clone()],
        ..Changes::default()
    };
    let averaged = at("averaged.safetensors");
    export(&at("first"), &averaged, Numbers::Fp32, &mean).unwrap();
    let averaged = Network::load(&averaged, Device::Cpu).unwrap();
    for (key, weight) in averaged.weights().variables() {
        let factor = if key.starts_with(&name) {
            4.0 / 3.0
        } else {
            1.0
        };
        let expected = &longer.weights().variables()[&key] * factor;
        let off = (&weight - &expected).abs().max().double_value(&[]);
        assert!(
            off <= 1e-6 * expected.abs().max().double_value(&[]),
            "{key}"
        );
    }
    let other = Changes {
        average: vec![at("other.safetensors")],
        ..Changes::default()
    };
    let config = ModelConfig {
        mid_channels: 8,
        ..longer.config().clone()
    };
    let network = Network::new(config, Device::Cpu).unwrap();
    refvsr::checkpoint::save(&network, &at("other.safetensors"), Kind::Float).unwrap();
    let refused = export(&at("first"), &model, Numbers::Fp32, &other).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("other.safetensors is another network"),
        "{refused}"
    );
    let refused = export(&at("first"), &model, Numbers::Fp32, &gains("nothing.=1.5")).unwrap_err();
    assert!(refused.to_string().contains("'nothing.'"), "{refused}");
    for nonsense in ["conv", "conv=", "=2", "conv=much", "conv=inf"] {
        assert!(nonsense.parse::<Gain>().is_err(), "{nonsense}");
    }
    // A run without validation: its last weights, and a card that says so.
    let card = export(&at("second"), &model, Numbers::Fp16, &Changes::default()).unwrap();
    let card = fs::read_to_string(card).unwrap();
    assert!(
        card.contains("no validation") && !card.contains("| mean |"),
        "{card}"
    );
    fs::create_dir(at("third")).unwrap();
    let message = format!(
        "{:#}",
        export(&at("third"), &model, Numbers::Fp16, &Changes::default()).unwrap_err()
    );
    assert!(
        message.contains("neither been validated nor finished"),
        "{message}"
    );
}

#[test]
fn adaptation_needs_a_model_to_start_from() {
    let config = config(&[
        "stage=adapt",
        "model.hd=true",
        "data.patch=16",
        "start.zero=[]",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let message = format!(
        "{:#}",
        run(&config, folder.path(), &Scene::new(&config, true), &NEVER).unwrap_err()
    );
    assert!(message.contains("--from"), "{message}");
}

#[test]
fn a_frozen_weight_that_came_from_no_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = "optimiser.frozen=[\"FlowNet.\"]";
    let random = config(&[frozen]);
    let message = format!(
        "{:#}",
        run(&random, folder.path(), &Scene::new(&random, false), &NEVER).unwrap_err()
    );
    for word in [
        "'FlowNet.'",
        "random",
        "fetch-weights",
        "weights/warm-start.safetensors",
    ] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(!folder.path().join(LAST).exists());

    // The flow network of a file is enough, though nothing else is in it.
    let file = folder.path().join("flow.safetensors");
    let network = initial_network(&config(&[]), Device::Cpu).unwrap();
    let flow: Vec<(String, Tensor)> = network
        .weights()
        .variables()
        .into_iter()
        .filter(|(name, _)| name.starts_with("FlowNet."))
        .collect();
    Tensor::write_safetensors(&flow, &file).unwrap();
    let from = format!("start.weights=[\"{}\"]", file.display());
    let started = config(&[frozen, &from, "optimiser.steps=2"]);
    let started = refvsr_train::run::network_to_train(&started, Device::Cpu).unwrap();
    assert_eq!(started.config().num_blocks, 1);
    // Every preset of the paper's first stage names such a file.
    for preset in [
        "refvsr-mfid",
        "refvsr-l1",
        "refvsr-small-mfid",
        "refvsr-small-l1",
        "refvsr-ir-mfid",
        "refvsr-ir-l1",
    ] {
        let config = Config::load(preset, &[]).unwrap();
        let names = config
            .start
            .weights
            .iter()
            .map(|weights| weights.file().display().to_string());
        assert_eq!(
            names.collect::<Vec<_>>(),
            ["weights/warm-start.safetensors"],
            "{preset}"
        );
    }
}

#[test]
fn information_refill_starts_from_a_trained_extractor() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edvr.safetensors");
    let small = |more: &[&str]| {
        let overrides = [
            "device=cpu",
            "model.mid_channels=4",
            "model.num_blocks=1",
            "model.frame_num=3",
            "data.windows=1",
            "start.weights=[]",
            "optimiser.frozen=[]",
        ];
        let all: Vec<String> = overrides
            .iter()
            .chain(more)
            .map(|s| (*s).to_owned())
            .collect();
        Config::load("refvsr-ir-l1", &all).unwrap()
    };
    // Its weights as mmediting names them.
    let trained = refvsr_train::run::initial_network(&small(&["seed=7"]), Device::Cpu).unwrap();
    let trained: Tensors = trained.weights().variables().into_iter().collect();
    let theirs: Vec<(String, &Tensor)> = trained
        .iter()
        .filter_map(|(name, t)| Some((format!("generator.{}", name.strip_prefix("edvr.")?), t)))
        .collect();
    Tensor::write_safetensors(&theirs, &file).unwrap();

    let from = format!("start.weights=[\"{}\"]", file.display());
    let config = small(&[
        &from,
        "optimiser.steps=2",
        "optimiser.batch=1",
        "validation.every=0",
        "validation.clips=0",
        "output.picture_every=1000",
    ]);
    let network = refvsr_train::run::initial_network(&config, Device::Cpu).unwrap();
    for (name, variable) in network.weights().variables() {
        assert_eq!(
            variable.equal(&trained[&name]),
            name.starts_with("edvr."),
            "{name}"
        );
        assert!(
            !name.contains("conv_offset") || variable.count_nonzero(None).int64_value(&[]) == 0,
            "{name}: undeformed at first"
        );
    }
    let outcome = run(
        &config,
        &folder.path().join("run"),
        &Scene::new(&config, false),
        &NEVER,
    )
    .unwrap();
    assert!(outcome.finished);
    let losses = losses(&folder.path().join("run"));
    assert!(
        losses.len() == 2 && losses.iter().all(|loss| loss.is_finite()),
        "{losses:?}"
    );
}
