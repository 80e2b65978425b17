//! `init`: the first run. It finds ClearML's and the cloud's credentials and tries them, offers queues and machine types
//! with their prices, writes small and commented settings, and ends in the console, which is a dry run until it is armed.

mod asked;
mod draft;
mod found;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Place;
use super::failure::Failure;
use super::live::price_table;
use super::looks::Looks;
use super::say::{has_person, say};
use crate::model::catalogue::Catalogue;
use crate::model::ids::QueueName;
use crate::model::money::{Exact, Money};
use crate::model::settings::Provider;
use crate::model::settings::key::Part;
use crate::store::settings::{create, default_place, parse};
use asked::Asker;
use draft::Draft;
use found::Found;

/// Set up the first time: find the credentials, try them, choose queues and machines, write the settings
///
/// Nothing is started, and the console that it ends in is a dry run until you arm it. Where nobody can be asked, what is
/// found is told, and each answer that has no default is to be given as an option.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// A ClearML queue to serve; again for more
    #[arg(long = "queue", value_name = "NAME")]
    queues: Vec<String>,
    /// Whose machines
    #[arg(long, value_enum, value_name = "CLOUD")]
    provider: Option<CloudName>,
    /// Where machines are rented [default: `AWS_REGION`, else us-east-1 or us-central1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// A machine type, tried in order; again for more
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// The machines' image, as `pool.X.ami` or `pool.X.image` takes it
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Machines at most [default: 2]
    #[arg(long, value_name = "N")]
    max: Option<u32>,
    /// Money for a day at most [default: $20]
    #[arg(long, value_name = "AMOUNT")]
    budget: Option<Money>,
    /// The name of the machines that these settings own [default: your name and `-fleet`]
    #[arg(long, value_name = "NAME")]
    fleet: Option<String>,
    /// Write the settings and end, without the console
    #[arg(long)]
    no_console: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CloudName {
    Aws,
    Gce,
}

impl CloudName {
    fn provider(self) -> Provider {
        match self {
            Self::Aws => Provider::Aws,
            Self::Gce => Provider::Gce,
        }
    }
}

impl Init {
    pub(super) fn run(&self, place: &Place, looks: &Looks) -> Result<(), Failure> {
        let path = where_to(place)?;
        let written = super::runtime()?.block_on(self.write(&path))?;
        let shown = path.display();
        say(&format!(
            "\nWritten to {shown}: {written}.\nNothing is started: the loop is a dry run until you arm it (`A`).\n"
        ))?;
        if self.no_console || !has_person() || super::console::can_show(looks).is_err() {
            return say(&format!("Next: `tidegate check --config {shown}`, then `tidegate --config {shown}`.\n"));
        }
        let place =
            Place { config: Some(path), state_dir: place.state_dir.clone(), guardrails: place.guardrails.clone() };
        super::console::run(&place, looks)
    }

    /// Asks what is to be asked, and writes the settings; what they are in short.
    async fn write(&self, path: &Path) -> Result<String, Failure> {
        let mut asker = Asker::new(has_person());
        self.region
            .as_deref()
            .map_or(Ok(()), |region| asked::given("--region", asked::fits(Part::Pool, "region", region)))?;
        let found = Found::look(self.provider.map(CloudName::provider), self.region.as_deref()).await;
        say(&found.told())?;
        let catalogue = price_table()?;
        let draft = self.answers(&mut asker, &found, &catalogue)?;
        asker.finish()?;
        let draft = draft.ok_or_else(|| Failure::Failed("nothing was chosen".to_owned()))?;
        let text = draft.text();
        // What is written is settings in any case.
        parse(&text, path).map_err(|problems| {
            Failure::Settings(format!("nothing was written, for these answers would be no settings:\n{problems}"))
        })?;
        let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        create(path, &text).map_err(failed)?;
        draft.warnings(&catalogue).iter().try_for_each(|warning| say(&format!("warn    {warning}\n")))?;
        Ok(draft.in_short())
    }

    /// `None`: something is missing, which the asker tells.
    fn answers(&self, asker: &mut Asker, found: &Found, catalogue: &Catalogue) -> Result<Option<Draft>, Failure> {
        asker.needs(found);
        if let Some(cloud) = &found.cloud {
            self.check_given(cloud.provider)?;
        }
        // Nobody answers questions for nothing.
        if asker.asks_in_vain() {
            return Ok(None);
        }
        let queues = asker.queues(&self.queues, found)?;
        let Some(cloud) = found.cloud.as_ref().filter(|_| !asker.asks_in_vain()) else { return Ok(None) };
        let types = asker.types(&self.types, cloud.provider, &cloud.region, catalogue)?;
        let has_gpu = types.first().is_some_and(|kind| draft::gpus(catalogue, cloud.provider, kind) > 0);
        let image = asker.image(self.image.as_deref(), cloud.provider, has_gpu)?;
        let max = asker.number("Machines at most", self.max, 2)?;
        let budget = asker.money("Money for a day at most", self.budget, draft::SMALL)?;
        let fleet = asker.fleet(self.fleet.as_deref())?;
        if queues.is_empty() || types.is_empty() {
            return Ok(None);
        }
        let rate = types.iter().filter_map(|kind| draft::rate(catalogue, cloud.provider, &cloud.region, kind)).max();
        Ok(Some(Draft {
            fleet,
            queues: queues.into_iter().map(QueueName::from).collect(),
            provider: cloud.provider,
            region: cloud.region.clone(),
            types,
            image,
            max,
            rate,
            budget,
            agents_warned: found.warns_of_agents(),
        }))
    }
}

impl Init {
    /// Refuses options that would be no settings, before anything is asked.
    fn check_given(&self, provider: Provider) -> Result<(), Failure> {
        for kind in &self.types {
            asked::given("--type", asked::fits(Part::Pool, "types", kind))?;
        }
        if let Some(image) = &self.image {
            asked::given("--image", asked::image(provider, image))?;
        }
        if let Some(max) = self.max {
            asked::given("--max", asked::number(&max.to_string()))?;
        }
        if let Some(budget) = self.budget {
            asked::given("--budget", asked::money(&Exact(budget).to_string()))?;
        }
        self.fleet.as_ref().map_or(Ok(()), |fleet| asked::given("--fleet", asked::fits(Part::Loop, "fleet", fleet)))
    }
}

/// The file that will be written: it must not be there.
fn where_to(place: &Place) -> Result<PathBuf, Failure> {
    let path = default_place(place.config.as_deref());
    let path = path
        .ok_or_else(|| Failure::Usage("you have no configuration directory: name a file with --config".to_owned()))?;
    if path.exists() {
        let shown = path.display();
        return Err(Failure::Refused(format!(
            "{shown} is there already and is left as it is: `tidegate check` tests it, `tidegate` opens it; \
             for other settings name another file with --config"
        )));
    }
    Ok(path)
}
