//! What theirs does where nothing is said of it.

use super::{ACCOUNT, Desk};
use crate::cli::import::google::DEFAULT_SCOPES;
use crate::cli::import::read::Kind;
use crate::model::settings::fields::Written;

const IMAGE: &str = "python:3.12";
const DISK: i64 = 80;
const DEVICE: &str = "/dev/sda1";

/// Where a line is from that no field gave.
const UNASKED: &str = "theirs where nothing is said";

impl Desk {
    pub(super) fn unasked(&mut self) {
        match self.kind {
            Kind::Aws => self.disks(),
            Kind::Gcp => self.googles(),
            Kind::Glue => self.images(),
        }
        self.containers();
    }

    /// A disk of theirs has a size, whether the file says one or not.
    fn disks(&mut self) {
        for (_, draft) in &mut self.pools {
            let size = (Written::Whole(DISK), UNASKED.to_owned());
            draft.lines.entry("disk_gb").or_insert(size);
            let by_parameter = draft.lines.get("ami").is_some_and(|(ami, _)| ami.to_string().starts_with("ssm:"));
            if by_parameter {
                let device = (Written::Text(DEVICE.to_owned()), UNASKED.to_owned());
                draft.lines.entry("disk_device").or_insert(device);
            }
        }
    }

    /// With an image theirs is in docker mode, unless it is switched off: then neither image nor arguments count.
    fn containers(&mut self) {
        for (_, draft) in &mut self.pools {
            let Some((_, from)) = draft.lines.get("docker_image") else { continue };
            let on = (Written::Flag(true), from.clone());
            if draft.lines.entry("docker").or_insert(on).0 == Written::Flag(false) {
                for field in ["docker_image", "docker_arguments"] {
                    let line = draft.lines.remove(field);
                    draft.comments.extend(line.map(|(written, _)| format!("{field}: {}", written.to_toml())));
                }
            }
        }
    }

    /// The glue takes a task's own image, and puts Python into whatever image there is; ours must have it. A file's template
    /// may name one.
    fn images(&mut self) {
        for (_, draft) in &mut self.pools {
            let own = "as the glue has it; your tasks' images need Python 3 and sh".to_owned();
            draft.lines.entry("task_image").or_insert((Written::Flag(true), own));
            let template = draft.lines.get("pod_template").map(|(written, _)| written.to_string());
            if template.is_none_or(|template| !template.contains("file:")) {
                let image =
                    (Written::Text(IMAGE.to_owned()), "mend: one with Python 3 and what your tasks need".to_owned());
                draft.lines.entry("pod_image").or_insert(image);
            }
        }
    }

    /// A machine of theirs has a public address, and its service account Google's usual scopes; all are of one project.
    fn googles(&mut self) {
        let in_account = !self.account.lines.is_empty();
        for (_, draft) in &mut self.pools {
            if in_account {
                draft.lines.insert("account", (Written::Text(ACCOUNT.to_owned()), String::new()));
            }
            draft.lines.insert("public_address", (Written::Flag(true), UNASKED.to_owned()));
            if draft.lines.contains_key("service_account") {
                let scopes = DEFAULT_SCOPES.iter().map(|scope| (*scope).to_owned()).collect();
                draft.lines.entry("scopes").or_insert((Written::List(scopes), UNASKED.to_owned()));
            }
        }
    }
}
