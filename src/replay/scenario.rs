//! Another cloud than the one that is assumed: a file in which every figure of it may stand.

use serde::Deserialize;

use super::model::{Class, CloudModel, Fault, Spot};
use super::trace::Millis;
use crate::model::money::Rate;
use crate::world::sim::scenario::Spread;

/// Why a scenario's file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    #[error("{0}")]
    Text(String),
    #[error("{name} is {value}: it must be {must}")]
    Value { name: String, value: String, must: &'static str },
}

/// A scenario as it is written; what is left out is as [`CloudModel::default`] has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(rename = "class")]
    classes: Option<Vec<WrittenClass>>,
    call_s: Option<f64>,
    poll_s: Option<f64>,
    settle_s: Option<f64>,
    report_s: Option<f64>,
    /// The server lists a worker for so long after its machine ended.
    lingers_s: Option<f64>,
    least_billed_s: Option<f64>,
    checkpoint_s: Option<f64>,
    boot: WrittenBoot,
    stopped: WrittenStopped,
    spot: Option<WrittenSpot>,
    fault: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClass {
    #[serde(rename = "type")]
    machine_type: String,
    gpus: u32,
    vcpu: u32,
    price: String,
    cap: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenBoot {
    pending: Option<WrittenSpread>,
    system: Option<WrittenSpread>,
    install: Option<WrittenSpread>,
    system_again: Option<WrittenSpread>,
    agent_again: Option<WrittenSpread>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSpread {
    median_s: f64,
    sigma: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenStopped {
    most: Option<u32>,
    price: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSpot {
    price_percent: u32,
    hazard_per_hour: f64,
    #[serde(default)]
    mixed: bool,
}

/// The longest time that a scenario may name, in seconds.
const LONGEST: f64 = 86_400.0;

impl CloudModel {
    /// Reads a scenario from TOML.
    ///
    /// # Errors
    /// It is no TOML, names what does not exist, or a figure is out of its range.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let written: Written = toml::from_str(text).map_err(|error| ScenarioError::Text(error.to_string()))?;
        let mut cloud = Self::default();
        if let Some(classes) = written.classes {
            cloud.classes = classes.into_iter().map(class).collect::<Result<_, _>>()?;
            cloud.classes.sort_by_key(|class| class.gpus);
            if cloud.classes.is_empty() {
                return Err(wrong("class", "[]", "one or more"));
            }
        }
        for (place, name, seconds, least) in [
            (&mut cloud.call, "call_s", written.call_s, 0.0),
            (&mut cloud.poll, "poll_s", written.poll_s, 0.001),
            (&mut cloud.settle, "settle_s", written.settle_s, 0.0),
            (&mut cloud.report, "report_s", written.report_s, 0.001),
            (&mut cloud.lingers, "lingers_s", written.lingers_s, 0.0),
            (&mut cloud.least_billed, "least_billed_s", written.least_billed_s, 0.0),
            (&mut cloud.checkpoint, "checkpoint_s", written.checkpoint_s, 0.001),
        ] {
            if let Some(seconds) = seconds {
                *place = time(name, seconds, least)?;
            }
        }
        let boot = written.boot;
        for (place, name, written) in [
            (&mut cloud.pending, "boot.pending", boot.pending),
            (&mut cloud.system, "boot.system", boot.system),
            (&mut cloud.install, "boot.install", boot.install),
            (&mut cloud.system_again, "boot.system_again", boot.system_again),
            (&mut cloud.agent_again, "boot.agent_again", boot.agent_again),
        ] {
            if let Some(written) = written {
                *place = spread(name, written)?;
            }
        }
        cloud.stopped = written.stopped.most.unwrap_or(cloud.stopped);
        if let Some(price) = written.stopped.price {
            cloud.off_rate = rate("stopped.price", &price)?;
        }
        cloud.spot = written.spot.map(|spot| read_spot(&spot)).transpose()?;
        cloud.fault = written.fault.as_deref().map(fault).transpose()?;
        Ok(cloud)
    }
}

fn wrong(name: &str, value: impl std::fmt::Display, must: &'static str) -> ScenarioError {
    ScenarioError::Value { name: name.to_owned(), value: value.to_string(), must }
}

fn rate(name: &str, text: &str) -> Result<Rate, ScenarioError> {
    text.parse().map_err(|_| wrong(name, text, "a price such as `$1.25/h`"))
}

fn class(written: WrittenClass) -> Result<Class, ScenarioError> {
    let WrittenClass { machine_type, gpus, vcpu, price, cap } = written;
    let name = format!("the price of {machine_type}");
    let price = rate(&name, &price)?;
    if price <= Rate::ZERO {
        return Err(wrong(&name, price, "more than nothing"));
    }
    if cap == 0 || gpus == 0 {
        return Err(wrong(&format!("the cap or the GPUs of {machine_type}"), 0, "one or more"));
    }
    Ok(Class { machine_type, gpus, vcpu, rate: price, cap })
}

fn read_spot(written: &WrittenSpot) -> Result<Spot, ScenarioError> {
    let WrittenSpot { price_percent, hazard_per_hour, mixed } = *written;
    if !(1..=100).contains(&price_percent) {
        return Err(wrong("spot.price_percent", price_percent, "1 to 100"));
    }
    if !(0.0..=3_600.0).contains(&hazard_per_hour) {
        return Err(wrong("spot.hazard_per_hour", hazard_per_hour, "0 to 3600"));
    }
    Ok(Spot { price_percent, hazard: hazard_per_hour, mixed })
}

fn fault(word: &str) -> Result<Fault, ScenarioError> {
    let found = Fault::ALL.into_iter().find(|fault| fault.word() == word);
    found.ok_or_else(|| wrong("fault", word, "one of zombie, idle-kill, no-register, capacity, two-pools, restart"))
}

fn spread(name: &str, written: WrittenSpread) -> Result<Spread, ScenarioError> {
    if !(0.0..=3.0).contains(&written.sigma) {
        return Err(wrong(&format!("{name}.sigma"), written.sigma, "0 to 3"));
    }
    Ok(Spread::new(time(&format!("{name}.median_s"), written.median_s, 0.001)?, written.sigma))
}

#[expect(clippy::cast_possible_truncation, reason = "a day at most")]
fn time(name: &str, seconds: f64, least: f64) -> Result<Millis, ScenarioError> {
    if (least..=LONGEST).contains(&seconds) {
        return Ok((seconds * 1_000.0).round() as Millis);
    }
    Err(wrong(name, seconds, "a time in seconds, a day at most and no less than a millisecond where it repeats"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_may_be_another_and_what_is_left_out_stands() {
        let text = "call_s = 2\npoll_s = 10\ncheckpoint_s = 600\nfault = \"capacity\"\n\
            [boot]\ninstall = { median_s = 20, sigma = 0.1 }\n[stopped]\nmost = 3\nprice = \"$0.02/h\"\n\
            [spot]\nprice_percent = 30\nhazard_per_hour = 0.3\n\
            [[class]]\ntype = \"large\"\ngpus = 8\nvcpu = 96\nprice = \"$20/h\"\ncap = 3\n\
            [[class]]\ntype = \"small\"\ngpus = 1\nvcpu = 4\nprice = \"$1/h\"\ncap = 9\n";
        let cloud = CloudModel::parse(text).unwrap();
        let standard = CloudModel::default();
        assert_eq!((cloud.call, cloud.poll, cloud.checkpoint, cloud.stopped), (2_000, 10_000, 600_000, 3));
        assert_eq!(cloud.fault, Some(Fault::Capacity));
        assert_eq!((cloud.install.clone(), cloud.system.clone()), (Spread::new(20_000, 0.1), standard.system.clone()));
        assert_eq!(
            cloud.classes.iter().map(|class| class.machine_type.as_str()).collect::<Vec<_>>(),
            ["small", "large"]
        );
        assert_eq!(cloud.spot, Some(Spot { price_percent: 30, hazard: 0.3, mixed: false }));
        assert_eq!(CloudModel::parse("").unwrap(), standard);
    }

    #[test]
    fn what_cannot_be_is_said_with_its_place() {
        for (text, said) in [
            ("poll_s = -1", "poll_s is -1: it must be a time in seconds"),
            ("poll_s = 0", "poll_s is 0"),
            ("call = 2", "unknown field `call`"),
            ("\nfault = \"flood\"", "fault is flood: it must be one of zombie"),
            ("[spot]\nprice_percent = 0\nhazard_per_hour = 1", "spot.price_percent is 0"),
            ("[boot]\npending = { median_s = 12, sigma = 9 }", "boot.pending.sigma is 9"),
            ("[[class]]\ntype = \"x\"\ngpus = 1\nvcpu = 1\nprice = \"$0/h\"\ncap = 1", "the price of x is $0"),
            ("class = []", "class is []: it must be one or more"),
            ("poll_s = ", "TOML parse error at line 1"),
        ] {
            let error = CloudModel::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
