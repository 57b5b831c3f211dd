//! State dicts as `torch.save` wrote them before 1.6.

use refvsr::{
    Error,
    checkpoint::{Tensors, read_tensors},
};

fn text(t: &str) -> Vec<u8> {
    [
        b"X".as_slice(),
        &(t.len() as u32).to_le_bytes(),
        t.as_bytes(),
    ]
    .concat()
}

const HEAD: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";

/// A file with one tensor `w` of 2 x 3 numbers 0.. in a storage of seven, at offset 1.
fn file(little_endian: bool, function: &str, nested: Option<&str>) -> Vec<u8> {
    let mut f = HEAD.to_vec();
    f.extend(
        [
            b"\x80\x02}q\x00(".as_slice(),
            &text("little_endian"),
            if little_endian {
                b"q\x02\x88u."
            } else {
                b"q\x02\x89u."
            },
        ]
        .concat(),
    );
    f.extend(b"\x80\x02");
    if let Some(name) = nested {
        f.extend([b"}".as_slice(), &text(name)].concat());
    }
    f.extend(b"ccollections\nOrderedDict\n)R(");
    f.extend(
        [
            text("w"),
            format!("c{function}\n((").into_bytes(),
            text("storage"),
        ]
        .concat(),
    );
    f.extend(
        [
            b"ctorch\nFloatStorage\n".to_vec(),
            text("77"),
            text("cuda:0"),
            b"K\x07NtQK\x01K\x02K\x03\x86K\x03K\x01\x86\x89NtRu".to_vec(),
        ]
        .concat(),
    );
    f.extend(if nested.is_some() {
        b"s.".as_slice()
    } else {
        b"."
    });
    f.extend([b"\x80\x02]q\x00".to_vec(), text("77"), b"a.".to_vec()].concat());
    f.extend(7u64.to_le_bytes());
    (-1..6).for_each(|n| f.extend((n as f32).to_le_bytes()));
    f
}

fn read(bytes: &[u8]) -> Result<Tensors, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read_tensors(file.path()).map_err(|error| {
        let Error::Checkpoint { problem, .. } = error else {
            panic!("{error}")
        };
        problem.to_string()
    })
}

const REBUILD: &str = "torch._utils\n_rebuild_tensor_v2";

#[test]
fn tensors_come_out_right() {
    for nested in [None, Some("params"), Some("state_dict")] {
        let tensors = read(&file(true, REBUILD, nested)).unwrap();
        assert_eq!(tensors["w"].size(), [2, 3]);
        assert_eq!(
            Vec::<f32>::try_from(tensors["w"].view(-1)).unwrap(),
            [0., 1., 2., 3., 4., 5.]
        );
    }
}

#[test]
fn what_is_wrong_is_said() {
    assert!(
        read(&file(false, REBUILD, None))
            .unwrap_err()
            .contains("big-endian")
    );
    assert!(
        read(&file(true, "os\nsystem", None))
            .unwrap_err()
            .contains("os.system")
    );
    let good = file(true, REBUILD, Some("params"));
    for length in 0..good.len() {
        read(&good[..length]).unwrap_err();
    }
    let mut claims = file(true, REBUILD, None);
    let at = claims.len() - 28 - 8;
    for count in [6u64, 8, 1 << 60, u64::MAX] {
        claims[at..at + 8].copy_from_slice(&count.to_le_bytes());
        read(&claims).unwrap_err();
    }
}

#[test]
fn no_bytes_panic() {
    let good = file(true, REBUILD, Some("params"));
    for at in HEAD.len()..good.len() - 28 {
        for value in [
            0, 1, 0x7f, 0xff, b'.', b'(', b'u', b'}', b']', b'e', b'a', b'Q', b'R', b't', b'q',
            b'h',
        ] {
            let mut bytes = good.clone();
            bytes[at] = value;
            _ = read(&bytes);
        }
    }
}
