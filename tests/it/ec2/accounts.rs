//! Several accounts: who acts in each, and when that ends.

use std::io::Write;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tidegate::model::settings::{AccountSettings, Settings};
use tidegate::model::snapshot::ErrorClass;
use tidegate::store::settings::SettingsFile;
use tidegate::world::aws::Ec2;
use tidegate::world::clock::Clock;
use tidegate::world::cloud::{Cloud, LaunchOrder};

use crate::ec2::fake::{State, serve};
use crate::ec2::{REGION, ec2, order};
use crate::support::moto;

const ROLE: &str = "arn:aws:iam::111122223333:role/tidegate";

fn settings(account: &str) -> Result<Settings, String> {
    let text = format!("[loop]\nfleet = \"research\"\n[account.lab]\n{account}\n");
    SettingsFile::in_memory(&text).map(|file| (*file.settings()).clone()).map_err(|problems| problems.to_string())
}

fn accounts(account: &str) -> Vec<AccountSettings> {
    settings(account).unwrap().accounts
}

fn in_lab(batch: &str) -> LaunchOrder {
    let mut order = order(batch, 1);
    order.pool.account = Some("lab".into());
    order
}

#[tokio::test]
async fn a_pool_rents_in_its_own_account_and_is_seen_there_only() {
    let moto = moto::start();
    let cloud = ec2(&moto.url).await.with_accounts(accounts(&format!("role_arn = \"{ROLE}\"")));
    let site = in_lab("b1").pool.site();
    assert_eq!(site, "lab@us-east-1");
    let id = cloud.launch(&in_lab("b1")).await.unwrap().remove(0).id;
    let listed = cloud.list(&"research".into(), &site).await.unwrap();
    assert_eq!((&listed[0].id, listed[0].region.as_str()), (&id, site.as_str()));
    assert!(cloud.list(&"research".into(), REGION).await.unwrap().is_empty());

    let end = cloud.credentials_end(&site, Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(end > Clock::Wall.now() + SignedDuration::from_mins(30), "{end}");
    assert_eq!(cloud.credentials_end(REGION, Timestamp::UNIX_EPOCH).await, None, "a key has no end");
    let said = cloud.check(&site).await.unwrap();
    assert!(said.contains(&format!("until {}", end.strftime("%Y-%m-%d"))), "{said}");

    cloud.terminate(&site, std::slice::from_ref(&id)).await.unwrap();
    assert!(cloud.list(&"research".into(), &site).await.unwrap()[0].ended.is_some());
}

#[tokio::test]
async fn a_key_or_a_role_signs_what_is_asked_in_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    writeln!(std::fs::OpenOptions::new().write(true).create_new(true).open(&path).unwrap(), "AKIALAB:hush").unwrap();
    let file = format!("credentials = \"file:{}\"", path.display());
    let role = format!("{file}\nrole_arn = \"{ROLE}\"\nexternal_id = \"lab-7\"");
    for (account, key, external_id) in
        [("", "test", None), (&*file, "AKIALAB", None), (&*role, "tidegate", Some("lab-7"))]
    {
        let state = Arc::new(Mutex::new(State::default()));
        let cloud = ec2(&serve(state.clone()).await).await.with_accounts(accounts(account));
        cloud.launch(&in_lab("b1")).await.unwrap();
        let state = state.lock().unwrap();
        assert_eq!(state.key, key);
        assert_eq!(state.assumed.get("ExternalId").map(String::as_str), external_id);
        assert_eq!(state.assumed.contains_key("RoleSessionName"), external_id.is_some());
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_entered_is_told_without_its_key() {
    let cloud = ec2("http://127.0.0.1:9").await.with_accounts(accounts("credentials = \"file:/nowhere/key\""));
    let error = cloud.launch(&in_lab("b1")).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Credentials, false));
    assert!(error.message.contains("cannot read /nowhere/key"), "{error}");
    let error = Ec2::new().list(&"research".into(), "lob@us-east-1").await.unwrap_err();
    assert_eq!(error.message, "no account `lob` was in the settings at the start");
}

#[test]
fn an_accounts_bad_values_are_refused_by_name() {
    for (account, said) in [
        ("profile = \"\"", "account.lab.profile: `` is not the name of a profile"),
        (
            "credentials = \"AKIA:hush\"",
            "account.lab.credentials: the value (not shown, it may be a secret) is not `env:NAME`",
        ),
        ("role_arn = \"admin\"", "account.lab.role_arn: `admin` is not a role, such as"),
        ("external_id = \"x\"", "account.lab.external_id: no role_arn is there"),
        ("profile = \"p\"\ncredentials = \"env:X\"", "account.lab.credentials: a profile is named too"),
        ("access_key = \"AKIA\"", "there is no `access_key` in [account.*]"),
    ] {
        let told = settings(account).unwrap_err();
        assert!(told.contains(said) && !told.contains("hush"), "{told}");
    }
}
