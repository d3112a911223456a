//! The product's own `main`, built beside the tests so that they can start it.

use tikv_jemallocator::Jemalloc;

/// That of the program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    sluicegate::main()
}
