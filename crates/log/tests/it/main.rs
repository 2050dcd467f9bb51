//! The engine as a whole: crashes, full disks, several writers, tampering, hostile input.

mod crash;
mod hostile;
mod support;
mod tamper;
mod writers;
