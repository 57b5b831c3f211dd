//! Memory of libtorch's large CPU tensors: taken from the system once and used again.

unsafe extern "C" {
    fn refvsr_allocator_install();
    fn refvsr_allocator_trim();
    fn refvsr_allocator_waiting() -> usize;
}

/// Lets libtorch take the memory of its CPU tensors of 1 MiB and more from regions that are kept, so
/// that the system need not clear their pages at each operation. This changes where libtorch's tensors
/// lie, in the whole process, and nothing else: the program's own allocator stays as it is.
///
/// Regions never take much more than such tensors did at their most: a sixteenth, or 32 MiB.
pub fn reuse() {
    // SAFETY: the allocator is never destroyed, and tensors allocated before keep their own.
    unsafe { refvsr_allocator_install() }
}

/// Gives memory that no tensor uses back to the system.
pub fn trim() {
    // SAFETY: only blocks that no tensor uses are touched, under a lock.
    unsafe { refvsr_allocator_trim() }
}

/// Bytes that are kept for coming tensors.
pub fn waiting() -> usize {
    // SAFETY: reads a number under a lock.
    unsafe { refvsr_allocator_waiting() }
}
