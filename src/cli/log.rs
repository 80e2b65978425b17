//! The log: a file a day in the state directory, never the terminal. It is written by a thread of its own, so that no
//! frame and no pass waits for the disk.

use std::path::{Path, PathBuf};

use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Sets what is logged, such as `debug` or `tidegate::engine=trace,info`.
const VARIABLE: &str = "TIDEGATE_LOG";
const DEFAULT: &str = "info";
const DAYS_KEPT: usize = 14;

/// Events of libraries below these are dropped, whatever is asked for: the AWS SDK's show requests with their credentials, those
/// of Kubernetes's client whole answers, with what pods are given.
const CAPPED: [(&str, Level); 2] = [("aws_", Level::INFO), ("kube_client", Level::ERROR)];

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log in {directory}: {message}")]
    File { directory: PathBuf, message: String },
    #[error("{VARIABLE} is `{wanted}`: {message}; write it as `info` or `tidegate=debug`")]
    Filter { wanted: String, message: String },
    #[error("a log is being written already")]
    Twice,
}

/// Logs into `directory` from now on; what is left is written when the guard goes.
pub fn start(directory: &Path) -> Result<WorkerGuard, LogError> {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("tidegate")
        .filename_suffix("log")
        .max_log_files(DAYS_KEPT)
        .build(directory)
        .map_err(|error| LogError::File { directory: directory.to_owned(), message: error.to_string() })?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    subscriber(&wanted, writer)?.try_init().map_err(|_| LogError::Twice)?;
    Ok(guard)
}

fn subscriber<W>(wanted: &str, writer: W) -> Result<impl Subscriber + Send + Sync, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(wanted)
        .map_err(|error| LogError::Filter { wanted: wanted.to_owned(), message: error.to_string() })?;
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    Ok(Registry::default().with(layer.with_filter(filter.and(filter_fn(shows_no_secret)))))
}

fn shows_no_secret(event: &Metadata<'_>) -> bool {
    CAPPED.iter().all(|(target, most)| !event.target().starts_with(target) || event.level() <= most)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(wanted: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        tracing::subscriber::with_default(subscriber(wanted, move || writer.clone()).unwrap(), || {
            tracing::info!("one");
            tracing::debug!("two");
            tracing::info!(target: "aws_smithy_runtime::client", "three");
            tracing::debug!(target: "aws_smithy_runtime::client", "a secret");
            tracing::error!(target: "kube_client::client::builder", "four");
            tracing::warn!(target: "kube_client::client", "a secret");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_logged_and_no_request_with_its_secrets() {
        for (wanted, lines) in
            [("info", 3), ("debug", 4), ("trace,aws_smithy_runtime=trace,kube_client=trace", 4), ("off", 0)]
        {
            let text = logged(wanted);
            assert_eq!(text.lines().count(), lines, "{wanted}: {text}");
            assert!(!text.contains("a secret") && !text.contains('\u{1b}'), "{wanted}: {text}");
        }
    }

    #[test]
    fn a_wrong_wish_is_named() {
        let failure = subscriber("tidegate=loud", io::sink).map(|_| ()).unwrap_err();
        assert!(failure.to_string().contains("tidegate=loud"), "{failure}");
    }
}
