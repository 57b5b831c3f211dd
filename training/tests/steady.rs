//! Long films, and the lesson that learns from them part by part, on networks so small that a step
//! takes milliseconds.

mod common;

use common::photos;
use refvsr::{Network, checkpoint, checkpoint::Tensors};
use refvsr_train::{
    config::Config,
    data::{
        batch::{ClipPatch, Source},
        random::Random,
    },
    films::{
        Filming, Films, Options,
        film::{Film, Reduction},
        way::Support,
    },
    optimise::{StepReport, Trainer, parallel::Processes},
    precision::Precision,
    run::{initial_network, lesson},
    synthesize::reduce::reduce,
};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

fn options() -> Options {
    Options {
        films: Films {
            streams: 6,
            shortest: 8,
            longest: 200,
            before: 4,
            still: 0.45,
            noise: 5.0,
            other_reductions: 0.25,
            recorded: 0.0,
        },
        patch: 16,
        scale: 4,
        part: 4,
        ahead: 3,
        augment: true,
        recoloured: 0.3,
        seed: 3,
    }
}

fn filming(change: impl FnOnce(&mut Options)) -> Filming {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let mut options = options();
    change(&mut options);
    Filming::open(folder.path(), options).unwrap()
}

/// Frame `i` of those shown.
fn frame(patch: &ClipPatch, i: usize) -> Tensor {
    patch.lr.narrow(0, i as i64, 1)
}

#[test]
fn every_part_begins_where_the_one_before_it_ended() {
    let films = filming(|_| ());
    assert_eq!(films.photos(), 2);
    let mut last: BTreeMap<u64, ClipPatch> = BTreeMap::new();
    let (mut begun, mut followed) = (0, 0);
    for k in 0..120 {
        let patch = films.patch(k).unwrap();
        let part = patch.part.unwrap();
        assert_eq!(part.stream, k % 6, "streams take turns");
        let shown = patch.lr.size()[0] as usize;
        let ahead = shown - part.before - part.frames;
        assert!((3..=6).contains(&ahead), "{ahead} frames ahead");
        assert_eq!(patch.hr.size(), [4, 3, 64, 64]);
        match last.get(&part.stream) {
            Some(former) if part.first > 0 => {
                let was = former.part.unwrap();
                assert_eq!(part.first, was.first + was.frames);
                assert_eq!(part.before, 4);
                // What was seen ahead comes, noise and all.
                for i in 0..4 {
                    let (now, then) = (frame(&patch, i), frame(former, was.before + i));
                    assert!(now.equal(&then), "patch {k}, frame {i}");
                }
                assert!(frame(&patch, 4).equal(&frame(former, was.before + 4)));
                followed += 1;
            }
            _ => {
                assert!(part.first == 0 || k < 6);
                begun += usize::from(part.first == 0);
            }
        }
        last.insert(part.stream, patch);
    }
    assert!(begun >= 6 && followed >= 60, "{begun} begun, {followed}");
    // Whatever was asked for before.
    let mut stream = films.start(37).unwrap();
    let (one, other) = (stream.next().unwrap().unwrap(), films.patch(37).unwrap());
    assert!(one.lr.equal(&other.lr) && one.hr.equal(&other.hr) && one.name == other.name);
}

#[test]
fn states_are_as_old_as_in_use() {
    // Ages do not need pictures, but pictures are cheap.
    let films = filming(|o| (o.patch, o.films.streams) = (4, 16));
    let ages: Vec<usize> = (0..1600)
        .map(|k| films.patch(k).unwrap().part.unwrap().first)
        .collect();
    let share =
        |of: &dyn Fn(usize) -> bool| ages.iter().filter(|&&a| of(a)).count() as f64 / 1600.0;
    let (first, young, old) = (share(&|a| a == 0), share(&|a| a < 20), share(&|a| a >= 100));
    assert!((0.04..0.12).contains(&first), "{first} begin");
    assert!((0.2..0.5).contains(&young), "{young} are young");
    assert!((0.1..0.35).contains(&old), "{old} are old");
    // Streams do not end together.
    let at_once = ages
        .chunks(16)
        .map(|round| round.iter().filter(|&&a| a == 0).count());
    assert!(at_once.skip(1).max() < Some(8));
}

