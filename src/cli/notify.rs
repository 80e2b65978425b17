//! `notify`: whether those who are told of events can be.

use clap::Args;

use super::Place;
use super::failure::Failure;
use super::live::Ground;
use super::say::say;
use crate::engine::notices;
use crate::model::ids::NotifyName;
use crate::model::nearest::did_you_mean;
use crate::model::notice::NoticeKind;
use crate::world::clock::Clock;
use crate::world::notify::tell;

/// Send a test notice to one of those whom [notify.NAME] tells of events
#[derive(Debug, Args)]
pub(super) struct Notify {
    /// Whom, as the settings name them; without a name, everyone
    name: Option<String>,
    /// As which event the test is told
    #[arg(long, default_value = "alarm", value_parser = event)]
    event: NoticeKind,
}

fn event(word: &str) -> Result<NoticeKind, String> {
    let words = || NoticeKind::ALL.into_iter().map(NoticeKind::word);
    NoticeKind::read(word).ok_or_else(|| {
        let hint = did_you_mean(word, words());
        format!("it is one of {}{hint}", words().collect::<Vec<_>>().join(", "))
    })
}

impl Notify {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let settings = Ground::find(place)?.settings.settings();
        let names = || settings.notify.iter().map(|told| told.name.as_str());
        if let Some(name) = &self.name
            && settings.notified(&NotifyName::new(name.as_str())).is_none()
        {
            return Err(Failure::Usage(format!(
                "nobody is called `{name}` in [notify]{}",
                did_you_mean(name, names())
            )));
        }
        let wanted: Vec<_> = settings
            .notify
            .iter()
            .filter(|told| self.name.as_ref().is_none_or(|name| told.name.as_str() == name))
            .collect();
        if wanted.is_empty() {
            return Err(Failure::Usage("the settings name nobody who is told: add a section [notify.NAME]".to_owned()));
        }
        let notice = notices::example(self.event, settings.the_loop.fleet.clone(), Clock::Wall.now());
        let mut failed = Vec::new();
        for told in wanted {
            match tell(told, &notice).await {
                Ok(()) => say(&format!("{}: told\n", told.name))?,
                Err(error) => failed.push(format!("{}: {error}", told.name)),
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Failure::NotReachable(failed.join("; "))) }
    }
}
