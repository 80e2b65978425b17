//! Subcommands that change something: orders to the running loop, under the rules that hold on the screen.

pub(super) mod arm;
pub(super) mod confirm;
pub(super) mod drain;
pub(super) mod hold;
pub(super) mod launch;
pub(super) mod pause;
pub(super) mod replace;
pub(super) mod reset;
pub(super) mod set;
pub(super) mod stop;

use super::Place;
use super::failure::Failure;
use super::reach::Loop;
use crate::engine::command::Command;
use crate::model::ids::InstanceId;
use crate::model::reason::Reason;

/// Sends one order to the running loop and says what became of it.
async fn order(place: &Place, command: Command) -> Result<(), Failure> {
    Loop::connect(place).await?.order(command).await
}

/// The same, of an order that names these.
async fn order_of(place: &Place, command: Command, names: &[Reason]) -> Result<(), Failure> {
    let done = order(place, command).await;
    done.map_err(|failure| slip(failure, names))
}

/// Whoever named what is not there made a slip, as with an option's value; no rule of the loop refused it.
fn slip(failure: Failure, names: &[Reason]) -> Failure {
    match failure {
        Failure::Refused(said) if names.iter().any(|missing| said.contains(&missing.to_string())) => {
            Failure::Usage(said)
        }
        other => other,
    }
}

/// What the loop says of machines that are not there.
fn no_machine(instance: &InstanceId) -> Reason {
    Reason::NoSuchInstance { instance: instance.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_usage_and_what_a_rule_refuses_is_refused() {
        let missing = [no_machine(&"i-x".into()), Reason::NoSuchPool { pool: "gpx".into() }];
        for (said, code) in [
            ("there is no machine `i-x` in this fleet", 2),
            ("i-1: it is held; there is no machine `i-x` in this fleet", 2),
            ("there is no pool `gpx`", 2),
            ("there is no machine `i-y` in this fleet", 5),
            ("limits.max is 2", 5),
        ] {
            assert_eq!(slip(Failure::Refused(said.to_owned()), &missing).code(), code, "{said}");
        }
        assert_eq!(slip(Failure::NotReachable("there is no pool `gpx`".to_owned()), &missing).code(), 4);
    }
}
