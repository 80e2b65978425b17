//! The house rules that no compiler checks: which folder may know which, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 500;

/// What each folder may import from the crate. `lib.rs` opens with the map.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &["model"]),
    ("plan", &["model", "plan"]),
    ("world", &["model", "world"]),
    ("store", &["model", "store"]),
    ("engine", &["model", "plan", "world", "store", "engine"]),
    ("replay", &["model", "plan", "world", "engine", "replay"]),
    ("tui", &["model", "engine", "tui"]),
    ("cli", &["model", "plan", "world", "store", "engine", "replay", "tui", "cli"]),
];

/// Of the engine the screen knows its commands and events only.
const SCREEN_KNOWS: &[&str] = &["engine::command", "engine::event"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The file's text without its unit tests, which stand last and may know anyone.
fn production(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

fn imports(text: &str) -> Vec<String> {
    text.match_indices("crate::")
        .map(|(at, found)| {
            text[at + found.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect()
        })
        .collect()
}

fn complaints(folder: &str, allowed: &[&str], text: &str) -> Vec<String> {
    imports(text)
        .into_iter()
        .filter(|import| {
            let room = import.split(':').next().unwrap_or_default();
            let in_house = ARROWS.iter().any(|(name, _)| *name == room);
            let screen_may =
                folder != "tui" || room != "engine" || SCREEN_KNOWS.iter().any(|known| import.starts_with(known));
            let view_updates = folder == "tui/view" && import.starts_with("tui::update");
            (in_house && !allowed.contains(&room)) || !screen_may || view_updates
        })
        .collect()
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (folder, allowed) in ARROWS {
        let path = root().join("src").join(folder);
        if !path.exists() {
            continue;
        }
        for file in rust_files(&path) {
            let name = if file.components().any(|part| part.as_os_str() == "view") { "tui/view" } else { folder };
            for import in complaints(name, allowed, &production(&file)) {
                wrong.push(format!("{} imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_import_is_found() {
    assert_eq!(complaints("plan", &["model", "plan"], "use crate::world::clock;"), ["world::clock"]);
    assert_eq!(complaints("tui", &["model", "engine", "tui"], "crate::engine::act::go()"), ["engine::act::go"]);
    assert_eq!(complaints("tui/view", &["model", "engine", "tui"], "crate::tui::update::step"), ["tui::update::step"]);
    assert!(complaints("tui", &["model", "engine", "tui"], "use crate::engine::event::View;").is_empty());
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let long: Vec<_> = rust_files(&root().join("src"))
        .into_iter()
        .map(|file| (production(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

/// The crate that mutants are tried in is made by a script, which names what the model and the plan need.
#[test]
fn the_crate_of_the_mutants_has_what_the_decisions_use() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let script = fs::read_to_string(root().join("tests/mutants.sh")).unwrap();
    let named: Vec<&str> = script.split(|letter: char| !(letter.is_alphanumeric() || "-_".contains(letter))).collect();
    let files = ["src/model", "src/plan"].map(|folder| rust_files(&root().join(folder))).concat();
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let used = |name: &str| {
        let path = format!("{}::", name.replace('-', "_"));
        let words = |text: &str| {
            text.split(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter)))
                .any(|word| word.starts_with(&path))
        };
        // A module of ours may be called like a crate.
        let is_ours = files.iter().any(|file| file.file_stem().is_some_and(|stem| *stem == *name.replace('-', "_")));
        !is_ours && texts.iter().any(|text| words(text))
    };
    let needed: Vec<&str> =
        manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).filter(|name| used(name)).collect();
    assert!(needed.contains(&"jiff") && needed.contains(&"schemars"), "{needed:?}");
    let missing: Vec<_> = needed.iter().filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "tests/mutants.sh lacks {missing:?}");
}
