//! Where ClearML's servers are: a task's SDK guesses the others from the API server's address, or gives up.

use serde_json::Value;

use super::Desk;
use crate::cli::import::values;
use crate::model::settings::fields::{self, Written};
use crate::model::settings::key::Part;

const CONF: &str = "extra_clearml_conf";

impl Desk {
    /// An address of a server, for all pools.
    pub(super) fn address(&mut self, server: &'static str, path: &str, value: &Value, pools: &[usize]) {
        let Some(Written::Text(address)) = values::text(value) else {
            return self.refuse(path, value, "it is of another shape than theirs", pools);
        };
        if !address.starts_with("http://") && !address.starts_with("https://") {
            return self.refuse(path, value, "it is no address such as `https://app.example.com`", pools);
        }
        if self.addresses.contains_key(server) {
            return self.tell(path, format!("not used: another field gives api.{server}"));
        }
        self.tell(path, format!("pool.*.{CONF}: api.{server} = {address}, for tasks"));
        self.addresses.insert(server, (address, path.to_owned()));
    }

    /// Puts the addresses in front of what each pool says of clearml.conf, whose own word wins.
    pub(super) fn servers(&mut self) {
        let each =
            self.addresses.iter().map(|(server, (address, _))| format!("{server}: {}", Value::from(address.as_str())));
        let servers = each.collect::<Vec<_>>().join(", ");
        if servers.is_empty() {
            return;
        }
        let ours = format!("api {{ {servers} }}");
        let from: Vec<&str> = self.addresses.values().map(|(_, path)| path.as_str()).collect();
        let from = from.join(", ");
        let Ok(rule) = fields::find(Part::Pool, CONF) else { return };
        for (_, draft) in &mut self.pools {
            let whole = match draft.lines.get(CONF) {
                Some((Written::Text(theirs), _)) => format!("{ours}\n{theirs}"),
                _ => ours.clone(),
            };
            let whole = Written::Text(whole);
            if rule.check(&whole).is_ok() {
                draft.lines.insert(rule.name, (whole, from.clone()));
            }
        }
    }
}
