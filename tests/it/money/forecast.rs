//! Whether a budget is crossed when it was said to be: on simulated weeks of work that comes by day and by fits.

#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::manual_midpoint,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_range_loop,
    reason = "statistics on hours of a few weeks"
)]

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidegate::model::likely::{Likely, Past};
use tidegate::model::money::{Money, Rate};

const WEEKS: usize = 200;
/// Known before the forecast.
const PAST: usize = 14 * 24;
const WEEK: usize = 7 * 24;

/// What machines cost in each hour, in micro-dollars: jobs by the hour of the day, fewer at the weekend, now and then many
/// at once; each keeps a machine for as long as it runs, a boot and an idle tail.
fn spent_by_hour(dice: &mut ChaCha8Rng) -> Vec<f64> {
    let hours = PAST + WEEK;
    let mut spent = vec![0.0; hours];
    for hour in 0..hours {
        let day = (hour / 24) % 7;
        let by_day = if (9..19).contains(&(hour % 24)) { 1.5 } else { 0.4 };
        let by_week = if day >= 5 { 0.4 } else { 1.0 };
        let fit = if dice.random::<f64>() < 0.02 { 8.0 } else { 1.0 };
        let expected: f64 = by_day * by_week * fit;
        let jobs = (0..40).filter(|_| dice.random::<f64>() < expected / 40.0).count();
        for _ in 0..jobs {
            let long = -(1.0 - dice.random::<f64>()).ln() * 2.5 + 0.25;
            let begins = hour as f64 + dice.random::<f64>();
            let ends = begins + long;
            for place in hour..hours.min(ends.ceil() as usize) {
                let within = ends.min(place as f64 + 1.0) - begins.max(place as f64);
                spent[place] += within.max(0.0) * 1_006_000.0;
            }
        }
    }
    spent
}

fn sum(hours: &[f64]) -> f64 {
    hours.iter().sum()
}

/// When the limit is really reached, in hours of the week.
fn crossing(week: &[f64], limit: f64) -> Option<f64> {
    let mut spent = 0.0;
    for (hour, more) in week.iter().enumerate() {
        if spent + more >= limit {
            return Some(hour as f64 + (limit - spent) / more);
        }
        spent += more;
    }
    None
}

fn likely(past: &[f64], week: &[f64], known: usize, limit: f64) -> (Likely, Timestamp) {
    let now = Timestamp::from_second(1_793_577_600).unwrap();
    let money = |micros: f64| Money::from_micros(micros as i64);
    let by_hour: Vec<Money> = past.iter().chain(&week[..known]).map(|micros| money(*micros)).collect();
    let rate = Rate::from_micros_per_hour(week[known - 1] as i64);
    let period_end = now + SignedDuration::from_hours((week.len() - known) as i64);
    let (spent, limit) = (money(sum(&week[..known])), money(limit));
    (Past { by_hour: &by_hour, leaving: &[], spent, rate, limit, now, period_end }.likely(), now)
}

#[test]
fn the_real_crossing_lies_within_the_forecast_in_eight_of_ten_weeks() {
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let (mut asked, mut inside, mut errors) = (0, 0, Vec::new());
    for _ in 0..WEEKS {
        let hours = spent_by_hour(&mut dice);
        let (past, week) = hours.split_at(PAST);
        let limit = sum(past) / 2.0 * (0.6 + 0.5 * dice.random::<f64>());
        let known = 12 + (dice.random::<f64>() * 60.0) as usize;
        if sum(&week[..known]) >= limit {
            continue;
        }
        let (likely, now) = likely(past, week, known, limit);
        let hours_on =
            |at: Option<Timestamp>| at.map_or(f64::INFINITY, |at| at.duration_since(now).as_secs_f64() / 3_600.0);
        let real = crossing(week, limit).map_or(f64::INFINITY, |at| at - known as f64);
        let (earliest, latest) = (hours_on(likely.earliest), hours_on(likely.latest));
        asked += 1;
        inside += usize::from(earliest <= real && real <= latest);
        if real.is_finite() && earliest.is_finite() && latest.is_finite() {
            errors.push((real - (earliest + latest) / 2.0).abs());
        }
    }
    errors.sort_by(f64::total_cmp);
    let share = inside as f64 / f64::from(asked);
    println!(
        "{inside} of {asked} crossings within the forecast; median error of its middle {:.1} h",
        errors[errors.len() / 2]
    );
    assert!(asked > 150 && share >= 0.8, "{inside} of {asked}");
    assert!(errors.len() > 60 && errors[errors.len() / 2] < 12.0, "{errors:?}");
}
