//! Choice of the compute device and of the precision.

pub use crate::native::cuda::with_tf32;
use crate::{Error, Result};
use std::{fmt, str::FromStr, sync::LazyLock};
use tch::{Cuda, Device};

/// Where the network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first CUDA device if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

impl DeviceChoice {
    /// Finds the device.
    ///
    /// # Errors
    /// [`Error::DeviceUnavailable`] where a CUDA device was asked for and is not there.
    pub fn resolve(self) -> Result<Device> {
        let devices = cuda_devices();
        match (self, devices) {
            (Self::Cpu, _) | (Self::Auto, Err(_)) => Ok(Device::Cpu),
            (Self::Auto, Ok(_)) => Ok(Device::Cuda(0)),
            (Self::Cuda(n), Ok(count)) if n < count => Ok(Device::Cuda(n)),
            (Self::Cuda(_), Ok(count)) => Err(self.unavailable(format!(
                "this machine has {count} CUDA devices (cuda:0 is the first)"
            ))),
            (Self::Cuda(_), Err(why)) => {
                Err(self.unavailable(format!("{why}; use 'cpu' or 'auto'")))
            }
        }
    }

    fn unavailable(self, why: String) -> Error {
        Error::DeviceUnavailable {
            wanted: self.to_string(),
            why,
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let number = |n: &str| n.parse().ok().map(Self::Cuda);
        match s {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => s.strip_prefix("cuda:").and_then(number),
        }
        .ok_or_else(|| Error::Parse {
            what: "device",
            value: s.to_owned(),
            allowed: "auto, cpu, cuda, cuda:N",
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// The number of CUDA devices, or why there is none.
fn cuda_devices() -> std::result::Result<usize, &'static str> {
    if !*CUDA_LIBRARY {
        return Err("this libtorch has no CUDA part (libtorch_cuda could not be opened)");
    }
    match Cuda::device_count() {
        count @ 1.. if Cuda::is_available() => Ok(usize::try_from(count).unwrap_or(0)),
        _ => Err("no CUDA device or no working NVIDIA driver was found"),
    }
}

/// Opens the CUDA half of libtorch where it exists; it registers itself when loaded.
///
/// Linking against it would not do: the linker drops a library of which no symbol is used, and a binary that insists on
/// it does not start where only the CPU half is installed. So one binary serves both.
static CUDA_LIBRARY: LazyLock<bool> = LazyLock::new(|| {
    // SAFETY: running libtorch_cuda's initialisers is what any program linked to it does.
    match unsafe { libloading::Library::new("libtorch_cuda.so") } {
        Ok(library) => {
            std::mem::forget(library); // its registrations must outlive everything
            true
        }
        Err(_) => false,
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!(
            "cuda".parse::<DeviceChoice>().unwrap(),
            DeviceChoice::Cuda(0)
        );
    }

    #[test]
    fn nonsense_is_refused_with_the_allowed_values() {
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            let message = bad.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(message.contains("auto, cpu, cuda, cuda:N"), "{message}");
        }
    }

    #[test]
    fn an_absent_cuda_device_is_a_clear_error() {
        let message = DeviceChoice::Cuda(999).resolve().unwrap_err().to_string();
        assert!(
            message.contains("cuda:999") && message.contains("CUDA"),
            "{message}"
        );
        assert_eq!(DeviceChoice::Cpu.resolve().unwrap(), Device::Cpu);
        DeviceChoice::Auto.resolve().unwrap();
    }
}
