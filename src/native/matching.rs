//! The best of many keys for each query, by dot product, on the CPU. Products and maximum are one pass:
//! the scores, hundreds of millions a frame, never reach memory.

use crate::{Error, Result, layout::round_up};
use std::{
    ffi::{c_int, c_long, c_uchar},
    sync::atomic::AtomicBool,
};
use tch::{Device, Kind, Tensor};

/// Keys that lie together.
const BLOCK: i64 = 16;
/// Queries that the kernel takes together.
const ROWS: i64 = 96;

#[repr(C)]
struct Matching {
    query: *const f32,
    key: *const f32,
    keys: c_long,
    depth: c_int,
    best: *mut c_long,
}

unsafe extern "C" {
    fn refvsr_match(
        job: *const Matching,
        queries: c_long,
        threads: c_int,
        stop: *const c_uchar,
    ) -> c_int;
}

/// Whether [`best`] takes these: fp32 on the CPU.
pub fn takes(queries: &Tensor, keys: &Tensor) -> bool {
    let fits = |t: &Tensor| t.kind() == Kind::Float && t.device() == Device::Cpu;
    fits(queries) && fits(keys)
}

/// For every query of `[N, d]` the number of the key of `[d, M]` with the largest dot product, int64
/// `[N]`; the first of equals wins. Gives up soon after `stop` is set.
///
/// # Errors
/// [`Error::Stopped`] where `stop` was set; [`Error::Broken`] for anything but what [`takes`] allows, or
/// without keys.
pub fn best(queries: &Tensor, keys: &Tensor, stop: Option<&AtomicBool>) -> Result<Tensor> {
    let broken = |what: &str| Error::Broken(format!("matching: {what}"));
    let (&[n, depth], &[key_depth, m]) = (&queries.size()[..], &keys.size()[..]) else {
        return Err(broken("not queries [N, d] and keys [d, M]"));
    };
    if !takes(queries, keys) || key_depth != depth || m == 0 {
        return Err(broken(
            "not fp32 on the CPU, of different lengths, or no keys",
        ));
    }
    let blocks = round_up(m, BLOCK) / BLOCK;
    let key = keys
        .f_constant_pad_nd([0, blocks * BLOCK - m])?
        .f_view([depth, blocks, BLOCK])?
        .f_permute([1, 0, 2])?
        .f_contiguous()?;
    let rows = n.max(ROWS);
    let query = match rows - n {
        0 => queries.f_contiguous()?,
        missing => queries
            .f_constant_pad_nd([0, 0, 0, missing])?
            .f_contiguous()?,
    };
    let best = Tensor::f_zeros([rows], (Kind::Int64, Device::Cpu))?;
    let job = Matching {
        query: query.data_ptr().cast::<f32>().cast_const(),
        key: key.data_ptr().cast::<f32>().cast_const(),
        keys: m,
        depth: c_int::try_from(depth).map_err(|_| broken("a length beyond 32 bits"))?,
        best: best.data_ptr().cast::<c_long>(),
    };
    let stop = stop.map_or(std::ptr::null(), |stop| stop.as_ptr().cast::<c_uchar>());
    let threads = tch::get_num_threads().max(1);
    // SAFETY: the pointers are of live tensors of these sizes, in the layouts that the kernel reads, and at
    // least as many queries as it takes together; nothing else sees `best` yet, and `stop` outlives the call.
    match unsafe { refvsr_match(&job, rows, threads, stop) } {
        0 => Ok(best.f_narrow(0, 0, n)?),
        _ => Err(Error::Stopped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: i64, seed: i64) -> Tensor {
        tch::manual_seed(seed);
        Tensor::randn([n, 144], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn equals_the_whole_matrix() {
        for (n, m) in [(1, 1), (5, 3), (96, 16), (97, 17), (300, 1000), (511, 129)] {
            let (queries, keys) = (rows(n, 1), rows(m, 2).transpose(0, 1).contiguous());
            let (score, _) = queries.matmul(&keys).max_dim(1, false);
            let found = best(&queries, &keys, None).unwrap();
            let chosen = keys.index_select(1, &found).transpose(0, 1);
            let reached = (&queries * chosen).sum_dim_intlist([1].as_slice(), false, None);
            let off = (reached - score).abs().max().double_value(&[]);
            assert!(off < 1e-4, "{n} x {m}: {off:.1e}");
        }
    }

    #[test]
    fn keys_that_score_below_nothing_are_found_too() {
        let queries = Tensor::ones([7, 144], (Kind::Float, Device::Cpu));
        let keys = rows(21, 3).abs().neg().transpose(0, 1).contiguous();
        let expected = queries.matmul(&keys).argmax(1, false);
        assert!(best(&queries, &keys, None).unwrap().equal(&expected));
    }

    #[test]
    fn the_first_of_equals_wins() {
        let keys = Tensor::ones([144, 40], (Kind::Float, Device::Cpu));
        let found = best(&rows(9, 4), &keys, None).unwrap();
        assert_eq!(found.max().int64_value(&[]), 0);
    }

    #[test]
    fn it_stops_when_told() {
        let keys = rows(40, 6).transpose(0, 1).contiguous();
        let stop = AtomicBool::new(true);
        assert!(matches!(
            best(&rows(9, 5), &keys, Some(&stop)),
            Err(Error::Stopped)
        ));
    }
}
