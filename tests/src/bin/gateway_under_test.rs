//! The product's own `main`, built beside the tests so that they can start it.

fn main() -> std::process::ExitCode {
    sluicegate::main()
}
