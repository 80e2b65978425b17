//! The live loop: settings, the state directory's lock, the store, ClearML and the clouds, put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use tracing_appender::non_blocking::WorkerGuard;

use super::Place;
use super::failure::Failure;
use super::kept::Kept;
use super::reach::{host, person};
use crate::engine::act::crash::{CrashAt, CrashPoints};
use crate::engine::act::naming::Naming;
use crate::engine::event::Leader;
use crate::engine::{Candidate, EngineError, Handle, Setup, Times, start};
use crate::model::catalogue::Catalogue;
use crate::model::settings::{Provider, Settings};
use crate::store::directory::{prepare, state_dir};
use crate::store::lock::{Holder, Lock, LockError};
use crate::store::settings::{SettingsFile, guardrail_places, locate};
use crate::world::World;
use crate::world::clearml::Clearml;
use crate::world::clearml::credentials::Credentials;
use crate::world::clock::Clock;
use crate::world::cloud::{Cloud, Clouds};
use crate::world::prices;
use crate::world::pseudonymous::{NoKey, pseudonyms};

/// For tests of what a crash leaves behind: the program aborts when the loop passes this point, such as
/// `launch:after-call`.
const CRASH_AT: &str = "TIDEGATE_CRASH_AT";

/// For tests of how one console follows another: milliseconds between two signs of life, and of silence after which
/// another takes over, such as `100,800`. It must be the same for every console of a fleet.
const LEADER_TIMES: &str = "TIDEGATE_LEADER_TIMES";

/// The settings and the place of a fleet's state, before anything is started.
#[derive(Debug)]
pub(super) struct Ground {
    pub settings: SettingsFile,
    pub directory: PathBuf,
}

impl Ground {
    /// Finds and reads the settings, and names the state directory of their fleet.
    pub(super) fn find(place: &Place) -> Result<Self, Failure> {
        let path = locate(place.config.as_deref()).map_err(|error| Failure::Settings(error.to_string()))?;
        let guardrails = guardrail_places(&path, place.guardrails.as_deref());
        let settings =
            SettingsFile::open_guarded(&path, guardrails).map_err(|error| Failure::Settings(error.to_string()))?;
        let directory = state_dir(&settings.settings().the_loop.fleet, place.state_dir.as_deref())?;
        Ok(Self { settings, directory })
    }

    /// The same, with users as they are called: the key is read that the settings name.
    pub(super) fn called(place: &Place) -> Result<Self, Failure> {
        let Self { settings, directory } = Self::find(place)?;
        Ok(Self { settings: called(settings)?, directory })
    }

    /// Takes the lead on this host, or says who has it.
    pub(super) fn take_lead(self) -> Result<Lead, Failure> {
        prepare(&self.directory)?;
        match Lock::acquire(&self.directory, Clock::Wall.now(), || Naming::random().nonce()) {
            Ok(lock) => Ok(Lead::Ours(Box::new(Leading { ground: self, lock }))),
            Err(LockError::Held { holder, .. }) => Ok(Lead::Theirs { directory: self.directory, holder }),
            Err(LockError::Store(error)) => Err(error.into()),
        }
    }
}

/// Who acts on this host.
pub(super) enum Lead {
    Ours(Box<Leading>),
    Theirs { directory: PathBuf, holder: Option<Holder> },
}

/// The fleet is ours to act on.
pub(super) struct Leading {
    pub ground: Ground,
    lock: Lock,
}

/// A loop that runs.
pub(super) struct Running {
    pub handle: Handle,
    pub directory: PathBuf,
    /// Keep it until the loop has ended.
    pub held: Held,
}

/// The lead on this host, and the log: both are given back when this goes.
pub(super) struct Held {
    _lock: Lock,
    _log: WorkerGuard,
}

/// The settings with users as they are called.
fn called(settings: SettingsFile) -> Result<SettingsFile, Failure> {
    let names = pseudonyms(&settings.settings().the_loop);
    let problem = |error: NoKey| settings.problem_of(error.setting, error.to_string());
    let names = names.map_err(|error| Failure::Settings(problem(error).to_string()))?;
    Ok(settings.with_pseudonyms(names))
}

