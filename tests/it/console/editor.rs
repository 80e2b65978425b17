//! `E`: the settings in the person's own editor, in a terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::terminal::Terminal;

/// An editor that shows its file, waits for a line, and does with the file what the line says, by `sed`.
const EDITOR: &str = "#!/bin/sh
[ \"$1\" = --wait ] || exit 9
clear
echo EDITOR OPEN
head -n 5 \"$2\"
read -r script
sed -i \"$script\" \"$2\"
";

fn editor(folder: &Path) -> PathBuf {
    use std::io::Write;
    let path = folder.join("editor.sh");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
    file.write_all(EDITOR.as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn the_settings_are_edited_checked_and_offered_again() {
    let folder = tempfile::tempdir().unwrap();
    // With an argument, as people have it.
    let editor = format!("'{}' --wait", editor(folder.path()).display());
    let mut terminal = Terminal::of(&["demo", "--seed", "7"], &[("EDITOR", &editor), ("VISUAL", "")], "cpu-small");
    let opens = |terminal: &mut Terminal, key: &str| {
        terminal.press(key);
        terminal.until("the editor", |text| text.contains("EDITOR OPEN"));
        assert!(terminal.is_given_back(), "the editor has a terminal as a shell has it");
    };
    opens(&mut terminal, "E");
    terminal.line("s/^fleet = .*/fleet = demo/");
    let text = terminal.until("the problem", |text| text.contains("The settings do not run"));
    assert!(text.contains("this is not TOML") && text.contains("Nothing was applied"), "{text}");
    assert!(!terminal.is_given_back());
    // Again, on what was left; this time it is mended, and a limit is another one.
    opens(&mut terminal, "\r");
    terminal.line("s/^fleet = .*/fleet = \"demo\"/; s/^max = .*/max = 1/");
    terminal.until("the change", |text| text.contains("edited as a whole"));
    terminal.press("5");
    terminal.until("the journal", |text| text.contains("the settings were edited as"));
    // Left as it is: nothing happens; the keys are the console's again.
    opens(&mut terminal, "E");
    terminal.line("");
    terminal.until("the end", |text| text.contains("the settings were not changed"));
    terminal.press("1");
    terminal.until("queues", |text| text.contains("QUEUE"));
}
