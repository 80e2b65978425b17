//! A loop that answers what it is asked, as one that works would.

use super::Person;
use super::seen::{entries, rich};
use crate::engine::event::{Answer, Event, Foresight};
use crate::tui::message::Message;
use crate::tui::state::Asked;

/// What it says to this; `None`: it is heard of by what follows.
fn of(asked: &Asked) -> Option<Answer> {
    Some(match asked {
        Asked::Deed { .. } | Asked::Apply { .. } => Answer::Done,
        Asked::Preview { .. } => {
            let view = rich();
            let budgets = view.spend.budgets.clone();
            Answer::Preview(Box::new(Foresight { plan: view.plan.as_ref().clone(), budgets }))
        }
        Asked::BootLog(_) => Answer::BootLog("cloud-init starts\nagent starts\n".to_owned()),
        Asked::Tasks(_) => Answer::Tasks(super::desk::tasks()),
        Asked::TaskLog(_) => Answer::TaskLog("epoch 1\nepoch 2\n".to_owned()),
        Asked::Journal { .. } => Answer::Journal(entries()),
        Asked::History => Answer::History(Vec::new()),
        Asked::SettingsText => Answer::Text("[loop]\n".to_owned()),
        Asked::Write { .. } => Answer::Said("written".to_owned()),
        Asked::Quit => return None,
    })
}

/// Answers everything that was asked.
pub(super) fn answer(person: &mut Person) {
    // An answer may ask again; it is not a conversation without an end.
    for _ in 0..4 {
        let answers: Vec<_> = person.state.asked.iter().filter_map(|(id, asked)| Some((*id, of(asked)?))).collect();
        for (id, answer) in answers {
            person.tell(Message::Engine(Event::Answer { id, result: Ok(answer) }));
        }
    }
}
