//! One call that shows the queues, who listens to them, the mailboxes, and who leads: four that would show as much are slower on
//! a server with many workers (CLEARML.md section 1).

use std::collections::BTreeMap;

use serde_json::json;

use crate::model::claim::{self, ClaimId};
use crate::model::ids::{FleetId, QueueId, QueueName};
use crate::model::observed::{Glance, GlancedWorker};
use crate::world::clearml::{Clearml, hidden, wire};
use crate::world::tracker::TrackerError;

pub(super) async fn glance(server: &Clearml, fleet: &FleetId) -> Result<Glance, TrackerError> {
    let filter = json!({ "search_hidden": true });
    let rows: Vec<wire::WholeQueue> = server.console.pages("queues.get_all_ex", "queues", &[], filter).await?;
    let mut workers: BTreeMap<String, GlancedWorker> = BTreeMap::new();
    let (mut glance, mut known) = (Glance::default(), BTreeMap::new());
    for mut row in rows {
        workers.extend(row.listeners());
        if row.is_tagged(hidden::HIDING_TAG) {
            let row = row.into_hidden();
            known.insert(QueueName::new(row.name.as_str()), row.id.as_str().into());
            let queue = QueueId::new(row.id.as_str());
            glance.claim = glance.claim.max(claim::term(fleet, &row.name).map(|term| ClaimId { term, queue }));
            glance.mailboxes.extend(hidden::mailbox(row));
        } else {
            glance.queues.push(row.into());
        }
    }
    glance.workers = workers.into_values().collect();
    *server.hidden.lock().await = known;
    Ok(glance)
}
