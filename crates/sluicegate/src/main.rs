//! The `sluicegate` program.

fn main() -> std::process::ExitCode {
    sluicegate::main()
}
