//! The agent against real files, processes and kernels.

#[cfg(test)]
mod ask;
#[cfg(test)]
mod check;
#[cfg(test)]
mod code;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod escalation;
#[cfg(test)]
mod exam;
#[cfg(test)]
mod guided;
#[cfg(test)]
mod interruption;
#[cfg(test)]
mod mesh;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod seam;
#[cfg(test)]
mod workspace;
