//! mkimg
fn main() {}
