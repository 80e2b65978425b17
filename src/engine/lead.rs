//! Who leads the fleet, across hosts: the console whose claim on the ClearML server has the highest term. A claim is a
//! hidden queue of a unique name, which only one console can create; its metadata say who, and that it lives. A leader
//! that shows no new sign of life for a minute, by the watcher's own clock, is followed by the next term.

use jiff::{SignedDuration, Timestamp};
use tokio::task::Id;

use crate::engine::act::fence::Fence;
use crate::engine::event::Leader;
use crate::engine::run::{EngineError, Loop, Work};
use crate::engine::words::line;
use crate::model::claim::{Claim, ClaimId, ClaimNote};
use crate::model::ids::{FleetId, QueueId, Term};
use crate::model::journal::EntryKind;
use crate::model::record::{IntentOutcome, Record};
use crate::store::StoreError;
use crate::world::World;
use crate::world::clock::{Clock, Stopwatch};
use crate::world::tracker::TrackerError;

/// A console that may lead.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// One host and one state directory, which a lock keeps to one process.
    pub console: String,
    /// The same for people: `ann@host, process 12`.
    pub holder: String,
    pub times: Times,
}

/// How often it is seen to that a leader shows that it lives, and how long it may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub beat: SignedDuration,
    pub silence: SignedDuration,
}

impl Default for Times {
    fn default() -> Self {
        Self { beat: SignedDuration::from_secs(10), silence: SignedDuration::from_secs(60) }
    }
}

impl Times {
    /// A leader acts no more when it is so long that the server confirmed it: well before another may take over.
    #[must_use]
    pub fn sure(&self) -> SignedDuration {
        self.silence * 2 / 3
    }

    /// What the server was told or told us that is no older need not be told again at a beat.
    #[must_use]
    pub fn fresh(&self) -> SignedDuration {
        self.beat * 5 / 2
    }

    /// A confirmation that is no older need not be asked for again, not even before a deed.
    #[must_use]
    pub fn moment(&self) -> SignedDuration {
        self.beat / 10
    }

    /// How long the server may take to say who leads.
    #[must_use]
    pub fn answer(&self) -> SignedDuration {
        self.silence / 3
    }
}

/// What a candidate knows of the lead.
#[derive(Debug)]
pub(super) struct Lead {
    candidate: Candidate,
    /// The newest term that was seen or had.
    highest: Term,
    /// The sign of life that was seen last of another console, and since when there is no newer one.
    watched: Option<(Term, String, Stopwatch)>,
    beats: u64,
    /// By which this console leads, or led last.
    claim: Option<ClaimId>,
    /// Where this console showed last that it lives, and when.
    signed: Option<(QueueId, Stopwatch)>,
    /// Since when this console leads.
    pub(super) since: Option<Timestamp>,
    next: Timestamp,
    /// The task that asks, while it does.
    asking: Option<Id>,
    /// The server was asked, and answered or did not.
    asked: bool,
}

/// What the server said, and what was done about it.
#[derive(Debug)]
pub(super) enum Stand {
    /// This console leads in the term; what stood there before, where it has just taken over.
    Leads {
        term: Term,
        claim: QueueId,
        asked: Stopwatch,
        from: Option<Claim>,
        won: bool,
    },
    Follows(Claim),
}

/// One try to lead.
#[derive(Debug)]
struct Try {
    fleet: FleetId,
    /// The claim by which this console leads.
    ours: Option<ClaimId>,
    highest: Term,
    /// A claim whose last sign of life is too long ago.
    silent: Option<(Term, String)>,
    note: ClaimNote,
}

/// What to do about the claims that there are.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Beat(&'a Claim),
    Take(Term),
    Follow(&'a Claim),
}

