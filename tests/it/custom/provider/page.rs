//! The page that says the protocol is held to the example program: what stands there as said is said to it, and what stands there as
//! answered it answers, by its fields.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::local;

/// The fields of an object, and of those in it.
fn shape(value: &Value) -> Value {
    match value {
        // Of what any number of names may stand in, and of what may be left out, the names are not looked at.
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !["ended", "zone", "reason"].contains(&name.as_str()))
            .map(|(name, value)| {
                (name.clone(), if name == "tags" || name == "prices" { Value::Null } else { shape(value) })
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(all) => all.first().map(|first| vec![shape(first)]).unwrap_or_default().into(),
        _ => Value::Null,
    }
}

#[test]
fn the_page_says_what_is_said() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/PROVIDERS.md")).unwrap();
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines: Vec<Value> = blocks.flat_map(str::lines).map(|line| serde_json::from_str(line).expect(line)).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(local())
        .env("LOCAL_MACHINES", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (program.stdin.take().unwrap(), BufReader::new(program.stdout.take().unwrap()));
    let mut calls = Vec::new();
    for pair in lines.chunks(2) {
        let [asked, answered] = pair else { panic!("{pair:?}") };
        assert_eq!(asked["id"], answered["id"]);
        writeln!(to, "{asked}").unwrap();
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        if answered["error"].is_null() {
            assert_eq!(shape(&said), shape(answered), "{asked}");
        } else {
            assert!(said["error"]["message"].is_string() && said["error"]["class"].is_string(), "{asked}: {said}");
        }
        calls.push(asked["call"].as_str().unwrap_or_default().to_owned());
    }
    drop(to);
    let _ = program.wait();
    for call in tidegate::world::exec::Call::ALL {
        assert!(calls.iter().any(|asked| asked == call.word()), "{} is not on the page", call.word());
        let seconds = call.deadline().as_secs();
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}`", call.word()))).unwrap();
        assert!(row.contains(&format!("| {seconds} s |")), "{row}");
    }
}
