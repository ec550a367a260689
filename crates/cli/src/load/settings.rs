//! The settings of a run in its JSON: the command, and the values of all options.
//!
//! Pure.

use std::ffi::OsString;

use framecast_load::plan::{self, MessageFormat, Pace, Protocol};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::load::Outcome;

/// The settings that all scenarios have, and those of the scenario by the names of its options.
#[derive(Debug, Serialize)]
pub(super) struct Settings {
    /// Times in seconds.
    duration_s: f64,
    warm_up_s: f64,
    ramp_s: f64,
    processes: usize,
    pid: Option<u32>,
    abort: bool,
    skip: u32,
    /// The names of the added headers. Their values may be secrets.
    headers: Vec<String>,
    #[serde(flatten)]
    scenario: Map<String, Value>,
}

impl Settings {
    pub(super) fn of(outcome: &Outcome<'_>) -> Self {
        let plan = outcome.plan;
        let lines = plan.target.headers.iter();
        let names = lines.map(|line| line.split(':').next().unwrap_or_default().to_owned());
        Self {
            duration_s: plan.duration.as_secs_f64(),
            warm_up_s: plan.warm_up.as_secs_f64(),
            ramp_s: plan.ramp.as_secs_f64(),
            processes: outcome.processes,
            pid: outcome.scenario.common.pid,
            abort: plan.target.aborts,
            skip: plan.target.greetings,
            headers: names.collect(),
            scenario: scenario(&plan.scenario),
        }
    }
}

fn scenario(scenario: &plan::Scenario) -> Map<String, Value> {
    let mut settings = Map::new();
    match scenario {
        plan::Scenario::Churn(churn) => {
            set(&mut settings, "connections", json!(churn.churners));
            set(&mut settings, "rate", json!(churn.per_second));
            fanout(&churn.fanout, "publish_rate", &mut settings);
        }
        plan::Scenario::Echo(echo) => {
            set(&mut settings, "connections", json!(echo.connections));
            pace(echo.pace, ["depth", "rate"], &mut settings);
            format(echo.format, &mut settings);
        }
        plan::Scenario::Fanout(plan) => fanout(plan, "rate", &mut settings),
        plan::Scenario::Handshake(handshake) => {
            set(&mut settings, "connections", json!(handshake.connections));
            set(&mut settings, "rate", json!(handshake.per_second));
        }
        plan::Scenario::Idle(idle) => {
            set(&mut settings, "connections", json!(idle.connections));
        }
    }
    settings
}

fn set(settings: &mut Map<String, Value>, name: &str, value: Value) {
    settings.insert(name.to_owned(), value);
}

fn fanout(fanout: &plan::Fanout, rate: &str, settings: &mut Map<String, Value>) {
    set(settings, "subscribers", json!(fanout.subscribers));
    set(settings, "publishers", json!(fanout.publishers));
    set(settings, "topics", json!(fanout.topics));
    match &fanout.protocol {
        Protocol::Relay(_) => set(settings, "relay", json!(true)),
        Protocol::Template(template) => {
            set(settings, "subscribe", json!(template.subscribe));
            set(settings, "subscribed", json!(template.subscribed));
            set(settings, "publish", json!(template.publish));
        }
    }
    pace(fanout.pace, ["in_flight", rate], settings);
    format(fanout.format, settings);
}

fn pace(pace: Pace, [in_flight, rate]: [&str; 2], settings: &mut Map<String, Value>) {
    match pace {
        Pace::InFlight(count) => set(settings, in_flight, json!(count)),
        Pace::PerSecond(per_second) => set(settings, rate, json!(per_second)),
    }
}

fn format(format: MessageFormat, settings: &mut Map<String, Value>) {
    set(settings, "size", json!(format.size));
    set(settings, "binary", json!(format.is_binary));
}

/// Returns the words of the command line, without the values of headers: they may be secrets, and a
/// result is shown to others.
pub(super) fn command(words: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let mut is_header = false;
    let words = words.into_iter().map(|word| {
        let word = word.to_string_lossy().into_owned();
        let shown = match word.strip_prefix("--header=") {
            Some(line) => format!("--header={}", without_value(line)),
            None if is_header => without_value(&word),
            None => word.clone(),
        };
        is_header = word == "--header";
        shown
    });
    words.collect()
}

/// Returns the header `line` with dots in place of its value.
fn without_value(line: &str) -> String {
    let (name, _) = line.split_once(':').unwrap_or((line, ""));
    format!("{name}: ...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_no_secrets() {
        let words = [
            "f",
            "--header",
            "Cookie: a=b",
            "--header=X: y",
            "--pid",
            "1:2",
        ];
        assert_eq!(
            command(words.map(OsString::from)),
            [
                "f",
                "--header",
                "Cookie: ...",
                "--header=X: ...",
                "--pid",
                "1:2"
            ]
        );
    }

    #[test]
    fn the_settings_have_the_names_of_the_options() {
        let echo = plan::Scenario::Echo(plan::Echo {
            connections: 3,
            format: MessageFormat {
                size: 64,
                is_binary: true,
            },
            pace: Pace::PerSecond(50.0),
        });
        let expected = json!({"connections": 3, "rate": 50.0, "size": 64, "binary": true});
        assert_eq!(Value::Object(scenario(&echo)), expected);
    }
}