impl Try {
    fn step<'a>(&self, claims: &'a [Claim]) -> Step<'a> {
        let Some(last) = claims.last() else { return Step::Take(next(self.highest)) };
        let next = next(self.highest.max(last.term));
        let is_silent = self.silent.as_ref().is_some_and(|(term, beat)| (*term, beat) == (last.term, &last.note.beat));
        match &self.ours {
            Some(ours) if last.id() == *ours => Step::Beat(last),
            // Somebody removed ours.
            Some(ours) if last.term < ours.term => Step::Take(next),
            // Its process is dead: we hold the lock that it held.
            _ if last.note.console == self.note.console => Step::Take(next),
            _ if last.is_released() || is_silent => Step::Take(next),
            _ => Step::Follow(last),
        }
    }

    async fn make(self, world: &World, clock: Clock) -> Result<Stand, TrackerError> {
        let tracker = &world.tracker;
        let asked = Stopwatch::start(clock);
        let claims = tracker.claims(&self.fleet).await?;
        let term = match self.step(&claims) {
            Step::Follow(claim) => return Ok(Stand::Follows(claim.clone())),
            Step::Beat(claim) => {
                if tracker.write_claim(&claim.queue, &self.note).await? {
                    let (term, claim) = (claim.term, claim.queue.clone());
                    return Ok(Stand::Leads { term, claim, asked, from: None, won: false });
                }
                next(claim.term)
            }
            Step::Take(term) => term,
        };
        // Who loses the race sees below who won it.
        let created = tracker.claim(&self.fleet, term).await?;
        let asked = Stopwatch::start(clock);
        let now = tracker.claims(&self.fleet).await?;
        let Some((last, earlier)) = now.split_last() else {
            let message = "a claim that was made is not listed".to_owned();
            return Err(TrackerError::Unreadable { endpoint: "queues.get_all".to_owned(), message });
        };
        if !created || last.term != term {
            return Ok(Stand::Follows(last.clone()));
        }
        tracker.write_claim(&last.queue, &self.note).await?;
        for old in earlier {
            tracker.delete_hidden(&old.queue).await?;
        }
        let claim = last.queue.clone();
        Ok(Stand::Leads { term, claim, asked, from: claims.into_iter().next_back(), won: true })
    }
}

fn next(term: Term) -> Term {
    Term(term.0.saturating_add(1))
}

impl Lead {
    pub(super) fn new(candidate: Candidate, now: Timestamp) -> Self {
        let (highest, watched, beats, claim, signed, since) = (Term(0), None, 0, None, None, None);
        Self { candidate, highest, watched, beats, claim, signed, since, next: now, asking: None, asked: false }
    }

    /// Keeps the time since the leader's last sign of life.
    fn watch(&mut self, claim: &Claim, clock: Clock) {
        self.highest = self.highest.max(claim.term);
        let known = self.watched.as_ref();
        if known.is_none_or(|(term, beat, _)| (*term, beat) != (claim.term, &claim.note.beat)) {
            self.watched = Some((claim.term, claim.note.beat.clone(), Stopwatch::start(clock)));
        }
    }

    fn silent(&self) -> Option<(Term, String)> {
        let (term, beat, since) = self.watched.as_ref()?;
        (since.at_least() >= self.candidate.times.silence).then(|| (*term, beat.clone()))
    }
}

impl Loop {
    /// Whether the question who leads was answered, or tried in vain.
    pub(super) fn knows_who_leads(&self) -> bool {
        self.lead.as_ref().is_none_or(|lead| lead.asked)
    }

    /// Until the lead is asked about again.
    pub(super) fn until_beat(&self) -> Option<SignedDuration> {
        let lead = self.lead.as_ref().filter(|lead| lead.asking.is_none())?;
        let left = lead.next.duration_since(self.setup.clock.now());
        Some(left.clamp(SignedDuration::ZERO, lead.candidate.times.beat))
    }

    /// A beat is due: what looks and deeds have shown, and what was written lately, is neither asked nor written again.
    pub(super) fn keep_lead(&mut self) {
        let is_told = self.leads() && self.fence.is_fresh();
        let Some(lead) = self.lead.as_ref().filter(|lead| lead.asking.is_none()) else { return };
        match lead.signed.clone().filter(|_| is_told) {
            Some((claim, at)) if at.at_most() >= lead.candidate.times.fresh() => self.sign(claim),
            Some(_) => self.next_beat(),
            None => self.beat(),
        }
    }

    fn next_beat(&mut self) {
        let now = self.setup.clock.now();
        if let Some(lead) = &mut self.lead {
            lead.next = now.saturating_add(lead.candidate.times.beat).unwrap_or(Timestamp::MAX);
        }
    }

    /// What the next sign of life says.
    fn note(&mut self) -> Option<ClaimNote> {
        let (now, leads) = (self.setup.clock.now(), self.leads());
        self.next_beat();
        let lead = self.lead.as_mut().filter(|lead| lead.asking.is_none())?;
        lead.beats += 1;
        Some(ClaimNote {
            console: lead.candidate.console.clone(),
            holder: lead.candidate.holder.clone(),
            since: lead.since.or(Some(now)),
            beat: format!("{} at {now}", lead.beats),
            // One that does not lead yet must not change the fleet's mode by taking over.
            armed: leads.then_some(self.memory.armed),
            paused: self.memory.paused,
        })
    }

