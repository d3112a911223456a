//! The product's own `main` as a build without the feature `otlp` has it.

fn main() -> std::process::ExitCode {
    sluicegate::main(None)
}
