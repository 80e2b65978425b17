//! An order as the loop would make it, which is never carried out.

use crate::model::ids::{IntentId, MachineType, Term};
use crate::model::money::Money;
use crate::model::plan::Launch;
use crate::model::settings::spot_cap::SpotCap;
use crate::model::settings::{PoolSettings, Settings};
use crate::world::cloud::{AgentAccess, Bid, LaunchOrder};
use crate::world::secret::Secret;

/// One machine of the pool's first type, whose agent listens to every queue that the pool serves.
pub(super) fn order(
    settings: &Settings,
    pool: &PoolSettings,
    batch: IntentId,
    api_server: String,
    token: Secret,
) -> LaunchOrder {
    let queues: Vec<_> = settings.queues_of(&pool.name).map(|queue| queue.name.clone()).collect();
    let mut pool = settings.as_made(pool);
    // A share is of a price that no trial knows.
    pool.launch.spot_max_price = pool.launch.spot_max_price.filter(|cap| matches!(cap, SpotCap::Price(_)));
    let cap = pool.launch.spot_max_price.and_then(|cap| cap.rate(None));
    let bid =
        |machine_type: &MachineType| Bid { machine_type: machine_type.clone(), max_price: cap, without: Vec::new() };
    let chosen = pool.types.iter().filter(|_| pool.cloud_chooses(pool.market));
    LaunchOrder {
        bids: chosen.map(bid).collect(),
        fleet: settings.the_loop.fleet.clone(),
        batch,
        launch: Launch {
            pool: pool.name.clone(),
            queue: queues.first().cloned().unwrap_or_else(|| "".into()),
            machine_type: pool.types.first().cloned().unwrap_or_else(|| "".into()),
            market: pool.market,
            count: 1,
            vcpu: 0,
            gpu: 0,
            rate: None,
            reservation: Money::ZERO,
            choices: Vec::new(),
        },
        pool,
        revision: settings.revision.clone(),
        term: Term(0),
        queues,
        agents: AgentAccess { api_server, token },
    }
}
