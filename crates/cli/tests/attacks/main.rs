//! Attacks on a server, beside bystanders who must not notice.
//!
//! Every attack starts the server program anew, connects a hundred bystanders, measures them
//! without the attack and with it, and ends the server with SIGTERM. `docs/attacks.md` says what
//! is measured and has the table.

mod arguments;
mod attacks;
mod bystanders;
mod cgroup;
mod crowd;
mod field;
mod figures;
mod marks;
mod masses;
mod record;
mod report;
mod self_check;
mod server;
mod usage;
mod weight;
mod wire;

use std::{
    env, fs,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    arguments::{Arguments, HELP, Says},
    attacks::Attack,
    field::Form,
    record::Age,
    report::Row,
};

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse(env::args().skip(1))?;
    let attacks: Vec<_> = attacks::all()
        .filter(|attack| arguments.wants(attack.name))
        .collect();
    match arguments.only_says {
        Some(Says::Help) => say(HELP.trim_end()),
        Some(Says::Names) => {
            for attack in attacks {
                say(&format!("{}: test", attack.name));
            }
        }
        None => return run(&arguments, &attacks),
    }
    Ok(ExitCode::SUCCESS)
}

fn run(arguments: &Arguments, attacks: &[&'static Attack]) -> Result<ExitCode> {
    raise_descriptor_limit()?;
    if !attacks.is_empty() {
        self_check::the_bystanders_notice_what_is_wrong()?;
    }
    let form = if arguments.is_long {
        Form::LONG
    } else {
        Form::SHORT
    };
    let (mut passed, mut failed) = (0, 0);
    let mut rows: Vec<Row> = Vec::new();
    for &attack in attacks {
        let record = match record::attack(attack, &arguments.server, Age::Now, form) {
            Ok(record) => record,
            Err(error) => {
                failed += 1;
                say(&format!("FAILED {}\n       {error:#}", attack.name));
                continue;
            }
        };
        let has_passed = record.broken.is_empty() && (!form.is_long || record.slow.is_empty());
        *if has_passed { &mut passed } else { &mut failed } += 1;
        let verdict = if has_passed { "ok" } else { "FAILED" };
        say(&report::line(verdict, attack, &record, form));
        let before = match &arguments.before {
            Some(program) => Some(record::attack(attack, program, Age::Before, form)?),
            None => None,
        };
        if let Some(before) = &before {
            let verdict = if before.has_hurt() { "before" } else { "guard" };
            say(&report::line(verdict, attack, before, form));
        }
        rows.push((attack, record, before));
    }
    if let Some(file) = &arguments.markdown {
        let old = fs::read_to_string(file).unwrap_or_default();
        let text = report::markdown(&old, &rows, form, &arguments.command());
        fs::write(file, text)?;
    }
    say(&format!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn say(line: &str) {
    // Nobody listens: that is no reason to stop.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Thousands of attackers take a descriptor each.
fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(())
}
