//! Model files.

use super::inputs::{corpus, told};
use crate::attack::{LIMITS, Limits, Target};
use refvsr::checkpoint::Checkpoint;
use std::{io::Write, path::Path};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Files of all three kinds: archives, the older state dicts, safetensors.
pub const CHECKPOINT: Target = Target {
    name: "checkpoint",
    seeds: || [corpus("checkpoint"), vec![archive(&pickled())]].concat(),
    words: &[
        "PK\x01\x02",
        "PK\x03\x04",
        "PK\x05\x06",
        "m/data.pkl",
        "m/data/0",
        "\"dtype\":\"F32\"",
        "\"F16\"",
        "\"shape\":[",
        "\"data_offsets\":[0,8]",
        "\"__metadata__\":{",
        "\\\"mid_channels\\\":",
        "\\\"format\\\":1",
        "18446744073709551615",
        "-1",
        "{",
        "[",
    ],
    run: parse,
    limits: LIMITS,
};

/// The pickle in an archive, whose checksums are then right.
pub const PICKLE: Target = Target {
    name: "pickle",
    seeds: || [corpus("pickle"), vec![pickled()]].concat(),
    words: &[
        "ctorch._utils\n_rebuild_tensor_v2\n",
        "ctorch\nFloatStorage\n",
        "ccollections\nOrderedDict\n",
        "cos\nsystem\n",
        "X\x07\0\0\0storage",
        "X\x0e\0\0\0conv_hr.weight",
        "K\x01",
        "M\u{7f}\u{7f}",
        "(",
        "t",
        "}",
        ")",
        "R",
        "Q",
        "q\0",
        "h\0",
        "u",
        "s",
        ".",
        "2",
        "\u{0}",
    ],
    run: |input| parse(&archive(input)),
    // The archive around it is made here.
    limits: Limits {
        memory: LIMITS.memory + (1 << 20),
        ..LIMITS
    },
};

fn parse(input: &[u8]) -> String {
    told(Checkpoint::parse(input, Path::new("hostile.pth")))
}

/// An archive as `torch.save` writes it, with this pickle and a storage of 16 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("m/data.pkl", pickle), ("m/data/0", &[0; 16])] {
        let written = zip
            .start_file(name, stored)
            .and_then(|()| Ok(zip.write_all(bytes)?));
        if let Err(error) = written {
            panic!("an archive in memory: {error}");
        }
    }
    match zip.finish() {
        Ok(archive) => archive.into_inner(),
        Err(error) => panic!("an archive in memory: {error}"),
    }
}

fn text(t: &str) -> Vec<u8> {
    let length = (t.len() as u32).to_le_bytes();
    [b"X", &length[..], t.as_bytes()].concat()
}

/// A state dict of two tensors of 2 x 2 numbers in one storage.
fn pickled() -> Vec<u8> {
    let mut code = b"\x80\x02ccollections\nOrderedDict\nq\0)R(".to_vec();
    for name in ["conv_hr.weight", "conv_hr.bias"] {
        code.extend(text(name));
        code.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        code.extend(text("storage"));
        code.extend(b"ctorch\nFloatStorage\n");
        code.extend([text("0"), text("cpu")].concat());
        code.extend(b"K\x04tQK\0K\x02K\x02\x86K\x02K\x01\x86\x89)RtR");
    }
    code.extend(b"u.");
    code
}
