//! What encoders call quality, bitrate and speed.

/// How an encoder is told what matters. `{}` stands for the number.
pub struct Knobs {
    pub factory: &'static str,
    pub quality: &'static [(&'static str, &'static str)],
    /// What `--crf` is where the user gives neither it nor a bitrate.
    pub default: u32,
    pub bitrate: &'static [(&'static str, &'static str)],
    /// Kilobits, or bits, in one unit of the bitrate.
    pub bits: bool,
    pub preset: Option<&'static str>,
}

const fn knobs(
    factory: &'static str,
    quality: &'static [(&'static str, &'static str)],
    default: u32,
    bitrate: &'static [(&'static str, &'static str)],
    bits: bool,
    preset: &'static str,
) -> Knobs {
    Knobs {
        factory,
        quality,
        default,
        bitrate,
        bits,
        preset: Some(preset),
    }
}

const QP: &[(&str, &str)] = &[
    ("rate-control", "cqp"),
    ("qpi", "{}"),
    ("qpp", "{}"),
    ("qpb", "{}"),
];
const VAAPI_QP: &[(&str, &str)] = &[("rate-control", "cqp"), ("init-qp", "{}")];
const NV_QP: &[(&str, &str)] = &[("rc-mode", "constqp"), ("qp-const", "{}")];
const CBR: &[(&str, &str)] = &[("rate-control", "cbr"), ("bitrate", "{}")];
const NV_CBR: &[(&str, &str)] = &[("rc-mode", "cbr"), ("bitrate", "{}")];

/// The encoders known here; the better one of equal rank first.
pub const KNOBS: [Knobs; 15] = [
    knobs(
        "x264enc",
        &[("pass", "qual"), ("quantizer", "{}")],
        18,
        &[("bitrate", "{}")],
        false,
        "speed-preset",
    ),
    knobs(
        "x265enc",
        &[("option-string", "crf={}")],
        20,
        &[("bitrate", "{}")],
        false,
        "speed-preset",
    ),
    knobs(
        "openh264enc",
        &[("rate-control", "off"), ("qp-min", "{}"), ("qp-max", "{}")],
        20,
        &[("rate-control", "bitrate"), ("bitrate", "{}")],
        true,
        "complexity",
    ),
    knobs(
        "vp9enc",
        // A target of its own would cap the quality, and the default one is that of a telephone call.
        &[
            ("end-usage", "cq"),
            ("cq-level", "{}"),
            ("target-bitrate", "2000000000"),
        ],
        20,
        &[("target-bitrate", "{}")],
        true,
        "cpu-used",
    ),
    knobs(
        "av1enc",
        &[
            ("end-usage", "q"),
            ("min-quantizer", "{}"),
            ("max-quantizer", "{}"),
        ],
        20,
        &[("target-bitrate", "{}")],
        false,
        "cpu-used",
    ),
    knobs(
        "svtav1enc",
        &[("crf", "{}")],
        24,
        &[("target-bitrate", "{}")],
        false,
        "preset",
    ),
    knobs(
        "rav1enc",
        &[("quantizer", "{}")],
        60,
        &[("bitrate", "{}")],
        true,
        "speed-preset",
    ),
    knobs("nvh264enc", NV_QP, 20, NV_CBR, false, "preset"),
    knobs("nvh265enc", NV_QP, 20, NV_CBR, false, "preset"),
    knobs("vah264enc", QP, 20, CBR, false, "target-usage"),
    knobs("vah265enc", QP, 20, CBR, false, "target-usage"),
    knobs("vaapih264enc", VAAPI_QP, 20, CBR, false, "quality-level"),
    knobs("vaapih265enc", VAAPI_QP, 20, CBR, false, "quality-level"),
    Knobs {
        factory: "avenc_ffv1",
        quality: &[],
        default: 0,
        bitrate: &[],
        bits: false,
        preset: None,
    },
    Knobs {
        factory: "avenc_prores_ks",
        quality: &[],
        default: 0,
        // Its own default is 200 kbit/s for any size, and the encoder takes it for an order of magnitude only.
        bitrate: &[("bitrate", "{}")],
        bits: true,
        preset: None,
    },
];
