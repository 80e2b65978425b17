//! Rules for texts that Google takes.

use super::kind::Rule;

/// The longest name of a label, a tag and most else there.
const LONGEST_NAME: usize = 63;

/// Longest name of a piece of metadata.
const LONGEST_METADATA_NAME: usize = 128;

/// Where the whole names of access scopes begin.
const SCOPES_BEGIN: &str = "https://www.googleapis.com/auth/";

pub(super) const IMAGE: Rule = Rule {
    holds: is_image,
    is: "an image: a whole path, `family/NAME` for the newest of a family, or the name of one of the project's own",
};
pub(super) const MACHINE_IMAGE: Rule = Rule {
    holds: |text| is_image(text) && !text.starts_with("family/"),
    is: "the name or the path of a machine image",
};
pub(super) const ACCELERATOR: Rule = Rule { holds: is_name, is: "a type of GPUs, such as `nvidia-tesla-t4`" };
pub(super) const NETWORK_TAG: Rule =
    Rule { holds: is_name, is: "a network tag: small letters, digits and `-`, beginning with a letter" };
pub(super) const LABEL_NAME: Rule = Rule {
    holds: is_label_name,
    is: "a label's name: 1..63 small letters, digits, `-` and `_`, beginning with a letter, not with `tidegate-`",
};
pub(super) const LABEL_TEXT: Rule =
    Rule { holds: is_label_text, is: "a label's text: 0..63 small letters, digits, `-` and `_`" };
pub(super) const METADATA_NAME: Rule = Rule {
    holds: is_metadata_name,
    is: "a name of metadata: 1..128 letters, digits, `-` and `_`, not beginning with `tidegate-`; `startup-script` is ours",
};
pub(super) const SERVICE_ACCOUNT: Rule =
    Rule { holds: is_service_account, is: "a service account: its address, or `default`" };
pub(super) const SCOPE: Rule = Rule {
    holds: is_scope,
    is: "an access scope, such as `devstorage.read_only` or `https://www.googleapis.com/auth/...`",
};
pub(super) const PROJECT: Rule = Rule { holds: is_project, is: "the id of a project, such as `research-4711`" };

fn is_name_of(text: &str, may: impl Fn(char) -> bool) -> bool {
    text.len() <= LONGEST_NAME && text.chars().all(may)
}

/// A name as Google gives them: small letters, digits and `-`, beginning with a letter.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && is_name_of(text, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn in_label(c: char) -> bool {
    c.is_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}

fn is_label_name(text: &str) -> bool {
    text.starts_with(char::is_lowercase) && is_name_of(text, in_label) && !text.starts_with("tidegate-")
}

fn is_label_text(text: &str) -> bool {
    is_name_of(text, in_label)
}

/// Names of metadata that are ours: the boot script, and what tells whose machine it is.
fn is_metadata_name(text: &str) -> bool {
    let theirs = text != "startup-script" && text != "startup-script-url" && !text.starts_with("tidegate-");
    let may = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    theirs && !text.is_empty() && text.len() <= LONGEST_METADATA_NAME && text.chars().all(may)
}

/// A path or a name of an image, without spaces.
fn is_image(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let is_part = |part: &&str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    parts.iter().all(|part| is_part(part) || text.starts_with("https://"))
        && match parts.as_slice() {
            [_] | ["family", _] => true,
            _ => text.contains("projects/") || text.starts_with("global/"),
        }
}

fn is_service_account(text: &str) -> bool {
    let (name, domain) = text.split_once('@').unwrap_or(("", ""));
    let is_word = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    text == "default" || (is_word && !name.is_empty() && domain.contains('.'))
}

fn is_scope(text: &str) -> bool {
    let last = text.strip_prefix(SCOPES_BEGIN).unwrap_or(text);
    !last.is_empty() && last.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// A project's id, such as `research-4711`, perhaps one of a domain: `example.com:research`.
fn is_project(text: &str) -> bool {
    let (domain, id) = text.rsplit_once(':').unwrap_or(("", text));
    let may = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    id.len() >= 2 && is_name(id) && domain.chars().all(may)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_paths_or_names() {
        for text in ["tasks-3", "family/tasks", "global/images/x", "projects/p/global/images/family/debian-12"] {
            assert!(is_image(text), "{text}");
        }
        for text in ["", "family/", "a b", "families/x", "a/b/c", "/x"] {
            assert!(!is_image(text), "{text}");
        }
    }

    #[test]
    fn names_are_as_google_takes_them() {
        for (right, wrong) in [
            (is_label_name as fn(&str) -> bool, "Team"),
            (is_label_name, "tidegate-pool"),
            (is_label_text, "a b"),
            (is_metadata_name, "startup-script"),
            (is_metadata_name, "tidegate-fleet"),
            (is_name, "-x"),
            (is_service_account, "someone"),
            (is_scope, "http://x/y"),
            (is_project, "Research"),
        ] {
            assert!(!right(wrong), "{wrong}");
        }
        assert!(
            is_label_name("team") && is_label_text("") && is_label_text("vision_2") && is_metadata_name("serial-port")
        );
        assert!(is_service_account("default") && is_service_account("a@b.iam.gserviceaccount.com"));
        assert!(is_scope("cloud-platform") && is_scope("https://www.googleapis.com/auth/devstorage.read_only"));
        assert!(is_project("research-4711") && is_project("example.com:research"));
    }
}
