//! Rules for texts that the table's fields share.

use std::net::SocketAddr;

use jiff::tz::TimeZone;

use super::kind::Rule;
use super::slot::is_one;
use crate::model::keys::{self, Keys};
use crate::model::notice::NoticeKind;
use crate::model::settings::agent::{is_cloud_secret, is_requirement};
use crate::model::settings::discount::{self, Discount};
use crate::model::settings::key::Key;
use crate::model::settings::ladder::{self, Step};
use crate::model::settings::schedule::{self, Days};
use crate::model::settings::spot_cap::{self, SpotCap};
use crate::model::settings::volume::{self, Volume, is_snapshot};
use crate::model::settings::{BudgetScope, Image, OnLost, Per, SecretRef};

/// Longest text of a tag that EC2 takes; a name may be half as long.
const LONGEST_TAG: usize = 256;

/// Tag names that the clouds or we keep for ourselves.
const RESERVED_TAGS: [&str; 2] = ["aws:", "tidegate-"];

pub(super) const FLEET: Rule =
    Rule { holds: is_house_name, is: "a name, such as `research`: not empty, without spaces, `:` and `/`" };
pub(super) const ADDRESS: Rule = Rule { holds: is_address, is: "an address, such as `https://api.example.com`" };
pub(super) const LISTENS: Rule =
    Rule { holds: is_one::<SocketAddr>, is: "an address and a port to listen on, such as `127.0.0.1:9464`" };
pub(super) const HOOK: Rule = Rule {
    holds: |text| is_address(text) || is_one::<SecretRef>(text),
    is: "an address, such as `https://chat.example.com/hooks/7`, or `env:NAME` or `file:PATH`, the place where one is",
};
pub(super) const STORE: Rule = Rule {
    holds: |text| {
        let database = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        database.is_some_and(|rest| !rest.is_empty() && is_word(rest)) || is_one::<SecretRef>(text)
    },
    is: "`postgres://USER:PASSWORD@HOST/DATABASE`, or `env:NAME` or `file:PATH`, the place where that is",
};
pub(super) const EVENT: Rule = Rule {
    holds: is_one::<NoticeKind>,
    is: "one of `budget`, `stuck`, `lost`, `orphan`, `ghost`, `capacity`, `settings` and `alarm`",
};
pub(super) const SECRET: Rule =
    Rule { holds: is_one::<SecretRef>, is: "`env:NAME` or `file:PATH`, the place where a secret is" };
pub(super) const TIME_ZONE: Rule =
    Rule { holds: is_one::<TimeZone>, is: "a time zone, such as `Europe/Berlin` or `UTC`" };
pub(super) const SCOPE: Rule = Rule {
    holds: is_one::<BudgetScope>,
    is: "`all`, `provider:aws`, `provider:gce`, `provider:kubernetes`, `provider:exec`, or one of `pool:NAME`, `queue:NAME`, `project:NAME` and `user:NAME`",
};
pub(super) const PER: Rule = Rule {
    holds: is_one::<Per>,
    is: "`hour`, `day`, `week`, `month`, or `rolling` and a duration in 1h..35d, such as `rolling 24h`",
};
pub(super) const DAYS: Rule = Rule { holds: |text| text.parse::<Days>().is_ok(), is: schedule::GRAMMAR };
pub(super) const TIME: Rule =
    Rule { holds: |text| schedule::time(text).is_some(), is: "a time of the day, such as `22:00`" };
pub(super) const KEY: Rule =
    Rule { holds: |text| Key::parse(text).is_ok(), is: "the key of a setting, such as `limits.max_hourly`" };
pub(super) const KEYS_RULE: Rule = Rule { holds: |text| text.parse::<Keys>().is_ok(), is: keys::GRAMMAR };
pub(super) const VALUE: Rule = Rule { holds: is_line, is: "a value on one line" };
pub(super) const PERCENT: Rule =
    Rule { holds: |text| ladder::percent(text).is_some(), is: "a part of the limit in 1%..1000%, such as `80%`" };