#[test]
fn films_are_as_they_were_drawn() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let films = filming(|_| ());
    let drawn: Vec<Film> = (0..2000)
        .map(|k| films.draw(&mut Random::new(1, 2, k), 12))
        .collect();
    let share = |of: &dyn Fn(&Film) -> bool| {
        drawn.iter().filter(|film| of(film)).count() as f64 / drawn.len() as f64
    };
    for (what, expected, found) in [
        ("clean", 0.4, share(&|f| f.noise == 0.0)),
        (
            "on a tripod",
            0.45,
            share(&|f| f.support == Support::Tripod),
        ),
        (
            "bicubic",
            0.75,
            share(&|f| f.reduction == Reduction::Bicubic),
        ),
        (
            "noise over 2 codes",
            0.12,
            share(&|f| f.noise > 2.0 / 255.0),
        ),
    ] {
        assert!((found - expected).abs() < 0.04, "{what}: {found}");
    }
    assert!(
        drawn
            .iter()
            .all(|f| f.noise <= 5.0 / 255.0 && f.len() == 12)
    );
}

#[test]
fn inputs_are_what_a_sensor_makes_of_the_truth() {
    let still = |o: &mut Options, noise: f64| {
        o.films.still = 1.0;
        o.films.noise = noise;
        o.films.other_reductions = 0.0;
        (o.augment, o.recoloured) = (false, 0.0);
    };
    let clean = filming(|o| still(o, 0.0)).patch(0).unwrap();
    for i in 1..clean.lr.size()[0] as usize {
        assert!(frame(&clean, i).equal(&frame(&clean, 0)), "frame {i}");
    }
    let reduced = reduce(&clean.hr.narrow(0, 0, 1), 4).unwrap();
    let off = (reduced.clamp(0.0, 1.0) - frame(&clean, 0))
        .abs()
        .max()
        .double_value(&[]);
    assert!(off <= 0.5 / 255.0 + 1e-6, "{off}");

    // The same with noise: as much as the film says, other in every frame.
    let films = filming(|o| still(o, 5.0));
    let noisy = (0..60).map(|k| films.patch(k).unwrap()).find(|patch| {
        let difference = frame(patch, 0) - frame(patch, 1);
        difference.abs().max().double_value(&[]) > 6.0 / 255.0
    });
    let noisy = noisy.expect("a noisy film in 60");
    let difference = noisy.lr.narrow(0, 1, 3) - noisy.lr.narrow(0, 0, 3);
    let deviation = difference.std(false).double_value(&[]) / 2f64.sqrt() * 255.0;
    assert!((1.0..7.0).contains(&deviation), "{deviation} codes");
    assert!(noisy.hr.narrow(0, 0, 1).equal(&noisy.hr.narrow(0, 3, 1)));

    // What moves does so in the truth, too.
    let moving = filming(|o| {
        still(o, 0.0);
        o.films.still = 0.0;
    });
    let mut moved = 0;
    for k in 0..12 {
        let patch = moving.patch(k).unwrap();
        let (one, other) = (patch.hr.narrow(0, 0, 1), patch.hr.narrow(0, 3, 1));
        moved += usize::from(!one.equal(&other));
        let reduced = reduce(&other, 4).unwrap().clamp(0.0, 1.0);
        let at = patch.part.unwrap().before + 3;
        let off = (reduced - frame(&patch, at)).abs().max().double_value(&[]);
        assert!(off <= 0.5 / 255.0 + 1e-6, "patch {k}: {off}");
    }
    assert!(moved >= 8, "{moved} of 12");
}

/// A run's parts: a teacher of random weights, films, and what learns.
struct Rig {
    _folder: tempfile::TempDir,
    config: Config,
    films: Filming,
}

