//! Questions, each with its default; where nobody can be asked, what is missing is told in the end, all at once.

use super::draft;
use super::found::{Found, Offered};
use crate::cli::failure::Failure;
use crate::cli::reach;
use crate::cli::say::{ask, say};
use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::ids::MachineType;
use crate::model::money::{Exact, Money, MoneyError};
use crate::model::settings::Provider;
use crate::model::settings::fields::{self, Written};
use crate::model::settings::key::Part;

/// More queues or types are not worth reading.
const MOST: usize = 16;

/// Whether an answer can be the setting that it becomes.
pub(super) fn fits(part: Part, field: &str, typed: &str) -> Result<String, String> {
    let field = fields::find(part, field).map_err(|error| error.to_string())?;
    field.read(typed).map(|_| typed.to_owned()).map_err(|wrong| wrong.to_string())
}

/// A machine at least: with none nothing would ever run.
pub(super) fn number(typed: &str) -> Result<u32, String> {
    let field = fields::find(Part::Pool, "max").map_err(|error| error.to_string())?;
    match field.read(typed).map_err(|wrong| wrong.to_string())? {
        Written::Whole(number) if number > 0 => u32::try_from(number).map_err(|error| error.to_string()),
        _ => Err(format!("`{typed}` lets nothing run: it must be 1 or more")),
    }
}

pub(super) fn money(typed: &str) -> Result<Money, String> {
    let money: Money = typed.parse().map_err(|error: MoneyError| error.to_string())?;
    if money <= Money::ZERO {
        return Err(format!("`{typed}` lets nothing run: it must be more than $0"));
    }
    fits(Part::Budget, "limit", &Exact(money).to_string()).map(|_| money)
}

pub(super) fn image(provider: Provider, typed: &str) -> Result<String, String> {
    fits(Part::Pool, if provider == Provider::Gce { "image" } else { "ami" }, typed)
}

/// An option's value.
pub(super) fn given<T>(option: &str, read: Result<T, String>) -> Result<(), Failure> {
    read.map(drop).map_err(|why| Failure::Usage(format!("{option}: {why}")))
}

/// Asks a person, or notes what would have to be asked.
#[derive(Debug)]
pub(super) struct Asker {
    has_person: bool,
    lacks: Vec<String>,
}

impl Asker {
    pub(super) fn new(has_person: bool) -> Self {
        Self { has_person, lacks: Vec::new() }
    }

    pub(super) fn lacks(&mut self, what: &str) {
        self.lacks.push(what.to_owned());
    }

    /// Notes what no answer can mend.
    pub(super) fn needs(&mut self, found: &Found) {
        match &found.queues {
            None => self.lacks(found.server_needs.as_deref().unwrap_or(
                "a ClearML server that answers: `clearml-init`, or CLEARML_API_HOST and the keys beside it",
            )),
            Some(queues) if queues.is_empty() => self.lacks("a queue on the ClearML server: it has none"),
            Some(_) => {}
        }
        if found.cloud.is_none() {
            self.lacks(
                found
                    .cloud_needs
                    .as_deref()
                    .unwrap_or("credentials of a cloud: `aws configure`, or `gcloud auth application-default login`"),
            );
        }
    }

    /// Whether a person would be asked, and nothing be written all the same.
    pub(super) fn asks_in_vain(&self) -> bool {
        self.has_person && !self.lacks.is_empty()
    }

