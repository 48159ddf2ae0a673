//! The sandbox starts the running program again as its guard. Here that is the test binary, whose `main` belongs to the
//! test harness; so the guard is entered before `main`, where there is one thread as well.

use agent::sandbox::{Command, Options, Place, Sandbox};
use std::{path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

#[expect(unsafe_code, reason = "a place before the test harness's main can only be had from the linker")]
// SAFETY: the section holds plain function pointers that the C library calls once, before `main`, with arguments that a
// function without parameters may ignore. Rust's standard library works there: it reads the arguments in an earlier one.
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[used]
static ENTER: extern "C" fn() = {
    extern "C" fn enter() {
        agent::sandbox::enter_if_asked();
        let mut arguments = std::env::args_os().skip(1);
        if arguments.next().is_some_and(|argument| argument == BRIEF_AGENT) {
            brief_agent(PathBuf::from(arguments.next().unwrap()));
        }
        #[cfg(target_os = "linux")]
        super::refused::enter_if_asked();
    }
    enter
};

/// Started with this and an attempt's folder, the test binary is an agent that runs one endless command there.
pub const BRIEF_AGENT: &str = "brief-agent";

fn brief_agent(attempt: PathBuf) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let workspaces = attempt.ancestors().nth(2).unwrap().to_path_buf();
        let sandbox = Sandbox::probe(Options::new(workspaces, Vec::new())).await.unwrap();
        let place = Place { tree: attempt.join("tree"), scratch: attempt.join("scratch"), readable: Vec::new() };
        let command = Command::new(
            "beat() { while :; do printf . >> pulse; sleep 0.05; done }; setsid bash -c \"$(declare -f beat); beat\" & beat",
            Duration::from_secs(600),
        );
        let (sender, _receiver) = tokio::sync::mpsc::channel(1);
        let ran = sandbox.run(&place, &command, sender, CancellationToken::new()).await;
        panic!("the endless command ended: {ran:?}")
    })
}
