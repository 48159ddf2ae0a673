//! Gives up every capability of this process, but for one that a helper may need.

/// The layout `capset` reads, version 3: 64 bits in two halves. See capget(2).
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;
/// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH. The first is what containers have; where only reading is allowed by mounts or
/// Landlock it gives no more than the second.
const READERS: [u32; 2] = [1, 2];

/// Before root is given up: what is held then stays until [`drop_but`]. Git asks with access(2) whether it may read, and that
/// answers without capabilities unless they are no longer tied to the user.
pub(super) fn keep_over_identity() -> std::io::Result<()> {
    #[expect(unsafe_code, reason = "nix has no securebits")]
    // SAFETY: integers only.
    let untied = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, libc::SECBIT_NO_SETUID_FIXUP, 0, 0, 0) } == 0;
    match untied {
        true => Ok(()),
        // Without the right to untie them they can at least be kept.
        false => Ok(nix::sys::prctl::set_keepcaps(true)?),
    }
}

/// `reads_all`: keeps, also for the programs this process starts, what opens files of other users. Quietly nothing where
/// the agent may not do so itself.
pub(super) fn drop_but(reads_all: bool) -> std::io::Result<()> {
    let mut sets = [Sets::default(); 2];
    if reads_all {
        let held = get()?[0].permitted;
        // Reading alone where that can be had.
        let kept = READERS.iter().rev().map(|capability| 1 << capability).find(|bit| held & bit != 0).unwrap_or(0);
        sets[0] = Sets { effective: kept, permitted: kept, inheritable: kept };
    }
    set(&sets)?;
    for capability in READERS.iter().filter(|capability| sets[0].permitted & (1 << **capability) != 0) {
        #[expect(unsafe_code, reason = "nix has no ambient capabilities")]
        // SAFETY: five integers.
        let answer = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, *capability, 0, 0) };
        if answer != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

fn get() -> std::io::Result<[Sets; 2]> {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    #[expect(unsafe_code, reason = "nix has no capget")]
    // SAFETY: both pointers are to live values of the layout the kernel expects for version 3; it writes the second.
    let answer = unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
    if answer == 0 { Ok(sets) } else { Err(std::io::Error::last_os_error()) }
}

fn set(sets: &[Sets; 2]) -> std::io::Result<()> {
    let header = Header { version: VERSION_3, pid: 0 };
    #[expect(unsafe_code, reason = "nix has no capset")]
    // SAFETY: both pointers are to live values of the layout the kernel expects for version 3, which it only reads.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
