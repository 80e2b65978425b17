#!/bin/sh
# Mutants of src/plan, in a crate that holds nothing else: the model is compiled once, and the decisions anew for each
# mutant within a second, where the whole crate would take a minute and a half. Needs cargo-mutants and a target folder.
#   tests/mutants.sh [ARGUMENTS OF cargo mutants]       e.g. --list, --iterate, -F src/plan/check.rs
# assets/MUTANTS.md says what came of it.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
crate=$here/target/mutants
mkdir -p "$crate/base" "$crate/src"
rm -rf "$crate/base/model" "$crate/src/plan"
cp -r "$here/src/model" "$crate/base/model"
cp -r "$here/src/plan" "$crate/src/plan"
cp "$here/Cargo.lock" "$crate/Cargo.lock"
printf 'pub mod model;\n' > "$crate/base/lib.rs"
printf 'pub use base::model;\npub mod plan;\n' > "$crate/src/lib.rs"

# The dependencies as the program has them.
as_here() { grep -E "^($1) = " "$here/Cargo.toml"; }
cat > "$crate/base/Cargo.toml" << END
[package]
name = "base"
version = "0.0.0"
edition = "2024"
[lib]
path = "lib.rs"
test = false
doctest = false
[dependencies]
$(as_here 'aws-lc-rs|foldhash|hocon-rs|jiff|rand|rand_chacha|schemars|serde|serde-saphyr|serde_json|sha2|strsim|thiserror|toml_edit')
END
cat > "$crate/Cargo.toml" << END
[workspace]
members = ["base"]
[package]
name = "tidegate"
version = "0.0.0"
edition = "2024"
[lib]
doctest = false
[dependencies]
base = { path = "base" }
$(as_here 'foldhash|jiff')
[dev-dependencies]
$(as_here 'proptest|rand|rand_chacha')
[profile.dev]
debug = false
[profile.dev.package."*"]
opt-level = 2
[profile.dev.package.base]
opt-level = 2
END

cd "$crate"
PROPTEST_CASES=${PROPTEST_CASES:-100} exec cargo mutants --config "$here/.cargo/mutants.toml" --in-place --timeout 20 "$@"
