//! The engine as a whole: crashes, full disks, several writers, tampering.

mod crash;
mod support;
mod tamper;
mod writers;
