//! The most memory that this process has held.

/// Lets the kernel count the peak anew, where it can.
pub fn reset() {
    _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak since, in bytes.
pub fn bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