    /// Refuses to go on where something is missing.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.lacks.is_empty() {
            return Ok(());
        }
        let list = self.lacks.iter().map(|lack| format!("\n  {lack}")).collect::<Vec<_>>().concat();
        Err(Failure::Usage(format!("nothing was written; still needed:{list}")))
    }

    /// An answer that can be read, or the default.
    fn answer<T>(
        question: &str,
        shown: &str,
        default: T,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        loop {
            let typed = ask(&format!("{question} [{shown}]:"))?;
            if typed.is_empty() {
                return Ok(default);
            }
            match read(&typed) {
                Ok(answer) => return Ok(answer),
                Err(why) => say(&format!("{why}\n"))?,
            }
        }
    }

    pub(super) fn number(&self, question: &str, given: Option<u32>, default: u32) -> Result<u32, Failure> {
        match given {
            Some(given) => Ok(given),
            None if self.has_person => Self::answer(question, &default.to_string(), default, number),
            None => Ok(default),
        }
    }

    pub(super) fn money(&self, question: &str, given: Option<Money>, default: Money) -> Result<Money, Failure> {
        match given {
            Some(given) => Ok(given),
            None if self.has_person => Self::answer(question, &default.to_string(), default, money),
            None => Ok(default),
        }
    }

    pub(super) fn fleet(&self, given: Option<&str>) -> Result<String, Failure> {
        let default = draft::fleet_of(&reach::person(), &reach::host());
        match given {
            Some(given) => Ok(given.to_owned()),
            None if self.has_person => {
                let fits = |typed: &str| fits(Part::Loop, "fleet", typed);
                Self::answer("The fleet's name", &default.clone(), default, fits)
            }
            None => Ok(default),
        }
    }

    /// Queues by their numbers or names.
    pub(super) fn queues(&mut self, given: &[String], found: &Found) -> Result<Vec<String>, Failure> {
        let offered = found.queues.as_deref().unwrap_or_default();
        if offered.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = offered.iter().map(|queue| queue.name.as_str()).collect();
        if let Some(unknown) = given.iter().find(|name| !names.contains(&name.as_str())) {
            self.lacks(&format!("--queue: the server has no queue `{unknown}`; it has {}", names.join(", ")));
            return Ok(Vec::new());
        }
        if !given.is_empty() {
            return Ok(given.to_vec());
        }
        if !self.has_person {
            self.lacks(&format!("--queue NAME, one or more of {}", names.join(", ")));
            return Ok(Vec::new());
        }
        let rows = offered.iter().take(MOST).map(|Offered { name, waiting }| format!("{name:<24} {waiting} wait"));
        Self::choose("Which queues? Numbers or names, with commas", rows, &names, |_| false)
    }

    /// Machine types by their numbers or names; a name need not be on the list.
    pub(super) fn types(
        &mut self,
        given: &[String],
        provider: Provider,
        region: &str,
        catalogue: &Catalogue,
    ) -> Result<Vec<MachineType>, Failure> {
        if !given.is_empty() {
            return Ok(given.iter().map(|name| name.as_str().into()).collect());
        }
        let (offered, priced) = draft::offered_near(catalogue, provider, region);
        let names: Vec<&str> = offered.iter().map(|(kind, _)| kind.as_str()).collect();
        if !self.has_person {
            let some: Vec<_> =
                offered.iter().take(MOST).map(|(kind, spec)| format!("{kind} ({})", price(spec))).collect();
            self.lacks(&format!("--type TYPE, such as {}", some.join(", ")));
            return Ok(Vec::new());
        }
        say(&if priced == region {
            format!("\nPrices of {region}, on demand; the table's own, until the cloud tells better ones.\n")
        } else {
            format!(
                "\nThe table has no prices of {region}: these are of {priced}, on demand, until the cloud tells its own.\n"
            )
        })?;
        let rows = offered.iter().take(MOST).map(|(kind, spec)| {
            format!("{:<18} {:>2} GPU {:>4} vCPU  {}", kind.as_str(), spec.gpu, spec.vcpu, price(spec))
        });
        let question = "Which machine types, the first tried first? Others by their names";
        let chosen = Self::choose(question, rows, &names, |word| draft::is_type(provider, word))?;
        Ok(chosen.iter().map(|name| name.as_str().into()).collect())
    }

    pub(super) fn image(&self, given: Option<&str>, provider: Provider, has_gpu: bool) -> Result<String, Failure> {
        let default = draft::image(provider, has_gpu);
        match given {
            Some(given) => Ok(given.to_owned()),
            None if self.has_person => {
                let fits = |typed: &str| image(provider, typed);
                Self::answer("The machines' image", default, default.to_owned(), fits)
            }
            None => Ok(default.to_owned()),
        }
    }

    /// Numbers of a list, or names; such that are not on it where they may be others.
    fn choose(
        question: &str,
        rows: impl Iterator<Item = String>,
        names: &[&str],
        may_be: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Failure> {
        let list: Vec<String> = (1..).zip(rows).map(|(number, row)| format!("{number:>3}  {row}\n")).collect();
        say(&format!("\n{}", list.concat()))?;
        loop {
            let typed = ask(&format!("{question} [1]:"))?;
            let typed = if typed.is_empty() { "1".to_owned() } else { typed };
            let one = |word| chosen(word, names).or_else(|word| if may_be(word) { Ok(word) } else { Err(word) });
            let chosen: Result<Vec<&str>, &str> = typed.split(',').map(str::trim).map(one).collect();
            match chosen {
                Ok(chosen) => return Ok(chosen.into_iter().map(str::to_owned).collect()),
                Err(wrong) => say(&format!("`{wrong}` is none of them\n"))?,
            }
        }
    }
}

