//! The product's own `main`, built beside the tests so that they can start it: with what its
//! feature `otlp` adds.

use tikv_jemallocator::Jemalloc;

/// That of the program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    sluicegate::main(Some(sluicegate_otlp::connect))
}