pub(super) const STEP: Rule = Rule { holds: |text| text.parse::<Step>().is_ok(), is: ladder::GRAMMAR };
pub(super) const BUDGET_NAME: Rule = Rule { holds: is_line, is: "a name on one line" };
pub(super) const ON_LOST: Rule = Rule { holds: is_one::<OnLost>, is: "`never` or `requeue:N` with N in 1..100" };
pub(super) const POOL: Rule = Rule { holds: is_house_name, is: "the name of a pool" };
pub(super) const REGION: Rule = Rule { holds: is_region, is: "a region, such as `us-east-1`" };
pub(super) const ACCOUNT: Rule = Rule { holds: is_account, is: "the name of an account" };
pub(super) const PROFILE_NAME: Rule = Rule { holds: is_line, is: "the name of a profile" };
pub(super) const ROLE: Rule = Rule { holds: is_role, is: "a role, such as `arn:aws:iam::123456789012:role/tidegate`" };
pub(super) const WORD: Rule = Rule { holds: is_word, is: "a text without spaces" };
pub(super) const TYPE: Rule = Rule { holds: is_word, is: "a machine type, such as `g5.xlarge` or `g2-standard-4`" };
pub(super) const ZONE: Rule = Rule { holds: is_word, is: "a zone, such as `us-east-1a` or `us-central1-a`" };
pub(super) const AMI: Rule = Rule {
    holds: is_image,
    is: "an image: `ami-0123456789abcdef0`, `name:PATTERN` for the newest of that name, or `ssm:PARAMETER`",
};
pub(super) const OWNER: Rule = Rule {
    holds: is_owner,
    is: "whose images: `self`, `amazon`, `aws-marketplace`, or an account's number of 12 digits",
};
pub(super) const SNAPSHOT: Rule = Rule { holds: is_snapshot, is: "a snapshot, such as `snap-0123456789abcdef0`" };
pub(super) const VOLUME: Rule = Rule { holds: is_one::<Volume>, is: volume::GRAMMAR };
pub(super) const DISCOUNT: Rule = Rule { holds: is_one::<Discount>, is: discount::GRAMMAR };
pub(super) const SPOT_CAP: Rule = Rule { holds: is_one::<SpotCap>, is: spot_cap::GRAMMAR };
pub(super) const SUBNET: Rule =
    Rule { holds: is_word, is: "a subnet, such as `subnet-0123456789abcdef0`, or of Google's its name or whole path" };
pub(super) const GROUP: Rule = Rule { holds: is_line, is: "a security group, such as `sg-0123456789abcdef0`" };
pub(super) const KEY_NAME: Rule = Rule { holds: is_line, is: "the name of a key pair" };
pub(super) const PROFILE: Rule = Rule { holds: is_word, is: "the name or ARN of an instance profile" };
pub(super) const DEVICE: Rule = Rule { holds: is_device, is: "a device, such as `/dev/sda1`" };
pub(super) const SCRIPT: Rule = Rule { holds: is_script, is: "a text without a zero byte" };
pub(super) const TAG_NAME: Rule =
    Rule { holds: is_tag_name, is: "a tag's name: 1..128 letters, not beginning with `aws:` or `tidegate-`" };
pub(super) const TAG_TEXT: Rule = Rule { holds: is_tag_text, is: "a tag's text on one line, of at most 256 letters" };
pub(super) const VERSION: Rule = Rule { holds: is_version, is: "an exact version, such as `3.0.3`" };
pub(super) const REQUIREMENT: Rule =
    Rule { holds: is_requirement, is: "a version with the hashes of its files: `NAME==VERSION --hash=sha256:...`" };
pub(super) const CLOUD_SECRET: Rule = Rule {
    holds: is_cloud_secret,
    is: "`ssm:NAME` or `secretsmanager:NAME` of AWS's, or `secretmanager:NAME` of Google's: the place where the cloud keeps it",
};
pub(super) const IMAGE: Rule =
    Rule { holds: is_image_name, is: "the name of a container's image, such as `python:3.12`" };
pub(super) const POLICY: Rule = Rule {
    holds: is_policy,
    is: "the path of a script, such as `policies/night.rhai`, or `exec:` and that of a program, such as `exec:./rules.py`, from the folder of this file on",
};
pub(super) const PROGRAM: Rule = Rule {
    holds: |text| is_line(text) && std::path::Path::new(text).is_absolute(),
    is: "the absolute path of a program, such as `/etc/tidegate/machines.py`",
};
pub(super) const OPTION_NAME: Rule = Rule { holds: is_word, is: "a name without spaces" };
pub(super) const ARGUMENT: Rule = Rule { holds: is_line, is: "one argument on one line" };

/// Fit for fleets and pools: a part of worker names, of tags and of directories.
pub(in crate::model::settings) fn is_house_name(text: &str) -> bool {
    is_word(text) && !text.contains([':', '/']) && text != "." && text != ".."
}

