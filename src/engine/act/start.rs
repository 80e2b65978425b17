//! Starting a machine that is switched off and kept.

use crate::engine::act::deed::{Done, Failed};
use crate::model::ids::InstanceId;
use crate::model::settings::Provider;
use crate::world::World;

/// Its old mailbox goes first: it would obey the order to drain that lies there, and switch itself off. Where that cannot be
/// done the machine stays off.
pub(super) async fn start(
    world: &World,
    provider: Provider,
    region: &str,
    instance: &InstanceId,
) -> Result<Done, Failed> {
    world.tracker.delete_mailbox(instance).await.map_err(|error| Failed {
        message: format!("its old mailbox cannot be removed: {error}"),
        // Nothing was asked of the cloud yet.
        may_have_acted: false,
        ..Failed::from(error)
    })?;
    world.cloud(provider)?.start(region, std::slice::from_ref(instance)).await?;
    Ok(Done::Nothing)
}
