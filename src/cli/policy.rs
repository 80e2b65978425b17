//! `policy`: what IAM must allow, ready to paste.

use clap::Args;
use serde_json::Value;

use super::Place;
use super::failure::Failure;
use super::live::Ground;
use super::say::{complain, say};
use crate::model::ids::AccountName;
use crate::model::nearest::did_you_mean;
use crate::model::settings::{PoolSettings, Provider, Settings};
use crate::world::{cluster_role, policy, role};

/// How Google takes a role.
pub(super) const CREATE_ROLE: &str = "gcloud iam roles create tidegate --project PROJECT --file FILE";

/// Print the least IAM policy for the settings in use, ready to paste; of Google's, the least custom role
///
/// What is ended and tagged is so by the fleet's own tag only. `tidegate check` tries the rights, without starting anything.
#[derive(Debug, Args)]
pub(super) struct Policy {
    /// Of the role or key of this account of the settings [default: of the usual credentials]
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Of the role of this pool's machines instead: what their boot script reads
    #[arg(long, value_name = "POOL", conflicts_with = "account")]
    machine: Option<String>,
}

impl Policy {
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let settings = Ground::find(place)?.settings.settings();
        if let Some(pool) = &self.machine {
            return of_machines(&settings, pool);
        }
        let account = self.account.as_deref().map(|name| known(&settings, name)).transpose()?;
        let printed = printed(&settings, account)?;
        printed.notes.iter().for_each(|note| complain(note));
        printed.texts.iter().try_for_each(|text| say(&format!("{text}\n")))
    }
}

/// What is printed, and what is told beside it.
#[derive(Debug, Default)]
struct Printed {
    texts: Vec<String>,
    notes: Vec<String>,
}

fn printed(settings: &Settings, account: Option<&AccountName>) -> Result<Printed, Failure> {
    let mut printed = Printed::default();
    let Printed { texts, notes } = &mut printed;
    let of = |provider| {
        let mine = move |pool: &&PoolSettings| pool.account.as_ref() == account && pool.provider == provider;
        settings.pools.iter().filter(mine)
    };
    if of(Provider::Aws).next().is_some() {
        texts.push(text(settings, Provider::Aws, account)?);
    }
    if let Some(role) = role::console(settings, account) {
        notes.push(format!("Google takes a custom role: `{CREATE_ROLE}`"));
        texts.push(pretty(&role)?);
    }
    if of(Provider::Kubernetes).next().is_some() {
        texts.push(text(settings, Provider::Kubernetes, account)?);
    }
    if of(Provider::Aws).any(|pool| pool.launch.instance_profile.is_some()) {
        notes.push(
            "the role is taken to have its instance profile's name: mend GiveMachinesTheirRole where it has another"
                .to_owned(),
        );
    }
    let (programs, clouds): (Vec<_>, Vec<_>) = settings
        .accounts
        .iter()
        .filter(|other| account.is_none_or(|account| other.name == *account))
        .partition(|other| other.program.is_some());
    notes.extend(programs.iter().map(|other| format!("account {}: its program has rights of its own", other.name)));
    let others = clouds.iter().filter(|_| account.is_none());
    notes.extend(others.map(|other| format!("account {0} needs its own: tidegate policy --account {0}", other.name)));
    if texts.is_empty() && notes.is_empty() {
        notes.push("no pool needs any right here".to_owned());
    }
    Ok(printed)
}

fn of_machines(settings: &Settings, name: &str) -> Result<(), Failure> {
    let names = || settings.pools.iter().map(|pool| pool.name.as_str());
    let pool = settings.pools.iter().find(|pool| pool.name.as_str() == name);
    let pool =
        pool.ok_or_else(|| Failure::Usage(format!("no pool is called `{name}`{}", did_you_mean(name, names()))))?;
    if pool.provider == Provider::Gce && pool.agent.secrets().next().is_some() {
        complain("for each secret by itself, not for the project: the machine reads these and nothing else");
        return say(&format!("{}\n", role::machine(pool).join("\n")));
    }
    let Some(policy) = policy::machine(pool) else {
        complain(&format!("machines of {name} read no secret: their role needs no right for the boot script"));
        return Ok(());
    };
    complain("a secret under a key of your own needs kms:Decrypt on that key too");
    say(&format!("{}\n", pretty(&policy)?))
}

fn pretty(policy: &Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(policy).map_err(|error| Failure::Failed(error.to_string()))
}

/// The policy as AWS takes it, or the role as Google does.
pub(super) fn text(settings: &Settings, cloud: Provider, account: Option<&AccountName>) -> Result<String, Failure> {
    pretty(&match cloud {
        Provider::Aws => policy::console(settings, account),
        Provider::Gce => role::console(settings, account).unwrap_or_default(),
        Provider::Kubernetes => cluster_role::console(settings),
        // What rights it has nobody here knows.
        Provider::Exec => Value::Null,
    })
}

fn known<'a>(settings: &'a Settings, name: &str) -> Result<&'a AccountName, Failure> {
    let names = || settings.accounts.iter().map(|account| &account.name);
    names().find(|known| known.as_str() == name).ok_or_else(|| {
        let hint = did_you_mean(name, names().map(AccountName::as_str));
        Failure::Usage(format!("no account is called `{name}`{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::parse;

    fn of(pools: &str) -> Printed {
        let text = format!("[loop]\nfleet = \"lab\"\n{pools}");
        printed(&parse(&text, std::path::Path::new("t")).unwrap(), None).unwrap()
    }

    #[test]
    fn what_is_printed_is_for_the_clouds_that_there_are() {
        let pods = of("[pool.pods]\nprovider = \"kubernetes\"\nnamespace = \"ml\"\npod_image = \"python:3.12\"\n");
        let [list] = &pods.texts[..] else { panic!("{pods:?}") };
        let list: Value = serde_json::from_str(list).unwrap();
        assert_eq!((&list["apiVersion"], &list["kind"]), (&"v1".into(), &"List".into()));
        assert!(pods.notes.is_empty(), "{pods:?}");
        let rack = of(
            "[account.rack]\nprogram = \"/opt/rack\"\n[pool.rack]\nprovider = \"exec\"\naccount = \"rack\"\nregion = \"a\"\n\
            types = [\"big\"]\nprice = \"$1/h\"\nmachine_vcpu = 2\ncpu_only = true\n",
        );
        assert!(rack.texts.is_empty(), "{rack:?}");
        assert_eq!(rack.notes, ["account rack: its program has rights of its own"]);
        let none = of("");
        assert_eq!((none.texts.len(), &none.notes[..]), (0, &["no pool needs any right here".to_owned()][..]));
    }
}