impl Rig {
    fn new(overrides: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        photos(folder.path());
        let teacher = folder.path().join("teacher.safetensors");
        let start = [format!("start.teacher={}", teacher.display())];
        let small = [
            "device=cpu",
            "model.mid_channels=8",
            "model.num_blocks=2",
            "data.patch=16",
            "optimiser.steps=100",
            "optimiser.warmup=0",
            "optimiser.rate=1e-3",
            "films.streams=4",
            "films.longest=40",
        ];
        let all: Vec<String> = small
            .iter()
            .chain(overrides)
            .map(|s| (*s).to_owned())
            .chain(start)
            .collect();
        let config = Config::load("light-steady", &all).unwrap();
        tch::manual_seed(4);
        let network = Network::new(config.model.clone(), Device::Cpu).unwrap();
        checkpoint::save(&network, &teacher, Kind::Float).unwrap();
        let films = Filming::open(
            folder.path(),
            Options {
                films: config.films.clone().unwrap(),
                patch: config.data.patch,
                ..options()
            },
        )
        .unwrap();
        Self {
            _folder: folder,
            config,
            films,
        }
    }

    fn trainer(&self) -> Trainer {
        let network = initial_network(&self.config, Device::Cpu).unwrap();
        let lesson = lesson(&self.config, network, Precision::Fp32).unwrap();
        Trainer::new(lesson, self.config.recipe(Precision::Fp32)).unwrap()
    }

    /// Trains on batches of two from patch `from` on.
    fn train(&self, trainer: &mut Trainer, from: u64, batches: usize) -> Vec<StepReport> {
        let mut steps = vec![];
        let mut patches = self.films.start(from).unwrap();
        for _ in 0..batches {
            let batch: Vec<ClipPatch> = patches.by_ref().take(2).map(Result::unwrap).collect();
            trainer
                .train_on(&batch, &Processes::one(), |step| steps.push(step.clone()))
                .unwrap();
        }
        steps
    }
}

fn weights(network: &Network) -> BTreeMap<String, Tensor> {
    let all = network.weights().variables().into_iter();
    all.map(|(name, w)| (name, w.detach().copy())).collect()
}

#[test]
fn the_forward_trunk_learns_and_nothing_else_changes() {
    let rig = Rig::new(&[]);
    let mut trainer = rig.trainer();
    let before = weights(trainer.network());
    let steps = rig.train(&mut trainer, 0, 5);
    assert_eq!(steps.len(), 5, "a step a batch");
    assert!(steps.iter().all(|s| s.total.is_finite() && !s.skipped));
    let after = weights(trainer.network());
    for (name, weight) in &before {
        let same = after[name].equal(weight);
        assert_eq!(same, !name.starts_with("forward_trunk."), "{name}");
    }
    // Last layers too, where the config says so; what gradients do not pass never.
    let rig = Rig::new(&["optimiser.frozen=[]"]);
    let mut trainer = rig.trainer();
    let before = weights(trainer.network());
    rig.train(&mut trainer, 0, 2);
    let after = weights(trainer.network());
    let changed = |prefix: &str| {
        let mut of = before.iter().filter(|(name, _)| name.starts_with(prefix));
        of.any(|(name, weight)| !after[name].equal(weight))
    };
    assert!(changed("conv_last.") && changed("upconv1.") && changed("fusion."));
    assert!(changed("backward_trunk.") && !changed("spynet."));
}

#[test]
fn recorded_films_come_back_from_an_encoder() {
    let recorded = |share: f64| {
        filming(move |o| {
            (o.films.recorded, o.films.noise) = (share, 0.0);
            o.films.longest = 20;
        })
    };
    let (films, plain) = (recorded(1.0), recorded(0.0));
    let mut last: BTreeMap<u64, ClipPatch> = BTreeMap::new();
    let (mut lost, mut followed) = (0.0, 0);
    for k in 0..24 {
        let patch = films.patch(k).unwrap();
        let clean = patch.clean.as_ref().unwrap();
        // The films are the same but for the encoder.
        let same = plain.patch(k).unwrap();
        assert!(clean.equal(&same.lr) && patch.hr.equal(&same.hr));
        assert!(same.clean.is_none());
        let loss = (&patch.lr - clean).square().mean(Kind::Float) * 255.0 * 255.0;
        let loss = loss.double_value(&[]);
        assert!(loss < 1500.0, "patch {k}: {loss}");
        lost += loss;
        let part = patch.part.unwrap();
        let former = last.get(&part.stream).filter(|_| part.first > 0);
        if let Some(former) = former {
            let was = former.part.unwrap();
            assert!(frame(&patch, part.before).equal(&frame(former, was.before + was.frames)));
            followed += 1;
        }
        last.insert(part.stream, patch);
    }
    assert!(lost / 24.0 > 2.0 && followed > 6, "{lost}, {followed}");
    // Whatever was asked for before.
    let (one, other) = (films.patch(17).unwrap(), recorded(1.0).patch(17).unwrap());
    assert!(one.lr.equal(&other.lr));
}

