use super::*;

#[test]
fn presets_parse_and_are_the_papers() {
    for (name, text) in PRESETS {
        let config = Config::parse(text, &[]).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        if let Ok(model) = ModelConfig::preset(name) {
            assert_eq!(config.model, model, "{name}");
            assert_eq!(
                config.stage,
                if model.hd {
                    Stage::Adapt
                } else {
                    Stage::Pretrain
                },
                "{name}"
            );
        }
        assert_eq!(
            Config::parse(&config.to_toml().unwrap(), &[]).unwrap(),
            config,
            "{name}"
        );
        let bare = text.lines().filter(|l| {
            l.contains(" = ") && !l.trim_start().starts_with('#') && !l.contains(" # ")
        });
        assert_eq!(
            bare.collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "{name}: every value says why"
        );
    }
}

#[test]
fn overrides_are_typed_and_unknown_keys_refused() {
    let text = PRESETS[0].1;
    let with = |overrides: &[&str]| {
        Config::parse(
            text,
            &overrides
                .iter()
                .map(|s| (*s).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let config = with(&[
        "optimiser.rate=1",
        "data.root=/some/where",
        "optimiser.frozen=[\"a\", \"b\"]",
        "seed = 7",
    ])
    .unwrap();
    assert_eq!(
        (
            config.optimiser.rate,
            config.seed,
            config.optimiser.frozen.len()
        ),
        (1.0, 7, 2)
    );
    assert_eq!(config.data.root, Path::new("/some/where"));
    assert_eq!(
        config.difference(&with(&[]).unwrap()).unwrap(),
        ["data.root", "optimiser.frozen", "optimiser.rate", "seed"]
    );
    for (bad, why) in [
        ("optimiser.speed=1", "speed"),
        ("nothing.at=1", "nothing"),
        ("seed.a=1", "seed"),
        ("seed", "NAME=VALUE"),
        ("optimiser.steps=0", "optimiser.steps is 0"),
        ("optimiser.rate=fast", "invalid type"),
        ("loss.terms=L7", "L7"),
        ("data.patch=63", "data.patch is 63"),
        ("stage=adapt", "model.hd"),
        (
            "optimiser.precision=bf16",
            "bf16', which tch's autocast cannot do; fp32, tf32 or fp16",
        ),
        (
            "optimiser.precision=half",
            "'half', fp32, tf32 or fp16 expected",
        ),
    ] {
        let message = format!("{:#}", with(&[bad]).unwrap_err());
        assert!(message.contains(why), "{bad}: {message}");
    }
}
