//! How much of a limit is used: everything that is not proved gone counts, and every intent.

use super::state::place::Subject;
use crate::engine::event::View;
use crate::model::ids::{PoolName, QueueName};
use crate::model::money::Rate;

/// What is used of a scope's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub instances: u32,
    pub gpu: u32,
    pub vcpu: u32,
    pub rate: Rate,
}

impl Usage {
    pub(crate) fn of(view: &View, scope: &Subject) -> Self {
        let covers = |queue: &QueueName, pool: &PoolName| match scope {
            Subject::Queue(name) => name == queue,
            Subject::Pool(name) => name == pool,
            _ => true,
        };
        let mut usage = Self::default();
        for instance in view.snapshot.instances.iter().filter(|instance| instance.counts()) {
            if covers(&instance.home, &instance.pool) {
                usage.add(instance.gpu, instance.vcpu, instance.rate);
            }
        }
        for intent in &view.snapshot.intents {
            if covers(&intent.queue, &intent.pool) {
                usage.add(intent.gpu, intent.vcpu, intent.rate);
            }
        }
        usage
    }

    fn add(&mut self, gpu: u32, vcpu: u32, rate: Option<Rate>) {
        self.instances = self.instances.saturating_add(1);
        self.gpu = self.gpu.saturating_add(gpu);
        self.vcpu = self.vcpu.saturating_add(vcpu);
        self.rate += rate.unwrap_or_default();
    }
}
