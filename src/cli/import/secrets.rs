//! Secrets in free text: a script or a configuration that sets one loses that line.

/// What the name of a secret has in it.
const MARKS: [&str; 7] = ["pass", "secret", "token", "access_key", "accesskey", "credential", "private_key"];

/// Whether a name is that of a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    MARKS.iter().any(|mark| name.contains(mark))
}

/// The text without lines that set a secret, and the names that they set.
pub(super) fn without_secrets(text: &str) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let mut kept = String::new();
    for line in text.lines() {
        match secret_of(line) {
            Some(name) => {
                kept.extend(["# a line that sets ", &name, " was left out\n"]);
                names.push(name);
            }
            None => kept.extend([line, "\n"]),
        }
    }
    if !text.ends_with('\n') {
        kept.pop();
    }
    (kept, names)
}

/// The name that the line gives a value, where that is a secret's.
fn secret_of(line: &str) -> Option<String> {
    let words = line.split(|letter: char| !(letter.is_ascii_alphanumeric() || "_-.".contains(letter)));
    let name = words.into_iter().find(|word| is_secret(word))?;
    let rest = line.split_once(name).map(|(_, rest)| rest.trim_start_matches(['"', '\'', ' ', '\t']))?;
    let is_option = name.starts_with('-') && rest.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let sets = rest.starts_with(['=', ':', '{']) || is_option;
    sets.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_sets_a_secret_is_left_out() {
        for (line, name) in [
            ("export AWS_SECRET_ACCESS_KEY=hush", Some("AWS_SECRET_ACCESS_KEY")),
            ("agent.git_pass: \"hush\"", Some("agent.git_pass")),
            ("\"git_pass\" = hush", Some("git_pass")),
            ("  secret_key: hush", Some("secret_key")),
            ("curl --token hush http://x", Some("--token")),
            ("api { credentials { access_key: hush } }", Some("credentials")),
            ("apt-get install -y ffmpeg", None),
            ("# passwords are elsewhere", None),
            ("compass", None),
        ] {
            assert_eq!(secret_of(line).as_deref(), name, "{line}");
        }
        let (kept, names) = without_secrets("a\nTOKEN=hush\nb");
        assert_eq!((kept.as_str(), names), ("a\n# a line that sets TOKEN was left out\nb", vec!["TOKEN".to_owned()]));
    }
}
