//! The main job, end to end: queues, machines, money.

mod crashes;
mod faults;
mod rehearsal;
