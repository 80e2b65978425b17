//! WHAT IS OUT THERE. The only code that talks to a network; two small traits are its face.

pub mod clock;
pub mod cloud;
pub mod secret;
pub mod tracker;
