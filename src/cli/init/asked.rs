//! Questions, each with its default; where nobody can be asked, what is missing is told in the end, all at once.

use std::fmt::Display;
use std::str::FromStr;

use super::draft;
use super::found::{Found, Offered};
use crate::cli::failure::Failure;
use crate::cli::say::{ask, say};
use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::ids::MachineType;
use crate::model::money::Money;
use crate::model::settings::Provider;

/// More queues or types are not worth reading.
const MOST: usize = 16;

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

    /// Refuses to go on where something is missing.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.lacks.is_empty() {
            return Ok(());
        }
        let list = self.lacks.iter().map(|lack| format!("\n  {lack}")).collect::<Vec<_>>().concat();
        Err(Failure::Usage(format!("nothing was written; still needed:{list}")))
    }

    /// An answer that can be read, or the default.
    fn answer<T: FromStr + Display>(question: &str, default: T) -> Result<T, Failure>
    where
        T::Err: Display,
    {
        loop {
            let typed = ask(&format!("{question} [{default}]:"))?;
            if typed.is_empty() {
                return Ok(default);
            }
            match typed.parse() {
                Ok(answer) => return Ok(answer),
                Err(error) => say(&format!("`{typed}`: {error}\n"))?,
            }
        }
    }

    pub(super) fn number(&self, question: &str, given: Option<u32>, default: u32) -> Result<u32, Failure> {
        match given {
            Some(given) => Ok(given),
            None if self.has_person => Self::answer(question, default),
            None => Ok(default),
        }
    }

    pub(super) fn money(&self, question: &str, given: Option<Money>, default: Money) -> Result<Money, Failure> {
        match given {
            Some(given) => Ok(given),
            None if self.has_person => Self::answer(question, default),
            None => Ok(default),
        }
    }

    pub(super) fn fleet(&self, given: Option<&str>) -> Result<String, Failure> {
        let default = draft::fleet_of(&crate::cli::reach::person());
        match given {
            Some(given) => Ok(given.to_owned()),
            None if self.has_person => Self::answer("The fleet's name", default),
            None => Ok(default),
        }
    }

    /// Queues by their numbers or names.
    pub(super) fn queues(&mut self, given: &[String], found: &Found) -> Result<Vec<String>, Failure> {
        let Some(offered) = &found.queues else {
            self.lacks("a ClearML server that answers: `clearml-init`, or CLEARML_API_HOST and the keys beside it");
            return Ok(Vec::new());
        };
        let names: Vec<&str> = offered.iter().map(|queue| queue.name.as_str()).collect();
        if let Some(unknown) = given.iter().find(|name| !names.contains(&name.as_str())) {
            self.lacks(&format!("--queue: the server has no queue `{unknown}`; it has {}", names.join(", ")));
            return Ok(Vec::new());
        }
        if !given.is_empty() {
            return Ok(given.to_vec());
        }
        if offered.is_empty() {
            self.lacks("a queue on the ClearML server: it has none");
            return Ok(Vec::new());
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
            None if self.has_person => Self::answer("The machines' image", default.to_owned()),
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
    use super::*;

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
