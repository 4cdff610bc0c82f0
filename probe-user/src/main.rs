//! The `lapwing` binary.

fn main() {}
