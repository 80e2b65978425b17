//! A text in the person's own editor: in a file that nobody else reads, which is gone afterwards.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What the file is called: editors know TOML by it.
const NAME: &str = "tidegate.toml";

/// A folder with one file, both gone when this is.
struct Draft {
    folder: PathBuf,
}

impl Draft {
    fn write(text: &str) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("tidegate-{}", Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let draft = Self { folder };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft.path())?;
        file.write_all(text.as_bytes())?;
        Ok(draft)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What is left in the folder for temporary files is only ours to read.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The text as the person leaves it. `editor` may have arguments, as `EDITOR` has.
pub(super) async fn edit(editor: &str, text: &str) -> Result<String, String> {
    let failed = |error: io::Error| format!("`{editor}` cannot be used: {error}");
    let draft = Draft::write(text).map_err(failed)?;
    let status = shell(editor, &draft.path()).status().await.map_err(failed)?;
    if !status.success() {
        return Err(format!("`{editor}` ended with {status}: nothing was taken from it"));
    }
    fs::read_to_string(draft.path()).map_err(failed)
}

/// As git does: a shell splits the arguments.
fn shell(editor: &str, path: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg(editor).arg(path);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_editor_leaves_is_taken_and_its_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let editor =
            format!("f() {{ stat -c %a \"$1\" >'{0}'; echo \"$1\" >>'{0}'; echo more >>\"$1\"; }}; f", seen.display());
        assert_eq!(edit(&editor, "one\n").await.unwrap(), "one\nmore\n");
        let seen = fs::read_to_string(seen).unwrap();
        let (mode, path) = seen.trim().split_once('\n').unwrap();
        assert_eq!(mode, "600");
        assert!(path.ends_with(NAME) && !Path::new(path).exists());
        assert!(edit("false", "one\n").await.unwrap_err().contains("nothing was taken"));
        assert!(edit("no-such-editor-7", "one\n").await.is_err());
    }
}
