//! Whether this host's clock and the ClearML server's tell the same time. What is measured between the two is right all the
//! same; what is counted from a time that others wrote is wrong by the difference, and people are told of it.

use jiff::SignedDuration;

use crate::engine::run::Loop;
use crate::engine::seen::facts::CLOCK_OFF;
use crate::engine::words::line;
use crate::model::journal::EntryKind;
use crate::model::span::Short;

/// Clocks agree again below this: one that is just off is not told of over and over.
const AGREE: SignedDuration = SignedDuration::from_secs(20);

/// What people were told of the clocks.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// How far the server's is ahead; `None`: they agree.
    told: Option<SignedDuration>,
}

impl Clocks {
    /// Takes in how far the server's clock is ahead; what is new of it.
    fn hear(&mut self, ahead: SignedDuration) -> Option<(EntryKind, String)> {
        let is_new = match self.told {
            None => ahead.abs() > CLOCK_OFF,
            Some(told) => (ahead - told).abs() > CLOCK_OFF.max(told.abs() / 10),
        };
        if self.told.is_some() && ahead.abs() <= AGREE {
            self.told = None;
            return Some((EntryKind::Seen, "this host's clock and the ClearML server's agree again".to_owned()));
        }
        if is_new {
            self.told = Some(ahead);
        }
        self.warning().filter(|_| is_new).map(|text| (EntryKind::Alarm, text))
    }

    /// What stands on the screen as long as it is so.
    pub(super) fn warning(&self) -> Option<String> {
        let ahead = self.told?;
        let way = if ahead.is_negative() { "ahead of" } else { "behind" };
        let by = Short(ahead.abs());
        Some(format!(
            "this host's clock is {by} {way} the ClearML server's: see on both hosts whether `timedatectl` says that the \
             clock is synchronized; until they agree, times of clouds and their tokens may be wrong here"
        ))
    }
}

impl Loop {
    /// Tells people where the clocks are far apart, once, and again when that changes much.
    pub(super) async fn compare_clocks(&mut self) {
        let news = self.clocks.hear(self.facts.ahead);
        if let Some((kind, text)) = news.filter(|_| self.leads()) {
            self.commit(vec![line(self.setup.clock.now(), kind, text).record()]).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told_of_once_and_again_when_it_changes_much() {
        let mut clocks = Clocks::default();
        let mut heard = |seconds: i64| {
            let told = clocks.hear(SignedDuration::from_secs(seconds));
            told.map(|(kind, text)| (kind, text.split(':').next().unwrap_or_default().to_owned()))
        };
        let alarm = |text: &str| Some((EntryKind::Alarm, format!("this host's clock is {text} the ClearML server's")));
        assert_eq!((heard(0), heard(30), heard(-30)), (None, None, None));
        assert_eq!(heard(-92), alarm("1m32 ahead of"));
        assert_eq!((heard(-92), heard(-91), heard(-121)), (None, None, None));
        assert_eq!(heard(-123), alarm("2m03 ahead of"));
        assert_eq!(heard(3_600), alarm("1h00 behind"));
        assert_eq!((heard(3_300), heard(3_900)), (None, None), "minutes are little of an hour");
        assert_eq!(heard(50), alarm("50s behind"));
        assert_eq!(heard(25), None);
        let again = "this host's clock and the ClearML server's agree again".to_owned();
        assert_eq!((heard(3), heard(0)), (Some((EntryKind::Seen, again)), None));
        assert_eq!(clocks.warning(), None);
    }
}
