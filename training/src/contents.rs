//! A number for what files hold, wherever they lie.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::{fs::File, io, path::Path};

/// A number for the contents of files, in this order.
///
/// # Errors
/// Names a file that cannot be read.
pub fn number<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<u64> {
    let mut all = Sha256::new();
    for file in files {
        let file = file.as_ref();
        let mut digest = Sha256::new();
        File::open(file)
            .and_then(|mut file| io::copy(&mut file, &mut digest))
            .with_context(|| format!("cannot read {}", file.display()))?;
        all.update(digest.finalize());
    }
    let bytes = all.finalize();
    Ok(bytes
        .iter()
        .take(8)
        .fold(0, |n, byte| n << 8 | u64::from(*byte)))
}
