//! The fixtures over real sockets: what a test relies on has to be true of them first.

#[cfg(test)]
mod fault_proxy;
#[cfg(test)]
mod faulty_model;
#[cfg(test)]
mod scripted_model;
