//! What reading a hostile model file may take of memory.

use refvsr::{Error, checkpoint::Checkpoint};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write,
    path::Path,
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Counts what each thread of Rust code holds, and the most it ever held.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn count(taken: usize, given: usize) {
    // A thread that ends frees memory when its counters are gone already.
    _ = HELD.try_with(|held| {
        held.set((held.get() + taken).saturating_sub(given));
        _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new place may both exist while the content moves.
        count(size, 0);
        count(0, layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes that reading took at most, and what was said.
fn read(bytes: &[u8]) -> (usize, String) {
    let before = HELD.get();
    MOST.set(before);
    let error = Checkpoint::parse(bytes, Path::new("hostile.pth")).unwrap_err();
    let most = MOST.get() - before;
    let Error::Checkpoint { problem, .. } = error else {
        panic!("{error}")
    };
    (most, problem.to_string())
}

/// A zip archive as `torch.save` writes it, with this pickle in it and one storage of 16 bytes.
fn archive(body: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [
        ("m/data.pkl", &[b"\x80\x02", body, b"."].concat()[..]),
        ("m/data/0", &[0; 16]),
    ] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn text(t: &str) -> Vec<u8> {
    let length = (t.len() as u32).to_le_bytes();
    [b"X".as_slice(), &length, t.as_bytes()].concat()
}

/// A tensor of one number in storage 0, on the stack.
fn tensor(key: &str) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text(key),
        text("cpu"),
        b"K\x04tQK\x00K\x01\x85K\x01\x85\x89}tR".to_vec(),
    ]
    .concat()
}

const CODE: usize = 2 << 20;

/// `start`, then `again` as often as 2 MiB have room.
fn repeated(start: &[u8], again: &[u8]) -> Vec<u8> {
    let times = (CODE - start.len()) / again.len();
    archive(&[start, &again.repeat(times)].concat())
}

#[test]
fn a_pickle_takes_a_small_multiple_of_its_file() {
    let long = "n".repeat(CODE / 2);
    // A tensor is stored as 7, to be recalled under ever new names or as it is.
    let one = [tensor("0"), b"q\x07".to_vec()].concat();
    let named = |n: usize| {
        let name = format!("{n:06x}");
        [&[0x8c, 6], name.as_bytes(), b"h\x07"].concat()
    };
    let cases: [(&str, Vec<u8>); 15] = [
        ("dictionaries", repeated(b"", b"}")),
        (
            "OrderedDicts",
            repeated(b"", b"ccollections\nOrderedDict\n)R"),
        ),
        ("lists", repeated(b"", b"]")),
        ("marks", repeated(b"", b"(")),
        ("empty tuples", repeated(b"", b")")),
        ("tuples", repeated(b"", b"N\x85")),
        ("numbers", repeated(b"", b"K\x01")),
        ("empty texts", repeated(b"", b"\x8c\x00")),
        (
            "remembered",
            archive(
                &[
                    b"N".to_vec(),
                    (0..CODE as u32 / 5)
                        .flat_map(|n| [&b"r"[..], &n.to_le_bytes()].concat())
                        .collect(),
                ]
                .concat(),
            ),
        ),
        ("items of a list", repeated(b"\x8c\x01aq\x00]", b"h\x00a")),
        (
            "items of a dictionary",
            repeated(
                &[one.clone(), b"\x8c\x01aq\x08}".to_vec()].concat(),
                b"h\x08h\x07s",
            ),
        ),
        (
            "a long name in many dictionaries",
            repeated(&[text(&long), b"q\x00".to_vec()].concat(), b"}h\x00Ns"),
        ),
        (
            "storages with a long key",
            repeated(
                &[
                    b"(".to_vec(),
                    text("storage"),
                    b"ctorch\nFloatStorage\n".to_vec(),
                    text(&long),
                    text("cpu"),
                    b"K\x04tq\x00".to_vec(),
                ]
                .concat(),
                b"h\x00Q",
            ),
        ),
        ("tensors", repeated(b"", &tensor("0"))),
        (
            "names of one tensor",
            archive(
                &[
                    one,
                    b"}(".to_vec(),
                    (0..CODE / 11).flat_map(named).collect(),
                    b"u".to_vec(),
                ]
                .concat(),
            ),
        ),
    ];
    for (what, file) in cases {
        let (most, said) = read(&file);
        let share = most as f64 / file.len() as f64;
        assert!(share < 10.0, "{what}: {share:.1} times the file; {said}");
        assert!(
            said.contains("far more") || said.contains("in place of a dictionary"),
            "{what}: {said}"
        );
    }
}

/// Thousands of tensors of one number each take more memory for their names than for their data.
#[test]
fn many_small_tensors_are_no_attack() {
    let mut code = b"}(".to_vec();
    for n in 0..1000 {
        code.extend(text(&format!("layers.{n}.attention.weight")));
        code.extend(tensor("0"));
    }
    let (_, said) = read(&archive(&[&code[..], b"u"].concat()));
    assert!(said.contains("no tensor 'conv_hr.weight'"), "{said}");
}
