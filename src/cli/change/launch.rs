//! `launch`: one machine more, whatever waits, within limits and budgets.

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::reach::Loop;
use crate::engine::command::Command;
use crate::engine::event::View;
use crate::model::ids::PoolName;
use crate::model::reason::Reason;
use crate::model::snapshot::Ask;

/// Start one machine more, whatever waits; limits and budgets hold
#[derive(Debug, Args)]
pub(in crate::cli) struct Launch {
    /// The pool to take it from
    pool: String,
    /// The queue that it serves first and is charged to [default: the pool's queue of highest priority]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
}

impl Launch {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let mut the_loop = Loop::connect(place).await?;
        let view = the_loop.view().await?;
        let ask = self.ask(&view)?;
        let names = [Reason::NoSuchPool { pool: PoolName::new(self.pool.as_str()) }];
        the_loop.order(Command::Ask(vec![ask])).await.map_err(|failure| super::slip(failure, &names))
    }

    fn ask(&self, view: &View) -> Result<Ask, Failure> {
        let pool = PoolName::new(self.pool.as_str());
        let queue = match &self.queue {
            Some(queue) => {
                let named = view.settings.queues.iter().find(|other| other.name.as_str() == queue);
                let missing = || Failure::Usage(format!("no queue of the settings is called `{queue}`"));
                named.map(|queue| queue.name.clone()).ok_or_else(missing)?
            }
            None => view
                .settings
                .queues_of(&pool)
                .next()
                .map(|queue| queue.name.clone())
                .ok_or_else(|| Failure::Usage(format!("no queue of the settings names a pool `{pool}`")))?,
        };
        Ok(Ask::Launch { pool, queue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::view;

    #[test]
    fn the_queue_of_highest_priority_is_served() {
        let launch =
            |pool: &str, queue: Option<&str>| Launch { pool: pool.to_owned(), queue: queue.map(str::to_owned) };
        let view = view();
        let asked = |queue: &str| Ask::Launch { pool: "p4d".into(), queue: queue.into() };
        assert_eq!(launch("p4d", None).ask(&view).unwrap(), asked("train"));
        assert_eq!(launch("p4d", Some("eval")).ask(&view).unwrap(), asked("eval"));
        assert_eq!(launch("nope", None).ask(&view).unwrap_err().code(), 2);
        assert_eq!(launch("p4d", Some("nope")).ask(&view).unwrap_err().code(), 2);
    }
}
