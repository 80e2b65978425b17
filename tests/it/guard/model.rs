//! The gate's protocol as a model: every interleaving of what console, gate, guard and server do, within small
//! bounds. A terminate that meets a task, or a pull that nobody will answer, is a violation; so is a state from which
//! the tasks cannot all get back into their queue or to their end.

use std::collections::{HashMap, VecDeque};

const TASKS: usize = 2;
const ORDERS: u8 = 2;
const CANCELS: u8 = 2;

/// How the console decides that a machine may be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// By the answer to the order that is in force.
    Gate,
    /// By any answer at all, as if orders had no nonce.
    AnyAnswer,
    /// By the worker's row: idle, so terminate.
    Naive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    NotYet,
    InQueue,
    /// Queued by its status, in no queue: the agent has it, or an answer carries it there.
    Popped,
    Running,
    Done,
    /// Its agent crashed: a loss that the console sees and puts right.
    Adrift,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Want {
    Run,
    Drain(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Said {
    Nothing,
    Drained(u8),
    Run(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Agent {
    Dead,
    /// Between two polls.
    Idle,
    /// It has read the mailbox and has not answered.
    Read(Want, Said),
    /// Its request for a task is under way.
    Asks,
    /// The server's answer is under way.
    Gets(usize),
    Runs(usize),
}

/// A drain as the console's store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Drain {
    nonce: u8,
    answered: bool,
    cancelled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and they are combined at will")]
struct State {
    tasks: [Task; TASKS],
    want: Want,
    said: Said,
    agent: Agent,
    /// What the gate remembers of its last reading.
    open: bool,
    /// The request of an agent that crashed may still reach the server.
    stray: bool,
    cordon: bool,
    /// The agent has polled since the cordon was made.
    proof: bool,
    machine_on: bool,
    console_up: bool,
    /// What the console last looked at: the mailbox's answer, and whether the worker's row was idle.
    seen: Option<(Said, bool)>,
    drain: Option<Drain>,
    stop_sent: bool,
    orders: u8,
    cancels: u8,
    agent_crashes: u8,
    console_crashes: u8,
}

/// A step's name, and where it leads; or what it breaks.
type Step = (&'static str, Result<State, &'static str>);

impl State {
    fn first() -> Self {
        Self {
            tasks: [Task::NotYet; TASKS],
            want: Want::Run,
            said: Said::Nothing,
            agent: Agent::Idle,
            open: false,
            stray: false,
            cordon: false,
            proof: false,
            machine_on: true,
            console_up: true,
            seen: None,
            drain: None,
            stop_sent: false,
            orders: 0,
            cancels: 0,
            agent_crashes: 0,
            console_crashes: 0,
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "a step is this or a violation")]
    fn with(&self, change: impl FnOnce(&mut Self)) -> Result<Self, &'static str> {
        let mut next = self.clone();
        change(&mut next);
        Ok(next)
    }

    /// The power goes: proven idle before, or a violation.
    fn ended(&self) -> Result<Self, &'static str> {
        match self.agent {
            Agent::Runs(_) => Err("a running task was killed"),
            Agent::Gets(_) => Err("the machine died with a task in its pull's answer"),
            Agent::Asks => Err("the machine died with a pull under way"),
            Agent::Dead | Agent::Idle | Agent::Read(..) => self.with(|next| {
                (next.machine_on, next.agent, next.open, next.cordon) = (false, Agent::Dead, false, false);
            }),
        }
    }

    fn steps(&self, protocol: Protocol) -> Vec<Step> {
        let mut steps = Vec::new();
        self.server(&mut steps);
        if self.machine_on {
            self.gate(&mut steps);
            self.guard(&mut steps);
        }
        self.console(protocol, &mut steps);
        steps
    }

    fn server(&self, steps: &mut Vec<Step>) {
        for (place, task) in self.tasks.iter().enumerate() {
            match task {
                Task::NotYet => steps.push(("enqueue", self.with(|next| next.tasks[place] = Task::InQueue))),
                Task::Adrift if self.console_up => {
                    steps.push(("put back", self.with(|next| next.tasks[place] = Task::InQueue)));
                }
                _ => {}
            }
        }
        let first = self.tasks.iter().position(|task| *task == Task::InQueue);
        if self.agent == Agent::Asks {
            let popped = self.with(|next| match first {
                Some(task) => (next.tasks[task], next.agent) = (Task::Popped, Agent::Gets(task)),
                None => next.agent = Agent::Idle,
            });
            steps.push(("pop", popped));
        }
        if self.stray {
            let popped = self.with(|next| {
                next.stray = false;
                if let Some(task) = first {
                    next.tasks[task] = Task::Adrift;
                }
            });
            steps.push(("pop for nobody", popped));
        }
        if self.stop_sent && self.machine_on {
            steps.push(("terminate", self.ended()));
        }
    }

    /// gate.py, within the agent.
    fn gate(&self, steps: &mut Vec<Step>) {
        match self.agent {
            Agent::Dead | Agent::Asks => {}
            Agent::Idle if self.cordon => steps.push(("poll behind the cordon", self.with(|next| next.proof = true))),
            Agent::Idle => {
                let (want, said) = (self.want, self.said);
                let read =
                    |next: &mut Self| (next.proof, next.open, next.agent) = (false, false, Agent::Read(want, said));
                steps.push(("poll, read", self.with(read)));
                let unread = |next: &mut Self| (next.proof, next.open) = (false, false);
                steps.push(("poll, cannot read", self.with(unread)));
                if self.open {
                    steps.push(("poll, pull", self.with(|next| (next.proof, next.agent) = (false, Agent::Asks))));
                }
            }
            Agent::Read(want, said) => {
                let answered = self.with(|next| match (want, said) {
                    (Want::Drain(nonce), _) => (next.said, next.agent) = (Said::Drained(nonce), Agent::Idle),
                    (Want::Run, Said::Drained(nonce)) => {
                        (next.said, next.open, next.agent) = (Said::Run(nonce), true, Agent::Asks);
                    }
                    (Want::Run, _) => (next.open, next.agent) = (true, Agent::Asks),
                });
                steps.push(("answer", answered));
                steps.push(("cannot answer", self.with(|next| next.agent = Agent::Idle)));
            }
            Agent::Gets(task) => steps.push((
                "start the task",
                self.with(|next| (next.tasks[task], next.agent) = (Task::Running, Agent::Runs(task))),
            )),
            Agent::Runs(task) => {
                let done = |next: &mut Self| (next.tasks[task], next.agent) = (Task::Done, Agent::Idle);
                steps.push(("end the task", self.with(done)));
            }
        }
    }

    /// boot.sh, and the agent's crash.
    fn guard(&self, steps: &mut Vec<Step>) {
        if self.agent == Agent::Dead {
            let again = |next: &mut Self| (next.agent, next.open, next.proof) = (Agent::Idle, false, false);
            steps.push(("start the agent again", self.with(again)));
        } else if self.agent_crashes == 0 {
            let crashed = self.with(|next| {
                if let Agent::Gets(task) | Agent::Runs(task) = self.agent {
                    next.tasks[task] = Task::Adrift;
                }
                next.stray = self.agent == Agent::Asks;
                (next.agent, next.open, next.agent_crashes) = (Agent::Dead, false, 1);
            });
            steps.push(("crash of the agent", crashed));
        }
        if !self.cordon {
            steps.push(("cordon", self.with(|next| (next.cordon, next.proof) = (true, false))));
            return;
        }
        steps.push(("withdraw the cordon", self.with(|next| next.cordon = false)));
        if self.proof || self.agent == Agent::Dead {
            steps.push(("power-off", self.ended()));
        }
    }

    fn console(&self, protocol: Protocol, steps: &mut Vec<Step>) {
        if !self.console_up {
            steps.push(("restart of the console", self.with(|next| next.console_up = true)));
            return;
        }
        if self.console_crashes == 0 {
            let crashed = |next: &mut Self| (next.console_up, next.seen, next.console_crashes) = (false, None, 1);
            steps.push(("crash of the console", self.with(crashed)));
        }
        let idle = !self.tasks.contains(&Task::Running);
        steps.push(("look", self.with(|next| next.seen = Some((next.said, idle)))));
        let Some(drain) = self.drain else {
            if self.orders < ORDERS {
                let ordered = self.with(|next| {
                    next.orders += 1;
                    next.drain = Some(Drain { nonce: next.orders, answered: false, cancelled: false });
                });
                steps.push(("order", ordered));
            }
            return;
        };
        let want = if drain.cancelled { Want::Run } else { Want::Drain(drain.nonce) };
        if want != self.want {
            steps.push(("write the order", self.with(|next| next.want = want)));
        }
        if drain.cancelled {
            let never = self.want == Want::Run && self.said != Said::Drained(drain.nonce);
            if self.seen.is_some_and(|(said, _)| said == Said::Run(drain.nonce)) || never {
                steps.push(("the cancel is over", self.with(|next| next.drain = None)));
            }
            return;
        }
        let enough = self.seen.is_some_and(|(said, idle)| match protocol {
            Protocol::Gate => said == Said::Drained(drain.nonce),
            Protocol::AnyAnswer => matches!(said, Said::Drained(_)),
            Protocol::Naive => idle,
        });
        if enough && !drain.answered {
            let drain = Some(Drain { answered: true, ..drain });
            steps.push(("take the answer", self.with(|next| next.drain = drain)));
        }
        if drain.answered && !self.stop_sent {
            steps.push(("send the terminate", self.with(|next| next.stop_sent = true)));
        }
        if self.cancels < CANCELS && !self.stop_sent {
            let cancelled = self.with(|next| {
                next.cancels += 1;
                next.drain = Some(Drain { cancelled: true, ..drain });
            });
            steps.push(("cancel", cancelled));
        }
    }

    fn settled(&self) -> bool {
        self.tasks.iter().all(|task| matches!(task, Task::InQueue | Task::Done))
    }
}

/// All that can be reached, breadth first.
struct Explored {
    states: Vec<State>,
    /// The state before each, and the step from there.
    before: Vec<Option<(usize, &'static str)>>,
    edges: Vec<(usize, usize)>,
    /// What is broken first, and the shortest way there.
    violation: Option<(&'static str, Vec<&'static str>)>,
}

impl Explored {
    fn all(protocol: Protocol) -> Self {
        let mut explored =
            Self { states: vec![State::first()], before: vec![None], edges: Vec::new(), violation: None };
        let mut known = HashMap::from([(State::first(), 0)]);
        let mut next = 0;
        while let Some(state) = explored.states.get(next).cloned() {
            for (name, step) in state.steps(protocol) {
                match step {
                    Ok(reached) => {
                        let new = explored.states.len();
                        let place = *known.entry(reached.clone()).or_insert(new);
                        if place == new {
                            explored.states.push(reached);
                            explored.before.push(Some((next, name)));
                        }
                        explored.edges.push((next, place));
                    }
                    Err(what) if explored.violation.is_none() => {
                        explored.violation = Some((what, explored.way_to(next, name)));
                    }
                    Err(_) => {}
                }
            }
            next += 1;
        }
        explored
    }

    fn way_to(&self, mut place: usize, last: &'static str) -> Vec<&'static str> {
        let mut way = vec![last];
        while let Some((before, name)) = self.before[place] {
            way.push(name);
            place = before;
        }
        way.reverse();
        way
    }

    /// A state from which no way leads to one that is `good`.
    fn stuck(&self, good: impl Fn(&State) -> bool) -> Option<&State> {
        let mut back = vec![Vec::new(); self.states.len()];
        for (from, to) in &self.edges {
            back[*to].push(*from);
        }
        let mut reaches: Vec<bool> = self.states.iter().map(&good).collect();
        let mut open: VecDeque<usize> = (0..reaches.len()).filter(|place| reaches[*place]).collect();
        while let Some(place) = open.pop_front() {
            for from in std::mem::take(&mut back[place]) {
                if !std::mem::replace(&mut reaches[from], true) {
                    open.push_back(from);
                }
            }
        }
        reaches.iter().position(|reaches| !reaches).map(|place| &self.states[place])
    }
}

#[test]
fn no_interleaving_of_the_gate_loses_or_kills_a_task() {
    let explored = Explored::all(Protocol::Gate);
    println!("the gate's protocol: {} states, {} steps", explored.states.len(), explored.edges.len());
    assert_eq!(explored.violation, None);
    assert!(explored.stuck(State::settled).is_none(), "{:?}", explored.stuck(State::settled));
    let ends = |state: &State| !state.machine_on && state.settled();
    assert!(explored.stuck(ends).is_none(), "{:?}", explored.stuck(ends));
    // The model can do what the protocol is for.
    assert!(explored.states.iter().any(|state| !state.machine_on && state.stop_sent));
    assert!(explored.states.iter().any(|state| state.cancels == 2 && state.tasks == [Task::Done; TASKS]));
    assert!(explored.states.iter().any(|state| state.tasks.contains(&Task::Adrift)));
}

#[test]
fn the_same_model_finds_what_the_naive_way_and_orders_without_a_nonce_break() {
    for (protocol, word) in [(Protocol::Naive, "terminate"), (Protocol::AnyAnswer, "cancel")] {
        let explored = Explored::all(protocol);
        let (what, way) = explored.violation.unwrap_or_else(|| panic!("{protocol:?} breaks nothing"));
        println!("{protocol:?}: {what}: {}", way.join(", "));
        assert!(way.contains(&word), "{way:?}");
    }
}
