//! Bindings of the C++ kernels beside this file: what libtorch has no fast form of on a CPU.

pub mod blur;
pub mod cuda;
pub mod direct;
mod joined;
pub mod matching;
pub mod memory;
pub mod sample;
pub mod trace;
pub mod winograd;

/// Where the numbers of a tensor lie that is fp32 and on the CPU.
fn data(x: &tch::Tensor) -> *const f32 {
    x.data_ptr().cast::<f32>().cast_const()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// The variable that names a lesser set of instructions than the processor's best.
    const SET: &str = "REFVSR_CPU";

    #[test]
    fn every_set_of_instructions_passes_the_kernels_tests() {
        if std::env::var_os(SET).is_some() {
            return; // one of those started below
        }
        // A set that the processor lacks is replaced by the best that it has.
        for set in ["baseline", "avx2", "wide", "avx512"] {
            let tests = Command::new(std::env::current_exe().unwrap())
                .args(["native::", "net::conv::", "net::matching::"])
                .env(SET, set)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&tests.stdout);
            assert!(tests.status.success(), "{set}: {text}");
            assert!(text.contains("native::winograd"), "{text}");
        }
    }
}
