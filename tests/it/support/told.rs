//! What the program says to programs, held to the schema that it prints of it.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use serde_json::Value;

static KNOWN: LazyLock<Mutex<BTreeMap<String, (Schemas, SchemaIndex)>>> = LazyLock::new(Mutex::default);

/// The line as data. It must be what `tidegate schema NAME` says, and have no field more.
pub(crate) fn told(name: &str, line: impl AsRef<[u8]>) -> Value {
    let line = line.as_ref();
    let told: Value = serde_json::from_slice(line)
        .unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(line)));
    // A test that fails here leaves what is known as it was.
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (schemas, index) = known.entry(name.to_owned()).or_insert_with(|| compiled(name));
    if let Err(wrong) = schemas.validate(&told, *index) {
        panic!("{name} is not as its schema says: {wrong:#}\n{told:#}");
    }
    told
}

fn compiled(name: &str) -> (Schemas, SchemaIndex) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["schema", name]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    close(&mut schema);
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    let place = format!("http://localhost/{name}.json");
    compiler.add_resource(&place, schema).unwrap();
    let index = compiler.compile(&place, &mut schemas).unwrap();
    (schemas, index)
}

/// The schemas leave room for fields that later versions may add; this version says none.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.get("properties").is_some_and(Value::is_object) && fields.get("type") == Some(&"object".into()) {
                fields.entry("additionalProperties").or_insert(false.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
