//! The gate's protocol as a model: every interleaving of what console, gates, guard and server do, within small
//! bounds. A terminate that meets a task, or a pull that nobody will answer, is a violation; so is a state from which
//! the tasks cannot all get back into their queue or to their end. One agent stands alone; two share a mailbox, each proves
//! for itself in its own file that it is idle, and the one that finds the other's proof answers.

use std::collections::{HashMap, VecDeque};

const TASKS: usize = 2;

/// How often what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    orders: u8,
    cancels: u8,
    console_crashes: u8,
    cordons: bool,
}

const ALONE: Bounds = Bounds { orders: 2, cancels: 2, console_crashes: 1, cordons: true };
/// Cordon and console are the same whatever the number of agents.
const SHARED: Bounds = Bounds { orders: 2, cancels: 1, console_crashes: 0, cordons: false };

/// How the console decides that a machine may be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// By the answer to the order that is in force.
    Gate,
    /// By any answer at all, as if orders had no nonce.
    AnyAnswer,
    /// By the worker's row: idle, so terminate.
    Naive,
    /// The first agent that is idle answers for its machine.
    FirstWord,
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
    /// It has found the proofs of all, and answers.
    Answers(u8),
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
struct State<const N: usize> {
    tasks: [Task; TASKS],
    want: Want,
    said: Said,
    agents: [Agent; N],
    /// What the gate remembers of its last reading.
    open: [bool; N],
    /// The drain of which the file of each agent says that it is idle.
    proved: [Option<u8>; N],
    /// The guard has given it up.
    given_up: [bool; N],
    /// The request of an agent that crashed may still reach the server.
    stray: bool,
    cordon: bool,
    /// The agent has polled since the cordon was made.
    proof: [bool; N],
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
type Step<const N: usize> = (&'static str, Result<State<N>, &'static str>);

impl<const N: usize> State<N> {
    fn first() -> Self {
        Self {
            tasks: [Task::NotYet; TASKS],
            want: Want::Run,
            said: Said::Nothing,
            agents: [Agent::Idle; N],
            open: [false; N],
            proved: [None; N],
            given_up: [false; N],
            stray: false,
            cordon: false,
            proof: [false; N],
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
        for agent in self.agents {
            match agent {
                Agent::Runs(_) => return Err("a running task was killed"),
                Agent::Gets(_) => return Err("the machine died with a task in its pull's answer"),
                Agent::Asks => return Err("the machine died with a pull under way"),
                Agent::Dead | Agent::Idle | Agent::Read(..) | Agent::Answers(_) => {}
            }
        }
        self.with(|next| {
            (next.machine_on, next.agents, next.open, next.cordon) = (false, [Agent::Dead; N], [false; N], false);
        })
    }

    fn steps(&self, protocol: Protocol, bounds: Bounds) -> Vec<Step<N>> {
        let mut steps = Vec::new();
        self.server(&mut steps);
        if self.machine_on {
            for agent in 0..N {
                self.gate(agent, protocol, &mut steps);
                self.crash(agent, &mut steps);
            }
            if bounds.cordons {
                self.guard(&mut steps);
            }
        }
        self.console(protocol, bounds, &mut steps);
        steps
    }

    fn server(&self, steps: &mut Vec<Step<N>>) {
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
        for agent in (0..N).filter(|agent| self.agents[*agent] == Agent::Asks) {
            let popped = self.with(|next| match first {
                Some(task) => (next.tasks[task], next.agents[agent]) = (Task::Popped, Agent::Gets(task)),
                None => next.agents[agent] = Agent::Idle,
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
    fn gate(&self, at: usize, protocol: Protocol, steps: &mut Vec<Step<N>>) {
        match self.agents[at] {
            Agent::Dead | Agent::Asks => {}
            Agent::Idle if self.cordon => {
                steps.push(("poll behind the cordon", self.with(|next| next.proof[at] = true)));
            }
            Agent::Idle => {
                let (want, said) = (self.want, self.said);
                let read = |next: &mut Self| {
                    (next.proof[at], next.open[at], next.agents[at]) = (false, false, Agent::Read(want, said));
                };
                steps.push(("poll, read", self.with(read)));
                // A gate that is closed says so in its file.
                let unread = |next: &mut Self| (next.proof[at], next.open[at], next.proved[at]) = (false, false, None);
                steps.push(("poll, cannot read", self.with(unread)));
                if self.open[at] {
                    let pull = |next: &mut Self| (next.proof[at], next.agents[at]) = (false, Agent::Asks);
                    steps.push(("poll, pull", self.with(pull)));
                }
            }
            Agent::Read(Want::Drain(nonce), _) if N > 1 && protocol != Protocol::FirstWord => {
                steps.push(self.proves(at, nonce));
            }
            Agent::Read(want, said) => {
                let answered = self.with(|next| match (want, said) {
                    (Want::Drain(nonce), _) => (next.said, next.agents[at]) = (Said::Drained(nonce), Agent::Idle),
                    (Want::Run, Said::Drained(nonce)) => {
                        next.said = Said::Run(nonce);
                        next.opens(at);
                    }
                    (Want::Run, _) => next.opens(at),
                });
                steps.push(("answer", answered));
                steps.push(self.cannot_answer(at));
            }
            Agent::Answers(nonce) => {
                let answered = |next: &mut Self| (next.said, next.agents[at]) = (Said::Drained(nonce), Agent::Idle);
                steps.push(("answer for all", self.with(answered)));
                steps.push(self.cannot_answer(at));
            }
            Agent::Gets(task) => steps.push((
                "start the task",
                self.with(|next| (next.tasks[task], next.agents[at]) = (Task::Running, Agent::Runs(task))),
            )),
            Agent::Runs(task) => {
                let done = |next: &mut Self| (next.tasks[task], next.agents[at]) = (Task::Done, Agent::Idle);
                steps.push(("end the task", self.with(done)));
            }
        }
    }

    fn opens(&mut self, at: usize) {
        (self.open[at], self.proved[at], self.agents[at]) = (true, None, Agent::Asks);
    }

    fn cannot_answer(&self, at: usize) -> Step<N> {
        ("cannot answer", self.with(|next| (next.proved[at], next.agents[at]) = (None, Agent::Idle)))
    }

    /// It writes its own proof before it reads those of the others.
    fn proves(&self, at: usize, nonce: u8) -> Step<N> {
        if self.proved[at] != Some(nonce) {
            return ("prove it", self.with(|next| next.proved[at] = Some(nonce)));
        }
        let all = (0..N).all(|other| self.proved[other] == Some(nonce) || self.given_up[other]);
        let then = if all { Agent::Answers(nonce) } else { Agent::Idle };
        ("look at the others' proofs", self.with(|next| next.agents[at] = then))
    }

    /// An agent's crash, and what the guard does then. A proof outlives the agent that gave it.
    fn crash(&self, at: usize, steps: &mut Vec<Step<N>>) {
        if self.agents[at] == Agent::Dead {
            if self.given_up[at] {
                return;
            }
            let again =
                |next: &mut Self| (next.agents[at], next.open[at], next.proof[at]) = (Agent::Idle, false, false);
            steps.push(("start the agent again", self.with(again)));
            if N > 1 {
                steps.push(("give the agent up", self.with(|next| next.given_up[at] = true)));
            }
        } else if self.agent_crashes == 0 {
            let crashed = self.with(|next| {
                if let Agent::Gets(task) | Agent::Runs(task) = self.agents[at] {
                    next.tasks[task] = Task::Adrift;
                }
                next.stray = self.agents[at] == Agent::Asks;
                (next.agents[at], next.open[at], next.agent_crashes) = (Agent::Dead, false, 1);
            });
            steps.push(("crash of the agent", crashed));
        }
    }

    /// boot.sh.
    fn guard(&self, steps: &mut Vec<Step<N>>) {
        if !self.cordon {
            steps.push(("cordon", self.with(|next| (next.cordon, next.proof) = (true, [false; N]))));
            return;
        }
        steps.push(("withdraw the cordon", self.with(|next| next.cordon = false)));
        if (0..N).all(|at| self.proof[at] || self.agents[at] == Agent::Dead) {
            steps.push(("power-off", self.ended()));
        }
    }

    fn console(&self, protocol: Protocol, bounds: Bounds, steps: &mut Vec<Step<N>>) {
        if !self.console_up {
            steps.push(("restart of the console", self.with(|next| next.console_up = true)));
            return;
        }
        if self.console_crashes < bounds.console_crashes {
            let crashed = |next: &mut Self| (next.console_up, next.seen, next.console_crashes) = (false, None, 1);
            steps.push(("crash of the console", self.with(crashed)));
        }
        let idle = !self.tasks.contains(&Task::Running);
        steps.push(("look", self.with(|next| next.seen = Some((next.said, idle)))));
        let Some(drain) = self.drain else {
            if self.orders < bounds.orders {
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
            Protocol::Gate | Protocol::FirstWord => said == Said::Drained(drain.nonce),
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
        if self.cancels < bounds.cancels && !self.stop_sent {
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
struct Explored<const N: usize> {
    states: Vec<State<N>>,
    /// The state before each, and the step from there.
    before: Vec<Option<(usize, &'static str)>>,
    edges: Vec<(usize, usize)>,
    /// What is broken first, and the shortest way there.
    violation: Option<(&'static str, Vec<&'static str>)>,
}

impl<const N: usize> Explored<N> {
    fn all(protocol: Protocol, bounds: Bounds) -> Self {
        let mut explored =
            Self { states: vec![State::first()], before: vec![None], edges: Vec::new(), violation: None };
        let mut known = HashMap::from([(State::first(), 0)]);
        let mut next = 0;
        while let Some(state) = explored.states.get(next).cloned() {
            for (name, step) in state.steps(protocol, bounds) {
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
    fn stuck(&self, good: impl Fn(&State<N>) -> bool) -> Option<&State<N>> {
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
    let explored = Explored::<1>::all(Protocol::Gate, ALONE);
    println!("the gate's protocol: {} states, {} steps", explored.states.len(), explored.edges.len());
    assert_eq!(explored.violation, None);
    assert!(explored.stuck(State::settled).is_none(), "{:?}", explored.stuck(State::settled));
    let ends = |state: &State<1>| !state.machine_on && state.settled();
    assert!(explored.stuck(ends).is_none(), "{:?}", explored.stuck(ends));
    // The model can do what the protocol is for.
    assert!(explored.states.iter().any(|state| !state.machine_on && state.stop_sent));
    assert!(explored.states.iter().any(|state| state.cancels == 2 && state.tasks == [Task::Done; TASKS]));
    assert!(explored.states.iter().any(|state| state.tasks.contains(&Task::Adrift)));
}

#[test]
fn the_same_model_finds_what_the_naive_way_and_orders_without_a_nonce_break() {
    for (protocol, word) in [(Protocol::Naive, "terminate"), (Protocol::AnyAnswer, "cancel")] {
        let explored = Explored::<1>::all(protocol, ALONE);
        let (what, way) = explored.violation.unwrap_or_else(|| panic!("{protocol:?} breaks nothing"));
        println!("{protocol:?}: {what}: {}", way.join(", "));
        assert!(way.contains(&word), "{way:?}");
    }
}

#[test]
fn no_interleaving_of_two_agents_behind_one_mailbox_loses_or_kills_a_task() {
    let explored = Explored::<2>::all(Protocol::Gate, SHARED);
    println!("two agents' protocol: {} states, {} steps", explored.states.len(), explored.edges.len());
    assert_eq!(explored.violation, None);
    assert!(explored.stuck(State::settled).is_none(), "{:?}", explored.stuck(State::settled));
    let answered = |state: &State<2>| state.drain.is_some_and(|drain| drain.answered);
    assert!(explored.states.iter().any(|state| answered(state) && state.tasks == [Task::Done; TASKS]));
    assert!(explored.states.iter().any(|state| answered(state) && state.given_up != [false; 2]));
    assert!(explored.states.iter().any(|state| matches!(state.agents, [Agent::Runs(_), Agent::Runs(_)])));
    let naive = Explored::<2>::all(Protocol::FirstWord, SHARED);
    let (what, way) = naive.violation.expect("one agent's word is enough");
    println!("{:?}: {what}: {}", Protocol::FirstWord, way.join(", "));
}