    /// Shows that we live.
    fn sign(&mut self, claim: QueueId) {
        let Some(note) = self.note() else { return };
        let Some(answer) = self.lead.as_ref().map(|lead| lead.candidate.times.answer()) else { return };
        let (world, clock) = (self.setup.world.clone(), self.setup.clock);
        let task = self.work.spawn(async move {
            let at = Stopwatch::start(clock);
            let written = clock.deadline(answer, world.tracker.write_claim(&claim, &note)).await;
            let late = || Err(TrackerError::Deadline { endpoint: "the sign of life".to_owned() });
            Work::Signed(written.unwrap_or_else(late).map(|exists| exists.then_some((claim, at))))
        });
        self.asks(task.id());
    }

    fn asks(&mut self, task: Id) {
        if let Some(lead) = &mut self.lead {
            lead.asking = Some(task);
        }
    }

    /// This task ended badly: if it asked about the lead, the next beat asks again.
    pub(super) fn asked_in_vain(&mut self, task: Id) {
        if let Some(lead) = self.lead.as_mut().filter(|lead| lead.asking == Some(task)) {
            lead.asking = None;
        }
    }

    /// A sign of life was written, or its claim exists no more.
    pub(super) fn signed(&mut self, signed: Result<Option<(QueueId, Stopwatch)>, TrackerError>) {
        let Some(lead) = &mut self.lead else { return };
        lead.asking = None;
        match signed {
            Ok(Some(signed)) => lead.signed = Some(signed),
            Ok(None) => self.beat(),
            Err(error) => tracing::warn!(%error, "no sign of life was written"),
        }
    }

    /// A look showed the claim of the highest term.
    pub(super) fn shown_who_leads(&mut self, highest: Option<&ClaimId>, asked: Stopwatch) {
        let (Leader::Us(ours), Some(highest)) = (&self.setup.leader, highest) else { return };
        if self.lead.as_ref().is_some_and(|lead| lead.claim.as_ref() == Some(highest)) {
            self.fence.confirm(asked);
        } else if highest.term >= *ours {
            self.beat();
        }
        // Else it is older than our claim; or that is gone, which the beat finds out that is not told of it.
    }

    /// Asks who leads, shows that we live, or takes over.
    pub(super) fn beat(&mut self) {
        let leads = self.leads();
        let Some(note) = self.note() else { return };
        let Some(lead) = &self.lead else { return };
        let ours = lead.claim.clone().filter(|_| leads);
        let (highest, silent, answer) = (lead.highest, lead.silent(), lead.candidate.times.answer());
        let attempt = Try { fleet: self.settings.the_loop.fleet.clone(), ours, highest, silent, note };
        let (world, clock) = (self.setup.world.clone(), self.setup.clock);
        let task = self.work.spawn(async move {
            let stand = clock.deadline(answer, attempt.make(&world, clock)).await;
            let late = || Err(TrackerError::Deadline { endpoint: "the question who leads".to_owned() });
            Work::Stood(stand.unwrap_or_else(late))
        });
        self.asks(task.id());
    }

    /// The server said who leads.
    pub(super) async fn stood(&mut self, stand: Result<Stand, TrackerError>) -> Result<(), EngineError> {
        let clock = self.setup.clock;
        let Some(lead) = &mut self.lead else { return Ok(()) };
        (lead.asking, lead.asked) = (None, true);
        lead.signed = match &stand {
            Ok(Stand::Leads { claim, asked, .. }) => Some((claim.clone(), *asked)),
            _ => None,
        };
        match stand {
            Ok(Stand::Leads { term, asked, won: false, .. }) if self.setup.leader == Leader::Us(term) => {
                self.fence.confirm(asked);
            }
            Ok(Stand::Leads { term, claim, asked, from, .. }) => {
                self.takes_over(ClaimId { term, queue: claim }, asked, from).await?;
            }
            Ok(Stand::Follows(claim)) => {
                lead.watch(&claim, clock);
                self.follows(&claim).await?;
            }
            Err(error) => {
                tracing::warn!(%error, "who leads is not known");
                if let Leader::Other(who) = &mut self.setup.leader
                    && lead.watched.is_none()
                {
                    *who = format!("nobody knows ({error}) who");
                    self.publish();
                }
            }
        }
        Ok(())
    }

