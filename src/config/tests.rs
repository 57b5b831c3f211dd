//! Tests.

use super::*;

#[test]
fn presets_are_valid_and_found_by_name() {
    for p in PRESETS {
        let config = ModelConfig::preset(p.name).unwrap();
        config.validate().unwrap();
        assert_eq!(config, p.config());
    }
    let c = ModelConfig::preset("refvsr-small-mfid-8k").unwrap();
    assert_eq!(
        (
            c.mid_channels,
            c.num_blocks,
            c.frame_num,
            c.hd,
            c.reset_interval
        ),
        (24, 24, 3, true, Some(9))
    );
    let message = ModelConfig::preset("edvr").unwrap_err().to_string();
    assert!(
        message.contains("'edvr'") && message.contains("refvsr-ir-mfid"),
        "{message}"
    );
}

#[test]
fn kernel_follows_scale_and_hd() {
    let c = ModelConfig::preset("refvsr-mfid").unwrap();
    assert_eq!(c.matching_kernel(), 2);
    assert_eq!(
        ModelConfig {
            scale: 2,
            ..c.clone()
        }
        .matching_kernel(),
        4
    );
    assert_eq!(
        ModelConfig {
            hd: true,
            ..c.clone()
        }
        .matching_kernel(),
        8
    );
    assert_eq!(c.look_ahead(), 3);
}

#[test]
fn errors_name_field_value_and_allowed() {
    let good = ModelConfig::preset("refvsr-mfid").unwrap();
    let cases = [
        (
            ModelConfig {
                mid_channels: 0,
                ..good.clone()
            },
            "mid_channels is 0, allowed is 1 to 512",
        ),
        (
            ModelConfig {
                num_blocks: 999,
                ..good.clone()
            },
            "num_blocks is 999, allowed is 1 to 200",
        ),
        (
            ModelConfig {
                frame_num: 4,
                ..good.clone()
            },
            "frame_num is 4, allowed is an odd number",
        ),
        (
            ModelConfig {
                scale: 3,
                ..good.clone()
            },
            "scale is 3, allowed is 2 or 4",
        ),
        (
            ModelConfig {
                variant: Variant::Registered,
                ..good.clone()
            },
            "Registered with scale 4, hd false, recurrence Upstream, allowed is",
        ),
        (
            ModelConfig {
                flow_levels: 5,
                ..good.clone()
            },
            "flow_levels is 5, allowed is 0 to 6 for the live variant, 1 to 6 for the registered one, else 6",
        ),
        (
            ModelConfig {
                first_looks: 2,
                ..good.clone()
            },
            "first_looks is 2, allowed is 1 to 9 for the registered and the live variant, else 1",
        ),
        (
            ModelConfig {
                reset_interval: Some(0),
                ..good
            },
            "reset_interval is 0",
        ),
    ];
    for (config, expected) in cases {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
