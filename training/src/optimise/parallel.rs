//! Training in several processes, each with its own share of a step's clip patches. All that is MPI is here; without the feature `mpi`, and where one process was
//! started, there is nobody to talk to and every method is as good as nothing.

use anyhow::{Result, ensure};
use refvsr::device::DeviceChoice;
use std::io::{Write, stderr};
use tch::{Cuda, Device, Tensor};

#[cfg(feature = "mpi")]
use mpi::{Threading, collective::SystemOperation, environment::Universe, traits::*};

/// The processes of a run, as one of them sees them. Every process must call the same methods in the same order.
pub struct Processes {
    rank: u64,
    count: u64,
    /// Number among the processes on the same machine.
    local_rank: usize,
    /// Leaves MPI when dropped.
    #[cfg(feature = "mpi")]
    universe: Option<Universe>,
}

impl Processes {
    /// This process alone.
    pub fn one() -> Self {
        Self {
            rank: 0,
            count: 1,
            local_rank: 0,
            #[cfg(feature = "mpi")]
            universe: None,
        }
    }

    /// This process and those that mpirun or srun started with it.
    ///
    /// # Errors
    /// Where others were started that cannot be reached: they would all write the same files.
    pub fn join() -> Result<Self> {
        let joined = Self::joined()?;
        // Set by OpenMPI's and by MPICH's mpirun, and by Slurm's srun, whatever it was told of MPI.
        let started = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"]
            .iter()
            .find_map(|name| std::env::var(name).ok()?.parse::<u64>().ok());
        let why = if !cfg!(feature = "mpi") {
            "it was built without MPI; build it with `--features mpi`"
        } else if std::env::var_os("SLURM_STEP_NUM_TASKS").is_some() {
            "srun has to begin MPI as its library asks, say with --mpi=pmix (`srun --mpi=list` names what there is)"
        } else {
            "it was built with an MPI library other than mpirun's"
        };
        ensure!(
            started.is_none_or(|n| n == joined.count),
            "{} processes were started, this one sees {}: {why}",
            started.unwrap_or(0),
            joined.count
        );
        Ok(joined)
    }

    #[cfg(not(feature = "mpi"))]
    fn joined() -> Result<Self> {
        Ok(Self::one())
    }

    #[cfg(feature = "mpi")]
    fn joined() -> Result<Self> {
        // MPI begun by a process alone starts a helper program and may fail where nobody wants it.
        let launched = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"]
            .iter()
            .any(|name| std::env::var_os(name).is_some());
        if !launched {
            return Ok(Self::one());
        }
        // The data's threads run beside, but only this one calls MPI.
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| anyhow::anyhow!("MPI was begun already"))?;
        let world = universe.world();
        let local_rank = usize::try_from(world.split_shared(world.rank()).rank())?;
        Ok(Self {
            rank: world.rank().try_into()?,
            count: world.size().try_into()?,
            local_rank,
            universe: Some(universe),
        })
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> u64 {
        self.rank
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether this is the one that writes files and speaks.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// The device of this process: with `auto` on a machine with CUDA devices, each of its processes has the next one, and begins again with the first where
    /// there are fewer devices (or where a scheduler shows each process its own only).
    ///
    /// # Errors
    /// Where a device was asked for that is not there.
    pub fn device(&self, choice: DeviceChoice) -> Result<Device> {
        Ok(match (choice, choice.resolve()?) {
            (DeviceChoice::Auto, Device::Cuda(_)) => {
                Device::Cuda(self.local_rank % usize::try_from(Cuda::device_count())?.max(1))
            }
            (_, device) => device,
        })
    }

    /// The sum of all processes' tensors, `[n]` of fp32 with the same n.
    ///
    /// # Errors
    /// For other tensors.
    pub fn sum(&self, ours: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "mpi")]
        if let Some(universe) = &self.universe {
            let values: Vec<f32> = Vec::try_from(&ours.f_to_device(Device::Cpu)?)?;
            let mut sum = vec![0f32; values.len()];
            universe
                .world()
                .all_reduce_into(&values[..], &mut sum[..], SystemOperation::sum());
            return Ok(Tensor::f_from_slice(&sum)?.f_to_device(ours.device())?);
        }
        Ok(ours.shallow_clone())
    }

    /// Whether it is so in any process.
    pub fn any(&self, here: bool) -> bool {
        #[cfg(feature = "mpi")]
        if let Some(universe) = &self.universe {
            let mut any = 0u8;
            universe
                .world()
                .all_reduce_into(&u8::from(here), &mut any, SystemOperation::max());
            return any > 0;
        }
        here
    }

    /// Checks that a number is the same in all processes.
    ///
    /// # Errors
    /// In those where it is not the first one's.
    pub fn agree(&self, what: &str, number: u64) -> Result<()> {
        #[cfg(feature = "mpi")]
        if let Some(universe) = &self.universe {
            let mut first = number;
            universe
                .world()
                .process_at_rank(0)
                .broadcast_into(&mut first);
            ensure!(
                first == number,
                "{what} is {number} here and {first} in process 0; all processes must see the same files (on several machines: a file system they share)"
            );
        }
        let _ = (what, number);
        Ok(())
    }

    /// What an error of one process means for the others, who would wait for it for ever: with several processes it is said and all are ended.
    pub fn give_up(&self, error: &anyhow::Error) {
        if self.count > 1 {
            // All processes write to one place: a line at once, or another's words get into it.
            let line = format!(
                "refvsr-train, process {} of {}: {error:#}\n",
                self.rank, self.count
            );
            let _ = stderr().write_all(line.as_bytes());
            self.abort();
        }
    }

    fn abort(&self) {
        #[cfg(feature = "mpi")]
        if let Some(universe) = &self.universe {
            universe.world().abort(1);
        }
    }
}

impl Drop for Processes {
    /// Leaving MPI waits for the others; after a panic they would never come.
    fn drop(&mut self) {
        if std::thread::panicking() && self.count > 1 {
            self.abort();
        }
    }
}
