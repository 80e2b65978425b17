//! What the clouds say that their machines cost, asked beside the looks. A price that is believed is that of launches to
//! come; bills that run keep theirs. Without an answer the last good prices stay, and the table's behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::run::{Loop, Work};
use crate::engine::seen::facts::Region;
use crate::engine::seen::node_price::{expected, priced_by};
use crate::engine::words::line;
use crate::model::catalogue::{Catalogue, Priced};
use crate::model::extras::ExtraPrices;
use crate::model::ids::{MachineType, PoolName};
use crate::model::journal::EntryKind;
use crate::model::money::Rate;
use crate::model::prices::{PriceSource, believed, believed_extras, priced};
use crate::model::record::Record;
use crate::model::settings::{Market, PoolSettings};
use crate::world::cloud::CloudError;

/// Price lists change now and then, spot prices slowly but all the time.
const LIST_AGAIN: SignedDuration = SignedDuration::from_hours(12);
const SPOT_AGAIN: SignedDuration = SignedDuration::from_mins(15);
const FAILED_AGAIN: SignedDuration = SignedDuration::from_mins(15);

const DEADLINE: SignedDuration = SignedDuration::from_secs(120);

/// Whose prices are asked for.
type Asked = (Region, Market);

/// What a cloud answered.
pub(super) struct Told {
    of: Asked,
    result: Result<BTreeMap<MachineType, Rate>, String>,
    /// What it answered of disks and addresses.
    extras: ExtraPrices,
    /// After an answer it is asked again so much later.
    again: SignedDuration,
}

/// The prices that were told, and when they are asked for again.
pub(super) struct Pricing {
    /// What ships with the program: told prices are held against it.
    table: Arc<Catalogue>,
    due: BTreeMap<Asked, Timestamp>,
    sources: BTreeMap<Asked, PriceSource>,
}

impl Pricing {
    pub(super) fn new(table: Arc<Catalogue>) -> Self {
        Self { table, due: BTreeMap::new(), sources: BTreeMap::new() }
    }

    pub(super) fn sources(&self) -> Vec<PriceSource> {
        self.sources.values().cloned().collect()
    }
}

impl Loop {
    /// Asks for the prices of the pools' machines that are due.
    pub(super) fn ask_prices(&mut self) {
        let now = self.setup.clock.now();
        for (of, types) in self.priced_types() {
            let Some(cloud) = self.setup.world.clouds.get(&of.0.provider).cloned() else { continue };
            let due = self.pricing.due.get(&of).is_none_or(|due| *due <= now);
            if !due || !cloud.tells_prices() {
                continue;
            }
            // Should it end badly, it is asked again.
            self.pricing.due.insert(of.clone(), now.saturating_add(FAILED_AGAIN).unwrap_or(Timestamp::MAX));
            let often = of.1 == Market::Spot && cloud.spot_prices_move();
            let again = if often { SPOT_AGAIN } else { LIST_AGAIN };
            let clock = self.setup.clock;
            self.work.spawn(async move {
                let types: Vec<MachineType> = types.into_iter().collect();
                let answer = clock.deadline(DEADLINE, cloud.prices(&of.0.name, &types, of.1, now)).await;
                let answer = answer.unwrap_or_else(|| Err(CloudError::deadline("the price list")));
                // They are no market's, and in the same list: without them what was known of them stays.
                let extras = match of.1 {
                    Market::OnDemand => clock.deadline(DEADLINE, cloud.extra_prices(&of.0.name, now)).await,
                    Market::Spot => None,
                };
                let extras = extras.and_then(Result::ok).unwrap_or_default();
                Work::Priced(Told { of, result: answer.map_err(|error| error.to_string()), extras, again })
            });
        }
    }

    /// On demand for every pool: that is what spot machines are rolled back to, and what their prices are held against.
    fn priced_types(&self) -> BTreeMap<Asked, BTreeSet<MachineType>> {
        let mut types: BTreeMap<Asked, BTreeSet<MachineType>> = BTreeMap::new();
        for pool in &self.settings.pools {
            let region = Region { provider: pool.provider, name: pool.site() };
            for market in BTreeSet::from([Market::OnDemand, pool.market]) {
                types.entry((region.clone(), market)).or_default().extend(priced(pool));
            }
        }
        types
    }

