//! What is watched of a namespace for a fleet.

use std::sync::OnceLock;

use kube::api::DynamicObject;

use crate::model::ids::FleetId;
use crate::world::kubernetes::site::{Kind, Site};
use crate::world::kubernetes::watch::{Of, Watch, slim};
use crate::world::kubernetes::{glue, label, told};

/// Its watches.
#[derive(Debug)]
pub(super) struct View {
    pub(super) jobs: Watch,
    pub(super) pods: Watch,
    pub(super) events: Watch,
    /// Of Kueue's, once it is there.
    workloads: OnceLock<Watch>,
    /// Pods of ClearML's own glue, which are looked at only.
    pub(super) glue: Watch,
    /// Of the site that it is watched by.
    turn: u64,
}

impl View {
    pub(super) fn start(site: &Site, fleet: &FleetId) -> Self {
        let selector = label::selector(fleet.as_str());
        Self {
            jobs: Watch::start(site.api(Kind::Job), Of::all(slim).labelled(&selector)),
            pods: Watch::start(site.api(Kind::Pod), Of::all(slim).labelled(&selector)),
            events: Watch::start(site.api(Kind::Event), Of::aside(is_of_task)),
            workloads: OnceLock::new(),
            glue: Watch::start(site.api(Kind::Pod), Of::aside(slim).labelled(glue::LABEL)),
            turn: site.turn,
        }
    }

    /// The same by a site that was opened anew: what was seen is remembered.
    pub(super) fn anew(&self, site: &Site) -> Self {
        Self {
            jobs: self.jobs.anew(site.api(Kind::Job)),
            pods: self.pods.anew(site.api(Kind::Pod)),
            events: self.events.anew(site.api(Kind::Event)),
            workloads: OnceLock::new(),
            glue: self.glue.anew(site.api(Kind::Pod)),
            turn: site.turn,
        }
    }

    pub(super) fn is_by(&self, site: &Site) -> bool {
        self.turn == site.turn
    }

    /// From now on with what Kueue says, in a version of its API group.
    pub(super) fn watch_workloads(&self, site: &Site, version: &str) {
        self.workloads.get_or_init(|| Watch::start(site.api_of(Kind::Workload, version), Of::aside(slim)));
    }

    pub(super) fn workloads(&self) -> Option<&Watch> {
        self.workloads.get()
    }
}

/// Whether an event is of a Job of a task, or of its pod.
fn is_of_task(event: &mut DynamicObject) -> bool {
    told::text(&event.data, "/involvedObject/name").starts_with("clearml-") && slim(event)
}