#[test]
fn features_should_be_those_of_clean_frames_where_films_are_recorded() {
    let unlike = |share: &str| {
        let rig = Rig::new(&[
            "optimiser.frozen=[]",
            "optimiser.rate=1e-12",
            "optimiser.final_rate=0",
            share,
        ]);
        let mut trainer = rig.trainer();
        let steps = rig.train(&mut trainer, 0, 1);
        let features = steps[0].parts.iter().find(|(name, _)| name == "features");
        features.unwrap().1
    };
    let (as_they_are, recorded) = (unlike("films.recorded=0"), unlike("films.recorded=1"));
    assert!(
        recorded > as_they_are + 1e-3,
        "{as_they_are} and {recorded}"
    );
}

#[test]
fn features_are_the_teachers_until_states_grow_older_than_its() {
    let rig = Rig::new(&[
        "optimiser.rate=1e-12",
        "optimiser.final_rate=0",
        "model.first_looks=1",
    ]);
    let mut trainer = rig.trainer();
    let (mut alike, mut older) = (0, 0);
    for k in 0..80 {
        let patch = rig.films.patch(k).unwrap();
        let first = patch.part.unwrap().first;
        let followed = trainer
            .state()
            .keys()
            .any(|name| *name == format!("stream.{}.{first}", k % 4));
        let batch = std::slice::from_ref(&patch);
        let mut steps = vec![];
        trainer
            .train_on(batch, &Processes::one(), |step| steps.push(step.clone()))
            .unwrap();
        let features = steps[0].parts.iter().find(|(name, _)| name == "features");
        let off = features.unwrap().1;
        if first == 0 || (first == 4 && followed) {
            assert!(off < 1e-4, "frame {first}: {off}");
            alike += 1;
        } else if followed {
            older += usize::from(off > 1e-4);
        }
    }
    assert!(alike >= 4 && older >= 10, "{alike} alike, {older} older");
}

#[test]
fn a_resumed_run_equals_one_that_was_never_stopped() {
    let rig = Rig::new(&[]);
    let mut whole = rig.trainer();
    rig.train(&mut whole, 0, 8);

    let mut first = rig.trainer();
    rig.train(&mut first, 0, 5);
    let state: Tensors = first.state();
    let kept = state.keys().filter(|name| name.starts_with("stream."));
    assert_eq!(kept.count(), 4, "what every stream ended with is saved");
    let mut second = rig.trainer();
    second
        .restore(&state, first.steps(), first.updates(), None)
        .unwrap();
    rig.train(&mut second, 10, 3);
    let (one, other) = (weights(whole.network()), weights(second.network()));
    for (name, weight) in &one {
        assert!(other[name].equal(weight), "{name}");
    }
    assert_eq!(
        whole.state().keys().collect::<Vec<_>>(),
        second.state().keys().collect::<Vec<_>>()
    );
}

#[test]
fn a_config_without_films_or_teacher_is_refused() {
    let refused = |overrides: &[&str], why: &str| {
        let all: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        let message = format!("{:#}", Config::load("light-steady", &all).unwrap_err());
        assert!(message.contains(why), "{overrides:?}: {message}");
    };
    refused(&["start.teacher="], "start.teacher is ''");
    refused(&["films.streams=0"], "films.streams is 0");
    refused(&["films.shortest=300"], "films.shortest is 300");
    refused(&["films.still=1.5"], "films.still is 1.5");
    refused(&["films.noise=-1"], "films.noise is -1");
    refused(&["lesson=fusion"], "start.teacher");
}