    /// What pods cost by the nodes of their clusters, as those were just seen, and what is to be remembered of that. Without
    /// any node the last price stays, also that of an earlier loop.
    pub(super) fn price_pods(&mut self) -> Vec<Record> {
        let told = expected(&self.settings, &self.facts.clusters, &self.setup.catalogue);
        let unknown = |pool: &&PoolSettings| self.setup.catalogue.pod_source(&pool.name).is_none();
        let remembered = self.settings.pools.iter().filter(unknown).filter_map(|pool| {
            let rate = *self.memory.pod_prices.get(&priced_by(pool))?;
            let source = "what one cost when there was last a node for it".to_owned();
            Some((pool.name.clone(), Priced { market: Market::OnDemand, rate, source }))
        });
        let mut prices: Vec<(PoolName, Priced)> = remembered.collect();
        let mut records = Vec::new();
        for (pool, price) in told {
            let of = priced_by(&pool);
            if self.memory.pod_prices.get(&of) != Some(&price.rate) {
                records.push(Record::PodPriced { of, rate: price.rate });
            }
            prices.push((pool.name, price));
        }
        for (pool, price) in prices {
            let catalogue = std::mem::take(&mut self.setup.catalogue);
            self.setup.catalogue = catalogue.with_pod_price(&pool, price);
        }
        records
    }

    /// A cloud has told its prices, or not.
    pub(super) async fn priced(&mut self, told: Told) {
        let now = self.setup.clock.now();
        let catalogue = Arc::make_mut(&mut self.setup.catalogue);
        let news = self.pricing.take(told, catalogue, now);
        if let Some(source) = news.filter(|_| self.leads()) {
            let text = format!("prices {} are not believed: the last good ones stay", source.name());
            let line = line(now, EntryKind::Alarm, text).because(&source.refused.join("; "));
            self.commit(vec![line.record()]).await;
        }
        self.publish();
    }
}

