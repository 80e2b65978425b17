//! The pictures of the documents are the program's own frames: the tape in assets/demo is played again, and must come out
//! the same. `TIDEGATE_REGENERATE=1` writes them.

use std::path::Path;
use std::process::Command;

use crate::support::process::write;

/// A picture a line: `FILE SIZE AFTER THEME KEYS`.
const TAPE: &str = include_str!("../../../assets/demo/tape.txt");

#[test]
fn the_tape_comes_out_as_it_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    for line in TAPE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [file, size, after, theme, keys] = words[..] else { panic!("{line}") };
        let (shot, keys) = (folder.path().join(file), keys.trim_start_matches('='));
        let mut program = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        program.args(["demo", "--seed", "7", "--size", size, "--after", after, "--theme", theme, "--keys", keys]);
        let done = program.arg("--screenshot").arg(&shot).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        let taken = std::fs::read_to_string(&shot).unwrap();
        if std::env::var_os("TIDEGATE_REGENERATE").is_some() {
            write(&assets.join(file), &taken);
        }
        let recorded = std::fs::read_to_string(assets.join(file)).unwrap_or_default();
        assert!(taken == recorded, "{file} is not what the program shows: TIDEGATE_REGENERATE=1 writes it");
    }
}

#[test]
fn a_picture_that_cannot_be_taken_says_why() {
    for (arguments, says) in [
        (&["--keys", "<Nowhere>"][..], "no key is called <Nowhere>"),
        (&["--size", "x"][..], "is not a size such as 100x30"),
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        program.args(["demo", "--after", "1m", "--screenshot", "/nonexistent/picture.svg"]).args(arguments);
        let done = program.output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && told.contains(says), "{told}");
    }
}