impl Leading {
    /// Starts the loop, its socket and its log.
    pub(super) fn start(self) -> Result<Running, Failure> {
        let Self { ground: Ground { settings, directory }, lock } = self;
        let settings = called(settings)?;
        let log = super::log::start(&directory).map_err(|error| Failure::Failed(error.to_string()))?;
        let crash = crash_points()?;
        // One that may change nothing leads nobody.
        let read_only = settings.read_only().map(|from| format!("nobody (read only, by {from})"));
        let candidate = if read_only.is_none() { Some(candidate(lock.holder())?) } else { None };
        let (world, warnings) = world(&settings.settings(), settings.path())?;
        let world = world.with_pseudonyms(settings.pseudonyms());
        let catalogue = Arc::new(price_table()?);
        let place = directory.clone();
        let made = move || async move {
            let store = Kept::open(&settings.settings(), &place, Clock::Wall.now()).await?.store();
            Ok::<_, EngineError>(Setup {
                settings,
                world,
                store,
                clock: Clock::Wall,
                catalogue,
                leader: Leader::Other(read_only.unwrap_or_else(|| "nobody yet".to_owned())),
                candidate,
                naming: Naming::random(),
                planner: crate::plan::plan,
                policy: None,
                crash,
                socket: Some(place),
                warnings,
            })
        };
        let handle = start(made)?;
        Ok(Running { handle, directory, held: Held { _lock: lock, _log: log } })
    }
}

/// The price table that ships with the program.
pub(super) fn price_table() -> Result<Catalogue, Failure> {
    prices::catalogue().map_err(|error| Failure::Failed(error.to_string()))
}

/// ClearML and the clouds of the settings, and what is unsafe about them. Nobody is called yet. `path`: of the settings' file,
/// beside which the files are that they name.
pub(super) fn world(settings: &Settings, path: Option<&Path>) -> Result<(World, Vec<String>), Failure> {
    let credentials = credentials(settings)?;
    let warnings = credentials.warning().into_iter().collect();
    let tracker = Clearml::new(credentials, Clock::Wall).map_err(|error| Failure::NotReachable(error.to_string()))?;
    Ok((World { tracker: Arc::new(tracker), clouds: clouds(settings, path) }, warnings))
}

/// Who we are on the ClearML server.
pub(super) fn credentials(settings: &Settings) -> Result<Credentials, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    Credentials::find(&settings.clearml, &environment, home.as_deref())
        .map_err(|error| Failure::Settings(error.to_string()))
}

#[cfg_attr(not(feature = "kubernetes"), expect(unused_variables, reason = "without pods there is no template"))]
/// The clouds that this program knows. Nobody is called yet.
pub(super) fn clouds(settings: &Settings, path: Option<&Path>) -> Clouds {
    let clouds: [Option<(Provider, Arc<dyn Cloud>)>; 4] = [
        Some((Provider::Exec, Arc::new(crate::world::exec::Exec::new(settings)))),
        #[cfg(feature = "aws")]
        Some((Provider::Aws, Arc::new(crate::world::aws::Ec2::new().with_accounts(settings.accounts.clone())))),
        #[cfg(not(feature = "aws"))]
        None,
        #[cfg(feature = "gce")]
        Some((Provider::Gce, Arc::new(crate::world::gce::Gce::new().with_accounts(settings.accounts.clone())))),
        #[cfg(not(feature = "gce"))]
        None,
        #[cfg(feature = "kubernetes")]
        Some((
            Provider::Kubernetes,
            Arc::new(crate::world::kubernetes::Kubernetes::beside(path.and_then(Path::parent))),
        )),
        #[cfg(not(feature = "kubernetes"))]
        None,
    ];
    clouds.into_iter().flatten().collect()
}

/// Who this console is to others that may lead the same fleet.
fn candidate(holder: &Holder) -> Result<Candidate, Failure> {
    let host = host();
    Ok(Candidate {
        // A directory that was copied to another host is another console's.
        console: format!("{host}:{}", holder.console),
        holder: format!("{}@{host}, process {}", person(), holder.pid),
        times: leader_times()?,
    })
}

fn leader_times() -> Result<Times, Failure> {
    let Ok(wanted) = std::env::var(LEADER_TIMES) else { return Ok(Times::default()) };
    let read = || {
        let (beat, silence) = wanted.split_once(',')?;
        let millis =
            |text: &str| text.parse().ok().map(SignedDuration::from_millis).filter(SignedDuration::is_positive);
        Some(Times { beat: millis(beat)?, silence: millis(silence)? })
    };
    let wrong = || Failure::Usage(format!("{LEADER_TIMES}: `{wanted}` is not two counts of milliseconds"));
    read().filter(|times| times.beat * 4 <= times.silence).ok_or_else(wrong)
}

fn crash_points() -> Result<CrashPoints, Failure> {
    let Ok(wanted) = std::env::var(CRASH_AT) else { return Ok(CrashPoints::default()) };
    let wanted: CrashAt = wanted.parse().map_err(|error| Failure::Usage(format!("{CRASH_AT}: {error}")))?;
    Ok(CrashPoints::watched(Arc::new(move |here| {
        if here == wanted {
            // As `kill -9` does: nothing is tidied, nothing is flushed.
            std::process::abort();
        }
        true
    })))
}