impl Pricing {
    /// Takes in what was told; what is believed of it goes into the catalogue. Gives the source when it tells other things
    /// than before that are not believed.
    fn take(&mut self, told: Told, catalogue: &mut Catalogue, now: Timestamp) -> Option<PriceSource> {
        let Told { of, result, extras, again } = told;
        let (region, market) = (&of.0, of.1);
        let source = self.sources.entry(of.clone()).or_insert_with(|| PriceSource {
            provider: region.provider,
            site: region.name.clone(),
            market,
            good: None,
            believed: 0,
            beside: 0,
            error: None,
            refused: Vec::new(),
        });
        let prices = match result {
            Ok(prices) => prices,
            Err(error) => {
                source.error = Some(error);
                return None;
            }
        };
        self.due.insert(of.clone(), now.saturating_add(again).unwrap_or(Timestamp::MAX));
        let before = std::mem::take(&mut source.refused);
        (source.error, source.good, source.believed) = (None, Some(now), 0);
        let from = format!("told by the cloud, {}", now.strftime("%Y-%m-%d %H:%MZ"));
        let (extras, far) = believed_extras(ExtraPrices { source: from.clone(), ..extras });
        (source.beside, source.refused) = (extras.count(), far);
        if source.beside > 0 {
            catalogue.set_extras(region.provider, &region.name, extras);
        }
        for (machine_type, rate) in prices {
            let listed = self.table.spec_near(region.provider, &region.name, &machine_type);
            match believed(&machine_type, market, rate, listed) {
                Ok(rate) => {
                    source.believed += 1;
                    let from = from.clone();
                    catalogue.set_price(
                        region.provider,
                        &region.name,
                        &machine_type,
                        Priced { market, rate, source: from },
                    );
                }
                Err(why) => source.refused.push(why),
            }
        }
        (!source.refused.is_empty() && source.refused != before).then(|| source.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::extras::{Extras, source};
    use crate::model::money::Money;
    use crate::model::settings::{DiskKind, Provider};

    #[test]
    fn disks_and_addresses_are_taken_in_with_their_age_and_stay_when_none_are_told() {
        let table = Arc::new(Catalogue::default());
        let (mut pricing, mut catalogue) = (Pricing::new(Arc::clone(&table)), Catalogue::clone(&table));
        let mut pool = PoolSettings { provider: Provider::Gce, ..PoolSettings::with_defaults("l4") };
        (pool.region, pool.launch.disk_gb, pool.public_address) = ("europe-west4".to_owned(), Some(100), true);
        let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let mut told = |balanced: Option<i64>| {
            let disks = balanced.map(|micros| (DiskKind::PdBalanced, Money::from_micros(micros)));
            let extras = ExtraPrices { disks: disks.into_iter().collect(), ..ExtraPrices::default() };
            let of = (Region { provider: Provider::Gce, name: "europe-west4".to_owned() }, Market::OnDemand);
            let told = Told { of: of.clone(), result: Ok(BTreeMap::new()), extras, again: LIST_AGAIN };
            let news = pricing.take(told, &mut catalogue, now).is_some();
            let extras = Extras::of(&pool, &catalogue).rate().micros_per_hour();
            (news, extras, source(&pool, &catalogue).to_owned(), pricing.sources[&of].told(now))
        };
        let from = "told by the cloud, 2026-11-02 08:00Z".to_owned();
        let said = "told 0s ago: 0 types, 1 price of disks and addresses".to_owned();
        assert_eq!(told(Some(110_000)), (false, 15_068 + 5_000, from.clone(), said));
        assert_eq!(told(None), (false, 15_068 + 5_000, from.clone(), "told 0s ago: 0 types".to_owned()));
        let (news, extras, _, said) = told(Some(11));
        assert!(news && extras == 15_068 + 5_000 && said.contains("not believed: pd-balanced at $0.00"), "{said}");
    }

    #[test]
    fn good_prices_stay_when_none_are_told_and_bad_ones_are_told_once() {
        let table = Arc::new(crate::world::prices::catalogue().unwrap());
        let (mut pricing, mut catalogue) = (Pricing::new(Arc::clone(&table)), Catalogue::clone(&table));
        let mut pool = PoolSettings { region: "us-east-1".to_owned(), ..PoolSettings::with_defaults("gpu") };
        let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let mut told = |result: Result<&[(&str, i64)], &str>, market| {
            let of = (Region { provider: Provider::Aws, name: "research@us-east-1".to_owned() }, market);
            let prices = |prices: &[(&str, i64)]| {
                prices.iter().map(|(name, micros)| ((*name).into(), Rate::from_micros_per_hour(*micros))).collect()
            };
            let result = result.map(prices).map_err(str::to_owned);
            let news = pricing.take(
                Told { of: of.clone(), result, extras: ExtraPrices::default(), again: LIST_AGAIN },
                &mut catalogue,
                now,
            );
            let offer = |name: &str, pool: &PoolSettings| {
                catalogue.offer(pool, &name.into(), market, now).rate.map(Rate::micros_per_hour)
            };
            (
                news.is_some(),
                offer("g5.xlarge", &pool),
                offer("u9.new", &pool),
                pricing.sources.get(&of).unwrap().clone(),
            )
        };
        let (news, known, unlisted, source) =
            told(Ok(&[("g5.xlarge", 1_100_000), ("u9.new", 7_000_000)]), Market::OnDemand);
        assert_eq!((news, known, unlisted, source.believed), (false, Some(1_100_000), Some(7_000_000), 2));
        let (_, known, _, source) = told(Err("no answer"), Market::OnDemand);
        assert_eq!((known, source.good, source.error.as_deref()), (Some(1_100_000), Some(now), Some("no answer")));
        for news in [true, false] {
            let (told, known, _, source) = told(Ok(&[("g5.xlarge", 0)]), Market::OnDemand);
            assert_eq!((told, known, source.believed), (news, Some(1_100_000), 0), "{source:?}");
        }
        // What moto says of every spot machine.
        let (news, spot, _, _) = told(Ok(&[("g5.xlarge", 10)]), Market::Spot);
        assert_eq!((news, spot), (true, Some(1_100_000)), "at most what it costs on demand");
        let (_, spot, _, _) = told(Ok(&[("g5.xlarge", 402_400)]), Market::Spot);
        assert_eq!(spot, Some(402_400));
        pool.price = Some(Rate::from_micros_per_hour(900_000));
        assert_eq!(
            catalogue.offer(&pool, &"g5.xlarge".into(), Market::OnDemand, now).rate.map(Rate::micros_per_hour),
            Some(900_000),
            "the settings win"
        );
    }
}
