//! Rows of accounts.

use super::super::google::PROJECT;
use super::super::rules::{PROFILE_NAME, PROGRAM, ROLE, SECRET, WORD};
use super::super::{Field, Kind, Takes, Unset};
use super::at;

pub(super) const ACCOUNT: &[Field] = &[
    Field {
        name: "profile",
        kind: Kind::Text(PROFILE_NAME),
        unset: Unset::Means("as every AWS tool is"),
        takes: Takes::Restart,
        doc: "The profile of ~/.aws/config and ~/.aws/credentials that acts in this account: its keys, its SSO session or its role.",
        example: "research",
        later: &[],
        lens: at!(Account, profile),
    },
    Field {
        name: "credentials",
        kind: Kind::Hidden(SECRET),
        unset: Unset::Means("from the profile, or as every tool of Google's"),
        takes: Takes::Restart,
        doc: "Where a key of this account is, never the key itself. `env:NAME` is the variables NAME_ACCESS_KEY and NAME_SECRET_KEY, and \
              NAME_SESSION_TOKEN where there is one; `file:PATH` is one line `key:secret` or `key:secret:token`. Of a project of Google's, the file or the variable \
              NAME holds the key of a service account, or the configuration of a workload identity.",
        example: "env:RESEARCH_AWS",
        later: &["keyring:"],
        lens: at!(Account, credentials),
    },
    Field {
        name: "role_arn",
        kind: Kind::Text(ROLE),
        unset: Unset::Means("no role"),
        takes: Takes::Restart,
        doc: "The role that is assumed in this account, by whoever the profile or the credentials are.",
        example: "arn:aws:iam::123456789012:role/tidegate",
        later: &[],
        lens: at!(Account, role_arn),
    },
    Field {
        name: "external_id",
        kind: Kind::Text(WORD),
        unset: Unset::Means("none"),
        takes: Takes::Restart,
        doc: "What the owner of the role wants to hear before it is assumed.",
        example: "tidegate-7",
        later: &[],
        lens: at!(Account, external_id),
    },
    Field {
        name: "project",
        kind: Kind::Text(PROJECT),
        unset: Unset::Means("the key's, or GOOGLE_CLOUD_PROJECT"),
        takes: Takes::Restart,
        doc: "The project of Google's that the machines are of.",
        example: "research-4711",
        later: &[],
        lens: at!(Account, project),
    },
    Field {
        name: "program",
        kind: Kind::Text(PROGRAM),
        unset: Unset::Means("none; `exec` needs it"),
        takes: Takes::Restart,
        doc: "The program that has the machines of pools with provider = \"exec\": it speaks one line of JSON a request.",
        example: "/etc/tidegate/machines.py",
        later: &[],
        lens: at!(Account, program),
    },
];