    async fn takes_over(&mut self, claim: ClaimId, asked: Stopwatch, from: Option<Claim>) -> Result<(), EngineError> {
        let term = claim.term;
        let (clock, now) = (self.setup.clock, self.setup.clock.now());
        let Some(lead) = &mut self.lead else { return Ok(()) };
        let (times, own) = (lead.candidate.times, lead.candidate.console.clone());
        let same = from.as_ref().is_none_or(|from| from.note.console == lead.candidate.console);
        let shared = match self.setup.store.lead(term).await {
            Ok(None) => false,
            Ok(Some(memory)) => {
                self.remember(memory);
                true
            }
            Err(error) => {
                self.cannot_lead(&error);
                return Ok(());
            }
        };
        self.hear().await;
        let Some(lead) = &mut self.lead else { return Ok(()) };
        (lead.highest, lead.watched, lead.since) = (term, None, Some(now));
        lead.claim = Some(claim.clone());
        self.fence = Fence::new(self.settings.the_loop.fleet.clone(), claim, times, clock, asked);
        self.setup.leader = Leader::Us(term);
        // What another console did up to now shows in a look that begins now, not in an older one.
        self.facts.distrust();
        self.looked_away = self.looking.is_some();
        (self.leased_at, self.looked_deep_at) = (None, None);
        // What is shared says all that others did.
        let same = same || shared;
        let mut records = if same { Vec::new() } else { self.withdrawn() };
        let text = match &from {
            None => format!("this console leads, in term {term}"),
            Some(from) if from.note.console == own => {
                format!("this console leads again, in term {term}: its last process had term {}", from.term)
            }
            Some(from) if from.is_released() => format!("this console leads in term {term}: {from} has ended"),
            Some(from) => format!("this console takes over in term {term}: {from} is silent"),
        };
        records.push(line(now, EntryKind::Seen, text).record());
        if let Some((from, armed)) = from.as_ref().filter(|_| !same).and_then(|from| Some((from, from.note.armed?))) {
            records.extend([Record::Armed(armed), Record::Paused(from.note.paused)]);
        }
        self.commit(records).await;
        self.doubt_open_intents(now).await;
        self.strangers.tell_again();
        self.tell_strangers().await;
        self.look();
        // The fleet's mode is written down for whoever follows.
        self.beat();
        self.publish();
        Ok(())
    }

    /// The lead is this console's, but not the store that it needs: the next beat tries again.
    fn cannot_lead(&mut self, error: &StoreError) {
        tracing::error!(%error, "the lead cannot be taken");
        let leader = Leader::Other(format!("nobody ({error})"));
        if self.setup.leader != leader {
            self.setup.leader = leader;
            self.publish();
        }
    }

    /// Another console has led since: it may have cancelled what this one ordered, and the machines may have tasks.
    fn withdrawn(&self) -> Vec<Record> {
        let ordered = self.memory.known.values().filter(|known| known.drain.is_some() || known.stop_sent.is_some());
        ordered.map(|known| Record::Withdrawn(known.id.clone())).collect()
    }

    async fn follows(&mut self, claim: &Claim) -> Result<(), EngineError> {
        let leader = Leader::Other(claim.to_string());
        if self.setup.leader == leader {
            return Ok(());
        }
        let now = self.setup.clock.now();
        let deposed = self.leads().then(|| self.term());
        self.setup.leader = leader;
        self.setup.store.follow();
        self.stop_all = None;
        self.delivered.forget_all();
        if let Some(lead) = &mut self.lead {
            lead.since = None;
        }
        let line = match deposed {
            Some(term) => {
                let text = format!("this console leads no more: term {term} is over, {claim} leads");
                line(now, EntryKind::Alarm, text)
            }
            None => line(now, EntryKind::Seen, format!("{claim} leads; this console only watches")),
        };
        self.commit(vec![line.record()]).await;
        self.publish();
        Ok(())
    }

    /// An intent whose call an earlier process, or an earlier lead, left open: it may have been made.
    pub(super) async fn doubt_open_intents(&mut self, now: Timestamp) {
        let calling = self.calling();
        let open = self.memory.intents.values();
        let open = open.filter(|intent| intent.outcome == IntentOutcome::Open && !calling.contains(&intent.id));
        let mut records: Vec<Record> = open.map(|intent| Record::IntentUnknown(intent.id.clone())).collect();
        if !records.is_empty() {
            let text = format!("{} launches were under way when the last loop ended", records.len());
            records.push(line(now, EntryKind::Seen, text).record());
            self.commit(records).await;
        }
    }

