//! Tools of the machine that some tests need: programs of other projects, each in a version that is
//! new enough.
//!
//! A test whose tool is missing or too old fails, and says what to install. The variable
//! `FRAMECAST_SKIP` names tools, as in `node,strace`: the tests that need one of them are skipped.
//! So are those of nginx and Caddy on a machine without them, because Debian starts both as
//! services when they are installed. [`skipped`] keeps the list of skipped tests.

use std::{env, fmt::Write as _, io, panic::Location, process::Command};

use crate::skipped;

/// A tool that some tests need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all")]
pub enum Tool {
    /// The proxy whose settings `docs/proxies.md` has besides those of nginx.
    Caddy,
    /// The browser that uses the server's page.
    Chromium,
    /// The HTTP client of the README.
    Curl,
    /// The proxy whose settings `docs/proxies.md` has first.
    Nginx,
    /// JavaScript outside the browser, with npm for its packages.
    Node,
    /// Python, with the means to make virtual environments.
    Python,
    /// The program that counts system calls, and makes them fail.
    Strace,
}

/// A version: its first two numbers.
type Version = (u32, u32);

/// The name of the variable that names the tools whose tests are skipped.
const VARIABLE: &str = "FRAMECAST_SKIP";

impl Tool {
    /// All tools, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::Caddy,
        Self::Chromium,
        Self::Curl,
        Self::Nginx,
        Self::Node,
        Self::Python,
        Self::Strace,
    ];

    /// Returns the name of the tool in `FRAMECAST_SKIP`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caddy => "caddy",
            Self::Chromium => "chromium",
            Self::Curl => "curl",
            Self::Nginx => "nginx",
            Self::Node => "node",
            Self::Python => "python",
            Self::Strace => "strace",
        }
    }

    /// Returns the commands of which the machine must have one.
    fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Caddy => &["caddy"],
            Self::Chromium => &["chromium", "chromium-browser", "google-chrome"],
            Self::Curl => &["curl"],
            // Debian has it in a folder that is not in the `PATH` of every user.
            Self::Nginx => &["nginx", "/usr/sbin/nginx"],
            // npm runs on Node. If the machine's Node is too old, npm installs another one.
            Self::Node => &["npm"],
            Self::Python => &["python3"],
            Self::Strace => &["strace"],
        }
    }

    /// Returns the oldest version that will do.
    fn oldest(self) -> Version {
        match self {
            // Debian's, with which the settings were tried.
            Self::Caddy => (2, 6),
            // `<details name>`, which the page has.
            Self::Chromium => (120, 0),
            // `fail-with-body`, with which the README's commands are tested.
            Self::Curl => (7, 76),
            // `-e`, the place of the log until the settings are read.
            Self::Nginx => (1, 20),
            // `--prefix` together with `--no-save`.
            Self::Node => (7, 0),
            // The package `websockets`.
            Self::Python => (3, 10),
            // The name of `epoll_pwait2`.
            Self::Strace => (5, 11),
        }
    }

    /// Returns the argument for which a command of the tool prints its version.
    fn version_argument(self) -> &'static str {
        match self {
            Self::Caddy => "version",
            Self::Nginx => "-v",
            Self::Chromium | Self::Curl | Self::Node | Self::Python | Self::Strace => "--version",
        }
    }

    /// Returns the names of the Debian packages that have the tool.
    pub fn packages(self) -> &'static str {
        match self {
            Self::Caddy => "caddy",
            Self::Chromium => "chromium",
            Self::Curl => "curl",
            Self::Nginx => "nginx",
            Self::Node => "nodejs npm",
            Self::Python => "python3-venv",
            Self::Strace => "strace",
        }
    }

    /// Returns true if the tests of the tool are skipped on a machine that does not have it.
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Caddy | Self::Nginx)
    }

    /// Returns true if the machine has the tool, so that the running test can go on. Returns false
    /// if `FRAMECAST_SKIP` names the tool, or if an [optional](Self::is_optional) tool is missing or
    /// too old: then the test must end, and is listed as skipped. Panics if another tool is missing
    /// or too old, or if `FRAMECAST_SKIP` names an unknown tool.
    #[must_use]
    #[track_caller]
    pub fn is_here(self) -> bool {
        let names = env::var(VARIABLE).unwrap_or_default();
        let skipped = parse(&names).unwrap_or_else(|error| panic!("{error}"));
        if !skipped.contains(&self) {
            match self.find() {
                Ok(_) => return true,
                Err(reason) if !self.is_optional() => self.fail(&reason),
                Err(_) => {}
            }
        }
        skipped::note(self, Location::caller());
        false
    }

    /// Returns the command of the tool. Panics if [`Self::is_here`] would.
    #[track_caller]
    pub fn command(self) -> String {
        self.find().unwrap_or_else(|reason| self.fail(&reason))
    }

    /// Panics with the reason why a test can't use the tool, and says how to install the tool and
    /// how to skip the test.
    #[track_caller]
    pub fn fail(self, reason: &str) -> ! {
        let (name, packages) = (self.name(), self.packages());
        panic!(
            "{name} can't be used: {reason}\n\
             Install it (on Debian: apt-get install {packages}), or skip the tests that need it \
             ({VARIABLE}={name})."
        )
    }

    /// Looks for a command of the tool that is new enough. Returns the command, or the reason if
    /// there is none.
    fn find(self) -> Result<String, String> {
        let chosen = env::var("CHROMIUM").ok();
        let chosen = chosen.filter(|_| self == Self::Chromium);
        let commands = chosen
            .as_deref()
            .into_iter()
            .chain(self.commands().iter().copied());
        let (major, minor) = self.oldest();
        let mut reason = String::new();
        for command in commands {
            let why_not = match version_of(command, self.version_argument()) {
                Ok(found) if version(&found).is_some_and(|version| self.oldest() <= version) => {
                    return Ok(command.to_owned());
                }
                Ok(found) => format!("{command} is `{found}`, which is too old"),
                Err(error) => error,
            };
            let _ = write!(reason, "{why_not}; ");
        }
        Err(format!(
            "{reason}version {major}.{minor} or newer is needed"
        ))
    }
}

