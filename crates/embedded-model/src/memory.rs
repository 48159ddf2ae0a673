//! Memory that is freed also leaves the process.

/// Stands last in a struct, and so is dropped after everything else in it. glibc keeps freed memory for later; a model
/// that is unloaded because nobody uses it should not stay resident that way.
pub(crate) struct ReturnedOnDrop;

impl Drop for ReturnedOnDrop {
    fn drop(&mut self) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        {
            #[expect(unsafe_code, reason = "only the C library can be told to give memory back")]
            // SAFETY: `malloc_trim` may be called at any time from any thread; it touches free memory only.
            let _gave_any_back = unsafe { libc::malloc_trim(0) };
        }
    }
}
