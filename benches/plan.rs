//! How long a plan takes: 1,000 queues, 10,000 instances, 100,000 waiting tasks, and a tenth and a third of that.
//! The goal is under 5 ms, growing linearly. `cargo bench --bench plan` prints it.

fn main() {
    divan::main();
}
