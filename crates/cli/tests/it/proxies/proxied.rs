//! A server with a proxy in front of it that has the settings of `docs/proxies.md`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
};

use framecast_test_support::{Answer, Client, handshake_with, program::Program, tools::Tool};
use tempfile::TempDir;

use crate::process::Process;

pub(crate) const PROXIES: &str = include_str!("../../../../../docs/proxies.md");

/// The header that a browser adds to a handshake of a page of the public URL.
const OWN_ORIGIN: &str = "Origin: https://app.example\r\n";

/// The settings of nginx around those of the page, which are for a file that Debian's `nginx.conf`
/// includes.
const NGINX: &str = "\
daemon off;
pid nginx.pid;
error_log stderr notice;
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include framecast.conf;
}
";

/// The options of Caddy before the settings of the page: no certificates, and no other listener.
const CADDY: &str = "\
{
	admin off
	auto_https off
}
";

/// A program that is a proxy, with the settings that the page has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
}

impl Kind {
    fn tool(self) -> Tool {
        match self {
            Self::Nginx => Tool::Nginx,
            Self::Caddy => Tool::Caddy,
        }
    }

    /// Returns the settings of the page.
    pub(crate) fn settings(self) -> &'static str {
        let fence = match self {
            Self::Nginx => "```nginx\n",
            Self::Caddy => "```caddyfile\n",
        };
        let (_, rest) = PROXIES.split_once(fence).expect("a block of settings");
        rest.split("```").next().unwrap_or_default()
    }

    /// Returns a free address. It is unlikely that another program uses this loopback address.
    fn free_address(self) -> SocketAddr {
        let last = match self {
            Self::Nginx => 1,
            Self::Caddy => 2,
        };
        let address = IpAddr::from(Ipv4Addr::new(127, 0, 80, last));
        let listener = TcpListener::bind((address, 0)).unwrap();
        listener.local_addr().unwrap()
    }

    /// Writes `settings` into `folder`, for a proxy at the address `own`. Returns the command that
    /// runs the proxy.
    fn command(self, folder: &TempDir, own: SocketAddr, settings: &str) -> Command {
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let mut command = Command::new(self.tool().command());
        command.current_dir(folder.path());
        match self {
            Self::Nginx => {
                let settings = replaced(settings, "listen 80;", &format!("listen {own};"));
                let settings = replaced(&settings, "listen [::]:80;\n", "\n");
                write("framecast.conf", &settings);
                write("nginx.conf", NGINX);
                command.arg("-p").arg(folder.path());
                command.args(["-c", "nginx.conf", "-e", "stderr"]);
            }
            Self::Caddy => {
                let (ip, port) = (own.ip(), own.port());
                let site = format!("http://app.example:{port} {{\n\tbind {ip}\n");
                let settings = replaced(settings, "app.example {\n", &site);
                write("Caddyfile", &format!("{CADDY}{settings}"));
                command.args(["run", "--config", "Caddyfile"]);
                for folder_of in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                    command.env(folder_of, folder.path());
                }
            }
        }
        command
    }
}

/// Returns `text` with `new` in place of `old`, which it must have once.
pub(crate) fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} in {text}");
    text.replace(old, new)
}

/// A proxy with a server behind it. The proxy ends first.
pub(crate) struct Proxied {
    pub(crate) proxy: Program,
    pub(crate) address: SocketAddr,
    pub(crate) server: Process,
    _folder: TempDir,
}

impl Proxied {
    /// Starts a server with `options`, and a proxy in front of it with the settings of the page.
    /// Returns `None` if the test is to be skipped.
    #[track_caller]
    pub(crate) fn start(kind: Kind, options: &[&str]) -> Option<Self> {
        Self::with_settings(kind, options, kind.settings())
    }

    /// Starts a server with `options`, and a proxy in front of it with changed settings.
    #[track_caller]
    pub(crate) fn with_settings(kind: Kind, options: &[&str], settings: &str) -> Option<Self> {
        if !kind.tool().is_here() {
            return None;
        }
        let server = Process::serve(options);
        let (folder, address) = (tempfile::tempdir().unwrap(), kind.free_address());
        let settings = replaced(settings, "127.0.0.1:8080", &server.address.to_string());
        let proxy = Program::start(&mut kind.command(&folder, address, &settings));
        let begun = match kind {
            Kind::Nginx => "start worker process ",
            Kind::Caddy => "serving initial configuration",
        };
        proxy.reported(begun, |line| line.contains(begun).then_some(()));
        Some(Self {
            proxy,
            address,
            server,
            _folder: folder,
        })
    }

    /// Sends a request to the proxy, as a browser does that looks for `app.example`.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(self.address, "app.example", method, path, body)
    }

    /// Posts to the server itself, as an application on its machine does. Returns the body of the
    /// response.
    #[track_caller]
    pub(crate) fn post_inside(&self, path: &str, body: &str) -> String {
        let answer = ask(self.server.address, "127.0.0.1:8080", "POST", path, body);
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
        answer.body
    }

    /// Sends a handshake to the proxy, with additional headers. Returns the client, and the
    /// response if that is no 101.
    pub(crate) fn handshake(&self, path: &str, headers: &str) -> (Client, Option<Answer>) {
        let mut client = Client::dial(self.address);
        let request = handshake_with(path, headers).replace("a.localhost", "app.example");
        client.send(request.as_bytes());
        let answer = client.read_answer();
        let is_open = answer.status == 101;
        (client, (!is_open).then_some(answer))
    }

    #[track_caller]
    pub(crate) fn connect(&self, path: &str) -> Client {
        let (client, refusal) = self.handshake(path, OWN_ORIGIN);
        assert!(refusal.is_none(), "{path}: {refusal:?}");
        client
    }

    /// Returns the status with which the proxy answers a handshake, and the body.
    #[track_caller]
    pub(crate) fn refusal(&self, path: &str, headers: &str) -> (u16, String) {
        let (_, refusal) = self.handshake(path, headers);
        let answer = refusal.unwrap_or_else(|| panic!("{path} is open"));
        (answer.status, answer.body)
    }

    /// Registers a connection at the server itself. Returns its path at the proxy.
    pub(crate) fn register(&self) -> String {
        let answer = self.post_inside("/register", r#"{"user_id": 1, "topics": ["cats"]}"#);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let path = answer["url"].as_str().unwrap();
        let path = path.strip_prefix("wss://app.example").expect("its URL");
        path.to_owned()
    }
}

/// Sends a request on a connection of its own. Returns the response.
pub(crate) fn ask(address: SocketAddr, host: &str, method: &str, path: &str, body: &str) -> Answer {
    let mut client = Client::dial(address);
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n");
    client.send(format!("{head}\r\n{body}").as_bytes());
    client.read_answer()
}