fn chosen<'a>(word: &'a str, names: &[&'a str]) -> Result<&'a str, &'a str> {
    let by_number = word.parse::<usize>().ok().and_then(|number| names.get(number.checked_sub(1)?));
    by_number.or_else(|| names.iter().find(|name| **name == word)).copied().ok_or(word)
}

fn price(spec: &TypeSpec) -> String {
    spec.on_demand.map_or_else(|| "price not known".to_owned(), |rate| rate.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::found::server_needs;
    use super::*;
    use crate::world::tracker::TrackerError;

    #[test]
    fn a_choice_is_a_number_or_a_name_and_nothing_else() {
        let names = ["default", "gpu", "2"];
        for (word, found) in
            [("1", Ok("default")), ("gpu", Ok("gpu")), ("3", Ok("2")), ("0", Err("0")), ("4", Err("4")), ("", Err(""))]
        {
            assert_eq!(chosen(word, &names), found, "{word}");
        }
    }

    #[test]
    fn an_answer_is_refused_by_the_rule_of_its_setting() {
        for (wrong, why) in [
            (number("0").err(), "lets nothing run"),
            (number("-1").err(), "is not in 0..100000"),
            (number("some").err(), "`some` is not"),
            (money("-1").err(), "more than $0"),
            (money("$0").err(), "more than $0"),
            (money("much").err(), "much"),
            (money("$99999999999").err(), "is not in"),
            (image(Provider::Aws, "nope").err(), "`nope` is not"),
            (image(Provider::Gce, "a b").err(), "`a b` is not"),
            (fits(Part::Loop, "fleet", "a b").err(), "`a b` is not"),
        ] {
            let wrong = wrong.unwrap();
            assert!(wrong.contains(why), "{wrong}");
        }
        assert_eq!(number("3"), Ok(3));
        assert_eq!(money("$5"), Ok(Money::from_micros(5_000_000)));
        for provider in [Provider::Aws, Provider::Gce] {
            for has_gpu in [true, false] {
                image(provider, draft::image(provider, has_gpu)).unwrap();
            }
        }
    }

    #[test]
    fn a_person_is_not_asked_for_nothing() {
        let mut found = Found::default();
        let mut asker = Asker::new(true);
        asker.needs(&found);
        assert!(asker.asks_in_vain());
        let told = asker.finish().unwrap_err().to_string();
        assert!(told.contains("a ClearML server that answers") && told.contains("credentials of a cloud"), "{told}");
        // Where there are credentials, they are not what is missing.
        let from = "clearml.conf".to_owned();
        let refused = TrackerError::Credentials { server: "http://ml".to_owned(), from, message: "no".to_owned() };
        found.server_needs = Some(server_needs(&refused));
        found.cloud_needs = Some("an answer of aws in us-east-1".to_owned());
        let mut asker = Asker::new(true);
        asker.needs(&found);
        let told = asker.finish().unwrap_err().to_string();
        assert_eq!(
            told,
            "nothing was written; still needed:\n  ClearML credentials that http://ml takes: those of clearml.conf are \
             refused; `clearml-init` takes new ones\n  an answer of aws in us-east-1"
        );
        found.queues = Some(vec![Offered { name: "gpu".to_owned(), waiting: 2 }]);
        found.cloud = Some(super::super::found::CloudFound { provider: Provider::Aws, region: "us-east-1".to_owned() });
        let mut asker = Asker::new(true);
        asker.needs(&found);
        assert!(!asker.asks_in_vain());
        // An option that is wrong is told before anything is asked.
        asker.queues(&["gpo".to_owned()], &found).unwrap();
        assert!(asker.asks_in_vain());
    }

    #[test]
    fn what_is_missing_is_told_all_at_once() {
        let mut asker = Asker::new(false);
        assert!(asker.finish().is_ok());
        let mut found = Found::default();
        found.queues = Some(vec![Offered { name: "gpu".to_owned(), waiting: 2 }]);
        assert!(asker.queues(&[], &found).unwrap().is_empty());
        assert!(
            asker.types(&[], Provider::Aws, "us-east-1", &crate::cli::live::price_table().unwrap()).unwrap().is_empty()
        );
        let told = asker.finish().unwrap_err().to_string();
        for word in ["--queue NAME, one or more of gpu", "--type TYPE, such as ", "g4dn.xlarge ($0.53/h)"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert_eq!(asker.queues(&["gpu".to_owned()], &found).unwrap(), ["gpu"]);
        assert!(asker.queues(&["gpo".to_owned()], &found).unwrap().is_empty());
    }
}
