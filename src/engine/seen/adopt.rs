//! Taking a machine of our fleet that the store does not know into the ledger, from its launch on (invariant 5).

use jiff::Timestamp;

use crate::model::catalogue::Catalogue;
use crate::model::instance::{Instance, Origin, Phase, Power};
use crate::model::ledger::{Interval, Share};
use crate::model::money::Rate;
use crate::model::record::{KnownInstance, Opened};
use crate::model::settings::{Provider, Settings};
use crate::model::waste::Standing;

/// The records' part for an orphan of the snapshot. `has_worker`: ClearML lists a worker of its name. A machine that
/// is past its boot and has none may have had one, with a task: it counts as registered.
#[must_use]
pub(in crate::engine) fn adopted(
    orphan: &Instance,
    has_worker: bool,
    billed_from: Timestamp,
    settings: &Settings,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Opened {
    let max_boot = settings.pool(&orphan.pool).map(|pool| pool.max_boot);
    let past_boot = max_boot.is_none_or(|max_boot| orphan.age(now) > max_boot);
    // A pod has its task from the beginning.
    let registered = has_worker || past_boot || orphan.provider == Provider::Kubernetes;
    let boot = Share::boot(billed_from, orphan.home.clone());
    // When it registered nobody remembers.
    let first = match orphan.provider {
        // Its next look says whether it has a node.
        Provider::Kubernetes if orphan.phase != Phase::Stopping => Share::waits(billed_from, orphan.home.clone()),
        _ if registered => Share { standing: Standing::Idle, ..boot },
        _ => boot,
    };
    let opened = Opened {
        known: KnownInstance {
            id: orphan.id.clone(),
            provider: orphan.provider,
            region: orphan.region.clone(),
            pool: orphan.pool.clone(),
            home: orphan.home.clone(),
            machine_type: orphan.machine_type.clone(),
            zone: orphan.zone.clone(),
            market: orphan.market,
            vcpu: orphan.vcpu,
            gpu: orphan.gpu,
            intent: orphan.intent.clone(),
            origin: orphan.origin,
            launched: orphan.launched,
            registered,
            drain: None,
            hold: None,
            stop_sent: None,
            power: Power::On,
            replace: None,
            started_again: false,
            max_life: match orphan.origin {
                Origin::BroughtOver => None,
                Origin::Launched | Origin::Orphan => settings.pool(&orphan.pool).map(|pool| pool.max_life),
            },
        },
        interval: Interval {
            instance: orphan.id.clone(),
            pool: orphan.pool.clone(),
            home: orphan.home.clone(),
            rate: orphan.rate,
            extras: Rate::ZERO,
            disks: Rate::ZERO,
            off: false,
            reservation: orphan.reservation,
            start: billed_from,
            end: None,
            shares: vec![first],
        },
    };
    opened.with_extras(settings.pool(&orphan.pool), catalogue)
}
