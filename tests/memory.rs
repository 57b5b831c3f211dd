//! Memory of libtorch's large CPU tensors is used again. One test, because it is the whole process's.

use refvsr::memory::{reuse, trim, waiting};
use tch::{Device, Kind, Tensor};

/// Every byte of these MiB of a tensor is `byte`.
fn all(tensor: &Tensor, mib: std::ops::Range<i64>, byte: i64) {
    let part = tensor.narrow(0, mib.start << 20, (mib.end - mib.start) << 20);
    let (least, most) = (part.min().int64_value(&[]), part.max().int64_value(&[]));
    assert_eq!((least, most), (byte, byte), "{mib:?}");
}

#[test]
fn freed_tensors_are_used_again_and_never_add_much_to_the_peak() {
    reuse();
    trim();
    let mib = |n: i64| Tensor::zeros([n << 20], (Kind::Uint8, Device::Cpu));
    let filled = |n: i64, with: i64| mib(n).fill_(with);
    let first = mib(200);
    let place = first.data_ptr();
    drop(first);
    assert!(waiting() >= 200 << 20);
    // Smaller tensors lie where the first one lay, all within its memory.
    let some: Vec<Tensor> = [90, 60, 50].map(mib).into();
    assert_eq!(some[0].data_ptr(), place);
    assert!(some.iter().all(|t| t.max().int64_value(&[]) == 0));
    assert!(waiting() < 2 << 20, "{} bytes wait", waiting());
    drop(some);
    // Joined again, they make room for one that is as large as the first.
    let second = filled(200, 7);
    assert_eq!(second.data_ptr(), place);
    drop(second);
    // For a larger one the old region goes, since the two together never were in use, but its pages
    // become the new one's as far as both would be too many: the system need not clear others.
    let mut third = Tensor::empty([300 << 20], (Kind::Uint8, Device::Cpu));
    assert!(waiting() < 60 << 20, "{} bytes wait", waiting());
    all(&third, 0..168, 7);
    all(&third.fill_(8), 0..300, 8);
    // It and a smaller one beside it become one of both their pages.
    let beside = filled(40, 9);
    drop((third, beside));
    let fourth = Tensor::empty([420 << 20], (Kind::Uint8, Device::Cpu));
    assert!(waiting() < 80 << 20, "{} bytes wait", waiting());
    all(&fourth, 0..300, 8);
    all(&fourth, 300..340, 9);
    drop(fourth);
    trim();
    assert_eq!(waiting(), 0);
    values_survive_in_small_and_large_tensors();
}

fn values_survive_in_small_and_large_tensors() {
    reuse();
    let tensors: Vec<Tensor> = (0..40)
        .map(|i| Tensor::full([1 << (10 + i % 12)], i, (Kind::Float, Device::Cpu)))
        .collect();
    for (i, tensor) in tensors.iter().enumerate() {
        assert_eq!(tensor.min().double_value(&[]), i as f64);
        assert_eq!(tensor.max().double_value(&[]), i as f64);
    }
}
