//! The sites that are open. Each is opened by itself: while the plugin of one cluster waits for a person, the others are worked
//! with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use kube::Client;
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use crate::model::settings::kubernetes::of_site;
use crate::model::snapshot::ErrorClass;
use crate::world::clock::{Clock, Stopwatch};
use crate::world::cloud::CloudError;
use crate::world::kubernetes::open::open;
use crate::world::kubernetes::site::Site;

/// So long the kubeconfig's plugins may take.
const OPENS: Duration = Duration::from_secs(30);
/// The kubeconfig is read again, and its plugin is run again, after so long at the soonest.
const AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// What comes of an opening.
type Opening = oneshot::Receiver<Result<Client, CloudError>>;

/// By the name of each.
pub(super) struct Sites {
    doors: Lock<BTreeMap<String, Arc<Mutex<Door>>>>,
    again: SignedDuration,
}

impl Default for Sites {
    fn default() -> Self {
        Self { doors: Lock::default(), again: AGAIN }
    }
}

impl std::fmt::Debug for Sites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sites").finish_non_exhaustive()
    }
}

/// The way to one site.
#[derive(Default)]
struct Door {
    site: Option<(Site, Stopwatch)>,
    failed: Option<(CloudError, Stopwatch)>,
    /// One that is late is waited for again, so that a plugin that hangs runs once.
    opening: Option<Opening>,
    /// How often it was opened.
    turn: u64,
}

impl Sites {
    /// The site of that name, opened if it is not.
    pub(super) async fn of(&self, name: &str) -> Result<Site, CloudError> {
        self.opened(name, begin).await
    }

    /// What it was opened with is not taken any more: it is opened anew when it is next asked for. `false`: it was opened only
    /// just now.
    pub(super) async fn forget(&self, name: &str) -> bool {
        let door = self.door(name);
        let mut door = door.lock().await;
        let is_old = door.site.as_ref().is_some_and(|(_, since)| since.at_least() >= self.again);
        if is_old {
            door.site = None;
        }
        is_old
    }

    fn door(&self, name: &str) -> Arc<Mutex<Door>> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(name.to_owned()).or_default())
    }

    async fn opened(&self, name: &str, begin: impl FnOnce(Option<&str>) -> Opening) -> Result<Site, CloudError> {
        let door = self.door(name);
        let mut door = door.lock().await;
        if let Some((site, _)) = &door.site {
            return Ok(site.clone());
        }
        if let Some((error, since)) = &door.failed
            && since.at_least() < self.again
        {
            return Err(error.clone());
        }
        let (context, namespace) = of_site(name);
        let answer = match timeout(OPENS, door.opening.get_or_insert_with(|| begin(context))).await {
            Ok(answer) => {
                door.opening = None;
                answer.unwrap_or_else(|_| Err(unopened("its opening was cut short")))
            }
            Err(_) => Err(unopened(&format!(
                "the kubeconfig's plugin for credentials, or a file that the kubeconfig names, did not answer in {} s",
                OPENS.as_secs()
            ))),
        };
        let now = Stopwatch::start(Clock::Wall);
        match answer {
            Ok(client) => {
                door.turn += 1;
                let site = Site { client, namespace: namespace.to_owned(), turn: door.turn };
                (door.site, door.failed) = (Some((site.clone(), now)), None);
                Ok(site)
            }
            Err(error) => {
                door.failed = Some((error.clone(), now));
                Err(error)
            }
        }
    }
}

/// Nobody was called.
fn unopened(message: &str) -> CloudError {
    CloudError { class: ErrorClass::Unknown, ..CloudError::refused(format!("no way to the cluster: {message}")) }
}

/// Begins to open a context. A plugin may take its time, and the library waits for it: not on a thread of the runtime's, which
/// would not end before it.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the plugin that it waits for, and nobody waits for it to end"
)]
fn begin(context: Option<&str>) -> Opening {
    let (tell, told) = oneshot::channel();
    let (context, runtime) = (context.map(str::to_owned), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        // Whoever asked may be gone.
        let _ = tell.send(runtime.block_on(open(context.as_deref())));
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::open::client;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Sites, and how many openings have begun.
    #[derive(Default)]
    struct Tried {
        sites: Sites,
        begun: AtomicUsize,
    }

    impl Tried {
        async fn ask(&self, name: &str, answer: impl FnOnce() -> Opening) -> Result<Site, CloudError> {
            let begin = |_: Option<&str>| {
                self.begun.fetch_add(1, Ordering::SeqCst);
                answer()
            };
            self.sites.opened(name, begin).await
        }

        fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }
    }

    fn at_once(answer: Result<Client, CloudError>) -> Opening {
        let (tell, told) = oneshot::channel();
        let _ = tell.send(answer);
        told
    }

    fn a_client() -> Result<Client, CloudError> {
        client(kube::Config::new("http://127.0.0.1:9".parse().unwrap()))
    }

    fn tried_at_once() -> Tried {
        let sites = Sites { again: SignedDuration::ZERO, ..Sites::default() };
        Tried { sites, ..Tried::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_plugin_that_hangs_runs_once_and_holds_up_no_other_cluster() {
        let tried = tried_at_once();
        let (tell, told) = oneshot::channel();
        let hangs = tried.ask("slow/ml", || told);
        let other = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let asked = timeout(Duration::from_secs(1), tried.ask("quick/ml", || at_once(a_client()))).await;
            asked.unwrap().unwrap();
        };
        let (late, ()) = futures::future::join(hangs, other).await;
        let late = late.unwrap_err();
        assert!(late.message.contains("did not answer in 30 s") && !late.may_have_acted, "{late}");
        // It is waited for again.
        let again = tried.ask("slow/ml", || at_once(a_client()));
        assert!(timeout(Duration::from_secs(10), again).await.is_err());
        let _ = tell.send(a_client());
        tried.ask("slow/ml", || at_once(a_client())).await.unwrap();
        assert_eq!(tried.begun(), 2);
    }

    #[tokio::test]
    async fn a_failure_is_remembered_for_the_whole_look() {
        let tried = Tried::default();
        let no = || at_once(Err(CloudError::refused("no".to_owned())));
        for _ in 0..3 {
            assert_eq!(tried.ask("prod/ml", no).await.unwrap_err().message, "no");
        }
        assert_eq!(tried.begun(), 1);
    }

    #[tokio::test]
    async fn a_site_is_opened_anew_when_it_was_forgotten_and_not_on_and_on() {
        let yes = || at_once(a_client());
        for (tried, opened) in [(Tried::default(), 1), (tried_at_once(), 2)] {
            assert!(!tried.sites.forget("prod/ml").await, "it is not open");
            assert_eq!(tried.ask("prod/ml", yes).await.unwrap().turn, 1);
            assert_eq!(tried.sites.forget("prod/ml").await, opened == 2, "only just now it was opened");
            assert_eq!(tried.ask("prod/ml", yes).await.unwrap().turn, opened);
            assert_eq!(tried.begun(), usize::try_from(opened).unwrap());
        }
    }
}
