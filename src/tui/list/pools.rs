//! The pools: what each may still hold, what one of its machines costs, how long it takes to boot and how long it is
//! kept, and what backs off.

use jiff::Timestamp;

use super::{Cell, Column, Data, FILL, Row, Unit};
use crate::engine::event::View;
use crate::model::attempt::PodState;
use crate::model::cluster::Cluster;
use crate::model::ids::PoolName;
use crate::model::record::Samples;
use crate::model::settings::{KeepAlive, PoolSettings, Provider};
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::usage::Usage;
use crate::tui::words::{rate, short};

pub(super) const COLUMNS: [Column; 9] = [
    Column::left("POOL", [10, 14, 18, 24]),
    Column::right("UP", [3, 4, 4, 4]).of(Unit::Count),
    Column::right("MAX", [4, 4, 5, 5]).of(Unit::Count),
    Column::left("MARKET", [0, 9, 9, 9]),
    Column::left("TYPE", [0, 0, 14, 18]),
    Column::right("$/H", [6, 7, 7, 8]).of(Unit::Money),
    Column::right("BOOT", [0, 6, 7, 7]).of(Unit::Span),
    Column::right("KEPT", [0, 8, 8, 8]).of(Unit::Span),
    Column::left("LAUNCHES", [FILL, FILL, FILL, FILL]),
];

pub(super) fn rows(data: &Data<'_>) -> Vec<Row> {
    let pools = data.view.settings.pools.iter().enumerate();
    pools.map(|(at, pool)| Row { subject: Subject::Pool(pool.name.clone()), at }).collect()
}

pub(super) fn cell(data: &Data<'_>, at: usize, column: &str) -> Option<Cell> {
    let (view, pool) = (data.view, data.view.settings.pools.get(at)?);
    let used = || Usage::of(view, &Subject::Pool(pool.name.clone())).instances;
    Some(match column {
        "POOL" => Cell::text(&pool.name).toned(Tone::Strong),
        "UP" => Cell::count(used()),
        "MAX" => pool.limits.max.map_or_else(Cell::none, |max| {
            let full = used() >= max && max > 0;
            Cell::number(&max, i64::from(max)).toned(if full { Tone::Warn } else { Tone::Plain })
        }),
        "MARKET" => Cell::text(pool.market.word()),
        "TYPE" => pool.types.first().map_or_else(Cell::none, Cell::text),
        "$/H" => price(view, pool, data.now),
        "BOOT" => samples(view.snapshot.learned.boots.get(&pool.name)),
        "KEPT" => match pool.keep_alive {
            KeepAlive::Learned => Cell { number: i64::MIN, ..Cell::text(KeepAlive::WORD) },
            KeepAlive::For(time) => Cell::number(&short(time), time.as_secs()),
        },
        _ => launches(view, pool, data.now),
    })
}

/// Of one machine of the first type.
fn price(view: &View, pool: &PoolSettings, now: Timestamp) -> Cell {
    let offer = pool.types.first().map(|first| view.snapshot.catalogue.offer(pool, first, pool.market, now));
    let known = offer.and_then(|offer| offer.rate);
    known.map_or_else(|| Cell::unknown("?"), |known| Cell::number(&rate(known), known.micros_per_hour()))
}

fn samples(samples: Option<&Samples>) -> Cell {
    let median = samples.and_then(Samples::median);
    median.map_or_else(Cell::none, |median| Cell::number(&short(median), median.as_secs()))
}

