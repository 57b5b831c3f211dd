//! Memory of libtorch's large CPU tensors is used again. One test, because it is the whole process's.

use refvsr::memory::{reuse, trim, waiting};
use tch::{Device, Kind, Tensor};

#[test]
fn freed_tensors_are_used_again_and_never_add_to_the_peak() {
    reuse();
    trim();
    let mib = |n: i64| Tensor::zeros([n << 20], (Kind::Uint8, Device::Cpu));
    let first = mib(24);
    let place = first.data_ptr();
    drop(first);
    assert!(waiting() >= 24 << 20);
    // A tensor of about the same size lies where the first one lay.
    let second = mib(22);
    assert_eq!(second.data_ptr(), place);
    assert_eq!(second.max().int64_value(&[]), 0);
    drop(second);
    // A larger one makes the smaller block go: the two together never were in use.
    let third = mib(30);
    assert!(waiting() < 24 << 20, "{} bytes wait", waiting());
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
