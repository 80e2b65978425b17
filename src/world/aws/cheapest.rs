//! The pool's places by their present spot price, the lowest first; the type stays the plan's. Where EC2 is to choose both
//! by how much it has of each, too, a fleet does that: see the module beside this one.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::InstanceType;

use crate::model::money::Rate;
use crate::world::aws::request::Place;
use crate::world::cloud::LaunchOrder;

/// What spot prices are asked for.
const PRODUCT: &str = "Linux/UNIX";

/// Rows of the newest prices: each zone of a region is in the first ones.
const NEWEST: i32 = 100;

/// Puts the places in the order of their prices. Those without a known price come last, in the settings' order; without
/// any price nothing changes, for a launch matters more than a cent.
pub(super) async fn first(client: &Client, order: &LaunchOrder, places: Vec<Place>) -> Vec<Place> {
    let call = client
        .describe_spot_price_history()
        .instance_types(InstanceType::from(order.launch.machine_type.as_str()))
        .product_descriptions(PRODUCT)
        .max_results(NEWEST);
    let Ok(answer) = call.send().await else { return places };
    let mut prices: BTreeMap<String, Rate> = BTreeMap::new();
    for row in answer.spot_price_history() {
        let price = row.spot_price().and_then(|price| format!("${price}/h").parse().ok());
        if let Some((zone, price)) = row.availability_zone().zip(price) {
            // The newest stands first.
            prices.entry(zone.to_owned()).or_insert(price);
        }
    }
    by_price(places, &prices)
}

fn by_price(places: Vec<Place>, prices: &BTreeMap<String, Rate>) -> Vec<Place> {
    let price = |place: &Place| place.zone().and_then(|zone| prices.get(zone)).copied();
    let mut ranked: Vec<_> = places.into_iter().map(|place| (price(&place), place)).collect();
    // Stable, so that equals stay as the settings have them.
    ranked.sort_by_key(|(price, _)| (price.is_none(), *price));
    ranked.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_place_is_first_and_an_unknown_price_last() {
        let zone = |zone: &str| Place::Zone(zone.to_owned());
        let prices =
            [("a", 3), ("b", 1), ("c", 3)].map(|(zone, rate)| (zone.to_owned(), Rate::from_micros_per_hour(rate)));
        let prices = BTreeMap::from(prices);
        let places = vec![zone("x"), zone("a"), zone("b"), zone("c")];
        assert_eq!(by_price(places.clone(), &prices), [zone("b"), zone("a"), zone("c"), zone("x")]);
        assert_eq!(by_price(places.clone(), &BTreeMap::new()), places);
        let subnet = |subnet: &str, zone: &str| Place::Subnet(subnet.to_owned(), Some(zone.to_owned()));
        let ranked = by_price(vec![subnet("s-a", "a"), subnet("s-b", "b")], &prices);
        assert_eq!(ranked, [subnet("s-b", "b"), subnet("s-a", "a")], "a subnet is in the zone beside it");
    }
}
