//! The simulated world, met through the two faces that the console knows.

mod agents;
mod cloud;
mod driver;
mod faults;
mod whole;