    /// Gives the lead to whoever wants it: this console ends.
    pub(super) async fn release_lead(&mut self) {
        let (Some(lead), true) = (&self.lead, self.leads()) else { return };
        let (ours, fleet) = (lead.claim.clone(), self.settings.the_loop.fleet.clone());
        let note = ClaimNote {
            console: lead.candidate.console.clone(),
            holder: lead.candidate.holder.clone(),
            since: lead.since,
            beat: String::new(),
            armed: Some(self.memory.armed),
            paused: self.memory.paused,
        };
        let tracker = &self.setup.world.tracker;
        let release = async {
            let claims = tracker.claims(&fleet).await?;
            match claims.last().filter(|claim| Some(claim.id()) == ours) {
                Some(ours) => tracker.write_claim(&ours.queue, &note.released()).await.map(drop),
                None => Ok(()),
            }
        };
        match self.setup.clock.deadline(lead.candidate.times.answer().min(FAREWELL), release).await {
            Some(Ok(())) => {}
            // Others wait a minute for a sign of life, and then take over all the same.
            late_or_failed => tracing::warn!(?late_or_failed, "the lead could not be given back"),
        }
    }
}

/// How long the end of a console may take for giving back the lead.
const FAREWELL: SignedDuration = SignedDuration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(term: u64, console: &str, beat: &str) -> Claim {
        let note = ClaimNote { console: console.to_owned(), beat: beat.to_owned(), ..ClaimNote::default() };
        Claim { queue: format!("q{term}").into(), term: Term(term), note }
    }

    /// On another queue than the one that was made first.
    fn elsewhere(term: u64, console: &str, beat: &str) -> Claim {
        Claim { queue: "restored".into(), ..claim(term, console, beat) }
    }

    #[test]
    fn a_console_leads_only_where_nobody_else_can() {
        let released = claim(7, "b", "").note.released();
        let released = Claim { note: released, ..claim(7, "b", "") };
        let taken = |term| Step::Take(Term(term));
        for (ours, highest, silent, claims, wanted) in [
            (None, 0, None, vec![], taken(1)),
            // It has seen higher ones than those that are left.
            (None, 9, None, vec![], taken(10)),
            (None, 0, None, vec![claim(3, "b", "1")], Step::Follow(&claim(3, "b", "1"))),
            (None, 0, Some((3, "1")), vec![claim(3, "b", "1")], taken(4)),
            // It has shown a sign of life meanwhile, or another has taken over.
            (None, 0, Some((3, "1")), vec![claim(3, "b", "2")], Step::Follow(&claim(3, "b", "2"))),
            (None, 0, Some((3, "1")), vec![claim(3, "b", "1"), claim(4, "c", "1")], Step::Follow(&claim(4, "c", "1"))),
            // One that has not written anything yet has its minute, too.
            (None, 0, None, vec![claim(3, "", "")], Step::Follow(&claim(3, "", ""))),
            (None, 0, Some((3, "")), vec![claim(3, "", "")], taken(4)),
            // The same console's dead process.
            (None, 0, None, vec![claim(3, "a", "1")], taken(4)),
            (None, 0, None, vec![released], taken(8)),
            (Some(3), 3, None, vec![claim(3, "a", "1")], Step::Beat(&claim(3, "a", "1"))),
            (Some(3), 3, None, vec![claim(3, "a", "1"), claim(4, "b", "1")], Step::Follow(&claim(4, "b", "1"))),
            // A server that was restored, or whose hidden queues somebody removed: another has made a claim of the same term.
            (Some(3), 3, None, vec![elsewhere(3, "b", "1")], Step::Follow(&elsewhere(3, "b", "1"))),
            (Some(3), 3, Some((3, "1")), vec![elsewhere(3, "b", "1")], taken(4)),
            (Some(3), 3, None, vec![elsewhere(3, "a", "1")], taken(4)),
            (Some(3), 3, None, vec![], taken(4)),
            (Some(3), 3, None, vec![claim(2, "b", "1")], taken(4)),
        ] {
            let attempt = Try {
                fleet: "lab".into(),
                ours: ours.map(|term| claim(term, "a", "1").id()),
                highest: Term(highest),
                silent: silent.map(|(term, beat): (u64, &str)| (Term(term), beat.to_owned())),
                note: claim(0, "a", "9").note,
            };
            assert_eq!(attempt.step(&claims), wanted, "{ours:?} {claims:?}");
        }
    }

    #[test]
    fn a_leader_stops_acting_before_another_may_begin() {
        let times = Times::default();
        assert!(times.sure() + times.moment() < times.silence);
        assert!(times.fresh() + times.beat < times.sure(), "there is time to ask");
        assert!(times.fresh() + times.beat * 3 <= times.silence, "two signs of life may fail");
        assert!(times.silence + times.beat + times.answer() <= SignedDuration::from_secs(90));
    }
}