/// Returns the tools that the text of `FRAMECAST_SKIP` names: names with commas between them.
///
/// # Errors
///
/// The text names an unknown tool.
pub fn parse(names: &str) -> Result<Vec<Tool>, String> {
    let names = names.split(',').map(str::trim);
    let named = names.filter(|name| !name.is_empty()).map(|name| {
        let tool = Tool::ALL.into_iter().find(|tool| tool.name() == name);
        tool.ok_or_else(|| {
            let known = Tool::ALL.map(Tool::name).join(", ");
            format!("{VARIABLE} names `{name}`, and tests need only {known}")
        })
    });
    named.collect()
}

/// Returns the first line that a command prints for the argument that asks for its version, or the
/// reason why there is none.
fn version_of(command: &str, argument: &str) -> Result<String, String> {
    let output = Command::new(command).arg(argument).output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {command}"),
        _ => format!("{command} can't be run ({error})"),
    })?;
    // nginx prints its version on standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    match text.lines().next() {
        Some(line) if output.status.success() => Ok(line.to_owned()),
        _ => Err(format!("`{command} {argument}` fails ({})", output.status)),
    }
}

/// Returns the version in a line that a program prints for `--version`: the first word that begins
/// with two numbers, such as `v18.20.4` or `nginx/1.22.1`.
pub fn version(line: &str) -> Option<Version> {
    line.split_whitespace().find_map(|word| {
        let number = word.strip_prefix("nginx/").unwrap_or(word);
        let mut numbers = number.strip_prefix('v').unwrap_or(number).split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?;
        let digits = minor.find(|c: char| !c.is_ascii_digit());
        let minor = minor[..digits.unwrap_or(minor.len())].parse().ok()?;
        Some((major, minor))
    })
}