pub(in crate::model::settings) fn is_line(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(char::is_control)
}

fn is_policy(text: &str) -> bool {
    let is_script = std::path::Path::new(text).extension().is_some_and(|extension| extension == "rhai");
    is_line(text) && text.strip_prefix("exec:").map_or(is_script, is_line)
}

fn is_word(text: &str) -> bool {
    is_line(text) && !text.contains(char::is_whitespace)
}

/// An account stands before its region, with an `@` between them.
fn is_region(text: &str) -> bool {
    is_word(text) && !text.contains('@')
}

pub(in crate::model::settings) fn is_account(text: &str) -> bool {
    is_house_name(text) && !text.contains('@')
}

fn is_role(text: &str) -> bool {
    is_word(text) && text.starts_with("arn:") && text.contains(":role/")
}

fn is_address(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    is_word(text) && host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}

fn is_image(text: &str) -> bool {
    Image::read(text).is_some()
}

/// It stands behind an option that takes any number of words, so that it must not look like the next option.
fn is_image_name(text: &str) -> bool {
    is_word(text) && !text.starts_with('-')
}

fn is_owner(text: &str) -> bool {
    let is_number = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number || ["self", "amazon", "aws-marketplace"].contains(&text)
}

fn is_device(text: &str) -> bool {
    is_word(text) && text.strip_prefix('/').is_some_and(|rest| !rest.is_empty())
}

fn is_script(text: &str) -> bool {
    !text.contains('\0')
}

fn is_tag_name(text: &str) -> bool {
    is_line(text)
        && text.chars().count() <= LONGEST_TAG / 2
        && !RESERVED_TAGS.iter().any(|reserved| text.to_ascii_lowercase().starts_with(reserved))
}

fn is_tag_text(text: &str) -> bool {
    text.is_empty() || (is_line(text) && text.chars().count() <= LONGEST_TAG)
}

/// Not a range, a URL or an option of the installer: digits and dots, then perhaps a pre-release (`3.0.3rc1`).
fn is_version(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '.';
    text.starts_with(|letter: char| letter.is_ascii_digit())
        && text.ends_with(|letter: char| letter.is_ascii_digit())
        && text.contains('.')
        && !text.contains("..")
        && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_lets_the_right_texts_through() {
        for (rule, right, wrong) in [
            (FLEET, vec!["research", "team-1.gpu"], vec!["", "a:b", "a/b", "a b", "..", " a"]),
            (
                ADDRESS,
                vec!["https://api.example.com", "http://127.0.0.1:8008"],
                vec!["api.example.com", "https://", "https:///x"],
            ),
            (LISTENS, vec!["127.0.0.1:9464", "[::]:80"], vec!["", "9464", "localhost:9464", "127.0.0.1"]),
            (HOOK, vec!["https://example.com/x", "env:HOOK", "file:/run/hook"], vec!["", "example.com", "env:"]),
            (STORE, vec!["postgres://ann@db/tidegate", "env:STORE"], vec!["", "mysql://db", "postgres://"]),
            (EVENT, vec!["budget", "alarm"], vec!["", "Budget", "budgets"]),
            (
                VERSION,
                vec!["3.0.3", "3.0.3rc1"],
                vec!["", "3", ">=3.0", "3.0.*", "3..0", "git+https://x/3.0", "3.0.3 --pre"],
            ),
            (TAG_NAME, vec!["team", "cost centre"], vec!["", "aws:x", "Tidegate-Fleet", "a\nb"]),
            (TAG_TEXT, vec!["", "ml"], vec![" ml", "a\nb"]),
            (AMI, vec!["ami-1", "name:gpu-*", "ssm:/aws/service/x"], vec!["", "ubuntu", "name:*", "ssm:"]),
            (OWNER, vec!["self", "123456789012"], vec!["", "me", "12345678901x"]),
            (SNAPSHOT, vec!["snap-0a"], vec!["", "snap-", "vol-1"]),
            (IMAGE, vec!["python:3.12", "registry.example.com:5000/a/b@sha256:0a"], vec!["", "a b", "--rm"]),
            (DEVICE, vec!["/dev/sda1"], vec!["sda1", "/", "/dev/ sda"]),
        ] {
            for text in right {
                assert!((rule.holds)(text), "{text} is {}", rule.is);
            }
            for text in wrong {
                assert!(!(rule.holds)(text), "{text} is not {}", rule.is);
            }
        }
    }
}
