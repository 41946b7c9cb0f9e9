//! The stand-in, asked over plain HTTP as SDKs ask, and by the control door.

mod apis;
mod faults;
mod metadata;
mod objects;
mod plane;
mod process;
mod stage;
mod targets;
