//! Gives up every capability of this process.

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

pub(super) fn drop_all() -> std::io::Result<()> {
    let header = Header { version: VERSION_3, pid: 0 };
    let none = [Sets::default(); 2];
    #[expect(unsafe_code, reason = "nix has no capset")]
    // SAFETY: both pointers are to live values of the layout the kernel expects for version 3, which it only reads.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