/// Whether machines are launched as they are wanted.
fn launches(view: &View, pool: &PoolSettings, now: Timestamp) -> Cell {
    let snapshot = &view.snapshot;
    let breaker = snapshot.breakers.iter().filter(|breaker| breaker.on.touches(pool)).max_by_key(|one| one.until);
    if let Some(breaker) = breaker {
        let left = short(breaker.until.duration_since(now));
        let at_most = if breaker.at_most == 0 { String::new() } else { format!(", {} at once", breaker.at_most) };
        return Cell::text(&format!("back off {left}: {}{at_most}", breaker.class.word())).toned(Tone::Warn);
    }
    let cluster = snapshot.clusters.get(&pool.site()).filter(|_| pool.provider == Provider::Kubernetes);
    let waiting = snapshot.pods_told(|instance| instance.pool == pool.name);
    if let Some(told) = waiting.iter().find(|told| told.contains(PodState::NothingComes.word())).or(waiting.first()) {
        return Cell::text(told).toned(Tone::Warn);
    }
    if let Some(caution) = cluster.and_then(|cluster| cluster.cautions().next()) {
        return Cell::text(&caution).toned(Tone::Warn);
    }
    let failed = snapshot.boots_failed.get(&pool.name).copied().unwrap_or_default();
    match (failed, pool.limits.max) {
        (_, Some(0)) => Cell::text("none: max is 0").toned(Tone::Dim),
        (0, _) => Cell::text("as wanted").toned(Tone::Good),
        (failed, _) => Cell::text(&format!("{failed} never registered")).toned(Tone::Warn),
    }
}

/// All that is known of a pool, a line each.
pub(crate) fn detail(view: &View, name: &PoolName, now: Timestamp) -> Vec<(String, Tone)> {
    let Some(pool) = view.settings.pool(name) else { return Vec::new() };
    let snapshot = &view.snapshot;
    let mut lines: Vec<_> = snapshot.cautions(pool, now).into_iter().map(|told| (told, Tone::Warn)).collect();
    let queues: Vec<_> = view.settings.queues_of(name).map(|queue| queue.name.to_string()).collect();
    let queues = if queues.is_empty() { "no queue".to_owned() } else { queues.join(", ") };
    let kept = match pool.keep_alive {
        KeepAlive::Learned => "kept for as long as costs least".to_owned(),
        KeepAlive::For(time) => format!("kept {} once too many", short(time)),
    };
    let site = pool.site();
    lines.push((
        format!("{name}: {} {site}, serves {queues}; min {}, {kept}.", pool.provider.word(), pool.min),
        Tone::Plain,
    ));
    let prices = pool.types.iter().map(|kind| {
        let offer = snapshot.catalogue.offer(pool, kind, pool.market, now);
        let price = offer.rate.map_or_else(|| "no price known".to_owned(), |rate| rate.to_string());
        let holds = match (offer.vcpu, offer.gpu) {
            (0, 0) => "size not known".to_owned(),
            (vcpu, gpu) => format!("{vcpu} vCPU, {gpu} GPU"),
        };
        format!("{kind} {price} ({holds})")
    });
    let source = snapshot.catalogue.pod_source(name).filter(|_| pool.price.is_none());
    let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
    let prices = prices.collect::<Vec<_>>().join("; ");
    lines.push((format!("Prices, {}: {prices}{source}.", pool.market.word()), Tone::Plain));
    if pool.provider == Provider::Kubernetes {
        let waiting = snapshot.pods_told(|instance| instance.pool == *name);
        lines.extend(waiting.into_iter().map(|told| (told, Tone::Warn)));
        let told = snapshot.clusters.get(&pool.site()).map(Cluster::told).unwrap_or_default();
        lines.extend(told.into_iter().map(|told| (told, Tone::Plain)));
        // A pod boots as fast as its image comes: there is nothing to learn.
        return lines;
    }
    let learned = [
        ("boots", snapshot.learned.boots.get(name)),
        ("starts of kept machines", snapshot.learned.starts.get(name)),
        ("gaps in which one too many was not needed", snapshot.learned.gaps.get(name)),
    ];
    let learned = learned.into_iter().filter_map(|(what, samples)| Some(format!("{what} {}", spread(samples?)?)));
    let learned: Vec<_> = learned.collect();
    let told = if learned.is_empty() { "nothing yet".to_owned() } else { learned.join("; ") };
    lines.push((format!("Learned: {told}."), Tone::Plain));
    lines
}

/// `2m30, nine of ten under 3m10 (120 seen)`.
fn spread(samples: &Samples) -> Option<String> {
    let median = short(samples.median()?);
    let p90 = samples.p90().map(|p90| format!(", nine of ten under {}", short(p90))).unwrap_or_default();
    Some(format!("{median}{p90} ({} seen)", samples.as_slice().len()))
}
