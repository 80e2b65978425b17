//! WHAT SHOULD BE DONE. Pure: no I/O, no clock, no async, no logging; it cannot fail.
