//! Attacks on a server, next to well-behaved clients ("bystanders") that must not notice them.
//!
//! For every attack this program starts a new server process, connects a hundred bystanders,
//! measures their latency without the attack and under it, and ends the server with SIGTERM.
//! `docs/attacks.md` explains the measurements and has the tables.

mod arguments;
mod attack_run;
mod attacks;
mod bystanders;
mod cgroup;
mod crowd;
mod figures;
mod masses;
mod memory_use;
mod record;
mod report;
mod self_check;
mod server;
mod timeline;
mod usage;
mod wire;

use std::{
    env, fs,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    arguments::{Arguments, HELP, Printout},
    attack_run::Form,
    attacks::Attack,
    record::ServerVersion,
    report::Row,
};

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse(env::args().skip(1))?;
    let attacks: Vec<_> = attacks::all()
        .filter(|attack| arguments.wants(attack.name))
        .collect();
    match arguments.only_prints {
        Some(Printout::Help) => print_line(HELP.trim_end()),
        Some(Printout::Names) => {
            for attack in attacks {
                print_line(&format!("{}: test", attack.name));
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
        let record = match record::attack(attack, &arguments.server, ServerVersion::Current, form) {
            Ok(record) => record,
            Err(error) => {
                failed += 1;
                print_line(&format!("FAILED {}\n       {error:#}", attack.name));
                continue;
            }
        };
        let has_passed = record.broken.is_empty() && (!form.is_long || record.slow.is_empty());
        *if has_passed { &mut passed } else { &mut failed } += 1;
        let verdict = if has_passed { "ok" } else { "FAILED" };
        print_line(&report::line(verdict, attack, &record, form));
        let before = match &arguments.before {
            Some(program) => Some(record::attack(attack, program, ServerVersion::Older, form)?),
            None => None,
        };
        if let Some(before) = &before {
            // A guard is an attack that did no harm to the older server, either.
            let verdict = if before.did_harm() { "before" } else { "guard" };
            print_line(&report::line(verdict, attack, before, form));
        }
        rows.push((attack, record, before));
    }
    if let Some(file) = &arguments.markdown {
        let old = fs::read_to_string(file).unwrap_or_default();
        let text = report::markdown(&old, &rows, form, &arguments.command());
        fs::write(file, text)?;
    }
    print_line(&format!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_line(line: &str) {
    // A closed standard output is no reason to stop.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Raises the limit on open descriptors to its maximum: thousands of attackers need one each.
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
