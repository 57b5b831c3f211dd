//! Memory of libtorch's large CPU tensors is used again. One test, because it is the whole process's.

use refvsr::memory::{reuse, trim, waiting};
use tch::{Device, Kind, Tensor};

#[test]
fn freed_tensors_are_used_again_and_never_add_much_to_the_peak() {
    reuse();
    trim();
    let mib = |n: i64| Tensor::zeros([n << 20], (Kind::Uint8, Device::Cpu));
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
    let second = mib(200);
    assert_eq!(second.data_ptr(), place);
    drop(second);
    // For a larger one the old region goes: the two together never were in use.
    let third = mib(300);
    assert!(waiting() < 60 << 20, "{} bytes wait", waiting());
    drop(third);
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
