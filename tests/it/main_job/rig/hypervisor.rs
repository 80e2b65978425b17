//! What a cloud does with what it is told: it runs the machines that EC2 lists and ends those that it ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::ec2::Ec2Console;
use crate::support::machine::Machine;

const LOOK: Duration = Duration::from_millis(300);

/// A machine gives up at its agent's second death, quicker than real ones; and it leaves a console on a loaded host more
/// time to end it when it is drained.
const LIMITS: &[(&str, &str)] = &[("TIDEGATE_DEATHS", "1"), ("TIDEGATE_DRAIN_GRACE", "600")];

/// Looks at EC2 until it is dropped.
#[derive(Debug)]
pub(super) struct Hypervisor {
    seen: Arc<Mutex<Seen>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it runs and what it saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    running: BTreeMap<String, Machine>,
    /// What machines wrote that have ended, by id.
    ended: BTreeMap<String, String>,
    /// Machines that were up at once, at most; by queue, and of all.
    pub(super) peaks: BTreeMap<String, usize>,
    pub(super) peak: usize,
    /// Machines that switched themselves off.
    pub(super) own_ends: Vec<String>,
}

impl Hypervisor {
    /// `settings`: more variables of each machine's boot script.
    pub(super) fn start(url: &str, settings: &[(&str, &str)]) -> Self {
        let (seen, end) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let settings = LIMITS.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings: Vec<(String, String)> = settings.collect();
        let (url, seen_by, until) = (url.to_owned(), Arc::clone(&seen), Arc::clone(&end));
        let thread = std::thread::Builder::new().name("hypervisor".to_owned()).spawn(move || {
            let ec2 = Ec2Console::new(&url);
            let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            while !until.load(Ordering::Relaxed) {
                look(&ec2, &seen_by, &settings);
                std::thread::sleep(LOOK);
            }
        });
        Self { seen, end, thread: Some(thread.unwrap()) }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    pub(super) fn written(&self) -> String {
        let seen = self.seen();
        let running = seen.running.iter().map(|(id, machine)| (id, machine.written()));
        let ended = seen.ended.iter().map(|(id, written)| (id, written.clone()));
        ended
            .chain(running)
            .map(|(id, written)| format!("--- machine {id}\n{}", without_configuration(&written)))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// An agent prints its whole configuration, before each task, too.
fn without_configuration(written: &str) -> String {
    let told = |line: &&str| !["agent.", "api.", "sdk."].iter().any(|section| line.starts_with(section));
    written.lines().filter(told).collect::<Vec<_>>().join("\n")
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let thread = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(thread, Some(Ok(()))), "the hypervisor died");
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Machines that no launch of ours made are somebody else's to run.
fn look(ec2: &Ec2Console, seen: &Mutex<Seen>, settings: &[(&str, &str)]) {
    let machines = ec2.machines();
    let machines: Vec<_> = machines.into_iter().filter(|machine| !machine.intent.0.is_empty()).collect();
    let mut seen = lock(seen);
    let up: Vec<_> = machines.iter().filter(|machine| machine.is_up()).collect();
    seen.peak = seen.peak.max(up.len());
    for queue in up.iter().map(|machine| &machine.queue) {
        let count = up.iter().filter(|machine| machine.queue == *queue).count();
        let peak = seen.peaks.entry(queue.clone()).or_default();
        *peak = count.max(*peak);
    }
    for machine in &machines {
        if machine.is_up() && !seen.running.contains_key(&machine.id) && !seen.ended.contains_key(&machine.id) {
            let user_data = ec2.user_data(&machine.id);
            let booted = Machine::boot_user_data(&user_data, &machine.id, settings);
            seen.running.insert(machine.id.clone(), booted);
        }
        if !machine.is_up()
            && let Some(ended) = seen.running.remove(&machine.id)
        {
            ended.power_cut();
            seen.ended.insert(machine.id.clone(), ended.written());
        }
    }
    let off: Vec<String> = seen.running.iter().filter(|(_, run)| run.is_off()).map(|(id, _)| id.clone()).collect();
    for id in off {
        // Its shutdown behaviour is to terminate.
        ec2.terminate(&id);
        seen.own_ends.push(id);
    }
}
