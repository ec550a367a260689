//! Tests of `load` against servers without faults: it must find none.

use std::{fs, io, net::TcpListener, process::Command, thread};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{FRAMECAST, Run, Server};

#[test]
fn every_echo_message_is_answered() {
    let server = Server::start();
    for arguments in [
        &["--connections", "3", "--depth", "5"][..],
        // Messages without room for any digit of their numbers, and with room for only 5.
        &["--connections", "3", "--size", "0"],
        &["--connections", "2", "--size", "5", "--depth", "3"],
        &["--connections", "2", "--size", "65536", "--binary"],
        &["--connections", "3", "--rate", "500"],
    ] {
        Run::of("echo", &server.url("/echo"), arguments).assert_whole();
    }
}

/// Runs a fan-out to 4 subscribers of a server whose process is known.
fn fanout_with_pid() -> Run {
    let server = Server::start();
    let pid = server.child.id().to_string();
    let arguments = ["--subscribers", "4", "--pid", &pid, "--duration", "1s"];
    let run = Run::of("fanout", &server.url("/ws?topic={topic}"), &arguments);
    run.assert_whole();
    assert_eq!(run.count("server.pid").to_string(), pid);
    run
}

#[test]
fn percentiles_of_a_result_increase_from_the_minimum_to_the_maximum() {
    let run = fanout_with_pid();
    let percentiles = ["min", "p50", "p90", "p95", "p99", "p999", "max"];
    for name in ["latency_us", "first_to_last_us"] {
        let values = percentiles.map(|percentile| run.number(&format!("{name}.{percentile}")));
        assert!(values.is_sorted() && values[0] >= 0.0, "{values:?}");
        let mean = run.number(&format!("{name}.mean"));
        assert!(values[0] <= mean && mean <= values[6], "{mean} {values:?}");
    }
    assert!(run.number("latency_us.min") > 0.0);
}

#[test]
fn the_result_has_all_its_fields() {
    let run = fanout_with_pid();
    assert_eq!(run.count("published") * 4, run.count("received"));
    // 4 subscribers and a publisher.
    assert_eq!(run.count("connections.opened"), 5);
    for name in [
        "server.cpu_us_per_message",
        "server.resident_bytes",
        "server.allowed_cores",
        "server.busiest_thread",
    ] {
        assert!(run.number(name) > 0.0, "{name}");
    }
    assert_eq!(run.result["version"], env!("CARGO_PKG_VERSION"));
    // As `2026-01-31T12:00:00Z`.
    assert_eq!(run.result["started"].as_str().unwrap().len(), 20);
    assert_eq!(run.result["command"][2], "fanout");
    assert_eq!(run.result["settings"]["subscribers"], 4);
    assert_eq!(run.result["time_to_open_us"], Value::Null);
    // 64 bytes are the default size.
    let payload = run.number("payload_bytes_per_second");
    assert!((payload / run.number("deliveries_per_second") - 64.0).abs() < 1e-6);
    // The steps of the throughput add up to the deliveries of the measured time.
    let counts = run.result["throughput"]["counts"].as_array().unwrap();
    let counted: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
    let per_second = run.number("deliveries_per_second");
    assert!((counted as f64 / run.number("duration_s") - per_second).abs() < 1.0);
}

#[test]
fn topics_and_publishers_are_spread_over_the_subscribers() {
    let server = Server::start();
    let url = server.url("/ws?topic={topic}");
    // 7 subscribers, and a connection for each stream: as many as the larger of the numbers of
    // publishers and topics.
    for (publishers, topics, connections) in [("1", "3", 7 + 3), ("5", "2", 7 + 5)] {
        let crowd = ["--publishers", publishers, "--topics", topics];
        let pace = ["--rate", "300", "--subscribers", "7"];
        let run = Run::of("fanout", &url, &[crowd, pace].concat());
        run.assert_whole();
        assert_eq!(run.count("connections.opened"), connections);
    }
}

#[test]
fn connections_are_registered_at_the_relay_and_receive_what_is_published_over_http() {
    let server = Server::start();
    let crowd = ["--relay", "--subscribers", "3", "--topics", "2"];
    let run = Run::of("fanout", &server.url(""), &crowd);
    run.assert_whole();
}

#[test]
fn idle_connections_are_held_open_and_counted() {
    let server = Server::start();
    let ramp = ["--connections", "50", "--ramp", "100ms"];
    let run = Run::of("idle", &server.url("/ws"), &ramp);
    run.assert_whole();
    assert_eq!(run.count("received"), 50);
}

#[test]
fn handshakes_are_made_one_after_the_other() {
    let server = Server::start();
    for pace in [&[][..], &["--rate", "200"]] {
        let run = Run::of("handshake", &server.url("/ws"), pace);
        run.assert_whole();
        assert_eq!(run.count("connections.opened"), run.count("received"));
        assert_eq!(run.count("connections.disconnected"), 0);
    }
}

#[test]
fn a_stream_stays_whole_while_other_connections_come_and_go() {
    let server = Server::start();
    // In the second run a churner stays for 1/900 s, so that many leave before they are open.
    for churners in [
        ["--connections", "10", "--rate", "100"],
        ["--connections", "1", "--rate", "900"],
    ] {
        let run = Run::of("churn", &server.url("/ws"), &churners);
        run.assert_whole();
        assert_eq!(run.count("come_and_go.gaps"), 0);
        assert_eq!(run.count("connections.failed"), 0, "{}", run.result);
        assert_eq!(run.count("connections.disconnected"), 0, "{}", run.result);
    }
}

#[test]
fn messages_to_connections_that_come_and_go_are_counted_too() {
    let server = Server::start();
    let churners = ["--connections", "10", "--rate", "20"];
    let run = Run::of("churn", &server.url("/ws"), &churners);
    run.assert_whole();
    assert!(run.count("come_and_go.received") > 0, "{}", run.result);
}

#[test]
fn several_processes_make_one_run() {
    let server = Server::start();
    let crowd = [
        "--workers",
        "3",
        "--subscribers",
        "7",
        "--topics",
        "2",
        "--rate",
        "200",
    ];
    let run = Run::of("fanout", &server.url("/ws"), &crowd);
    run.assert_whole();
    assert_eq!(run.count("generator.processes"), 3);
    // 7 subscribers, and a publisher with a connection for each of 2 topics.
    assert_eq!(run.count("connections.opened"), 7 + 2);
    assert_eq!(
        run.result["first_to_last_us"],
        Value::Null,
        "no process sees all subscribers"
    );
}

#[test]
fn more_connections_than_descriptors_take_more_processes() {
    let server = Server::start();
    let mut command = Command::new("sh");
    let script = r#"ulimit -n 100 && exec "$@""#;
    command.args(["-c", script, "sh", FRAMECAST, "load", "idle", "--url"]);
    command.arg(server.url("/ws"));
    let run = Run::of_command(command, &["--connections", "80"]);
    run.assert_whole();
    assert_eq!(run.count("received"), 80);
    // A process uses 36 of its 100 descriptors for connections, and keeps 64 for other things.
    assert_eq!(run.count("generator.processes"), 3);
}

#[test]
fn the_latencies_and_the_plot_are_written_to_their_files() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (hdr, plot) = (path("a.hgrm"), path("a.svg"));
    let files = ["--hdr", &hdr, "--plot", &plot];
    let arguments = ["--connections", "2", "--duration", "1s"];
    let arguments = [&arguments[..], &files].concat();
    let run = Run::of("echo", &server.url("/echo"), &arguments);
    run.assert_whole();
    let hdr = fs::read_to_string(hdr).unwrap();
    assert!(hdr.contains("Percentile TotalCount 1/(1-Percentile)"));
    assert!(hdr.contains("#[Max     ="));
    let plot = fs::read_to_string(plot).unwrap();
    assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"));
    for text in [
        "latency over percentiles",
        "latency over time",
        "throughput over time",
        ">99<",
        &server.url("/echo"),
        "prefers-color-scheme: dark",
    ] {
        assert!(plot.contains(text), "{text}");
    }
}

#[test]
fn the_plot_tells_if_the_generator_may_have_distorted_the_result() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.svg");
    // Far fewer messages than one core can send, and more than it can.
    for rate in ["20", "1000000"] {
        let arguments = ["--connections", "1", "--duration", "100ms", "--rate", rate];
        let plotted = ["--plot", file.to_str().unwrap()];
        let run = Run::of(
            "echo",
            &server.url("/echo"),
            &[&arguments[..], &plotted].concat(),
        );
        let verdict = run.result["generator"]["verdict"].as_str().unwrap();
        let plot = fs::read_to_string(&file).unwrap();
        let text = format!(">Verdict on the generator: {verdict}. The ");
        assert_eq!(plot.contains(&text), verdict != "fine", "{verdict}: {plot}");
        assert_eq!(plot.contains("Verdict"), verdict != "fine", "{verdict}");
    }
}

#[test]
fn the_plot_of_a_run_without_messages_has_no_throughput() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let plot = folder.path().join("a.svg");
    let arguments = ["--connections", "2", "--plot", plot.to_str().unwrap()];
    Run::of("idle", &server.url("/ws"), &arguments).assert_whole();
    let plot = fs::read_to_string(plot).unwrap();
    assert!(plot.contains("time to open over percentiles") && plot.contains("</svg>"));
    for text in ["latency", "throughput", "memory of the server"] {
        assert!(!plot.contains(text), "{text}");
    }
}

#[test]
fn the_plot_of_idle_connections_has_the_memory_of_a_server_whose_process_is_known() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let plot = folder.path().join("a.svg");
    let pid = server.child.id().to_string();
    let arguments = ["--connections", "20", "--ramp", "300ms", "--pid", &pid];
    let plotted = ["--plot", plot.to_str().unwrap()];
    let run = Run::of(
        "idle",
        &server.url("/ws"),
        &[&arguments[..], &plotted].concat(),
    );
    run.assert_whole();
    let plot = fs::read_to_string(plot).unwrap();
    assert!(plot.contains("memory of the server over time"), "{plot}");
    // Among the keys, and at the end of the area, which has no axis of its own.
    let named = plot
        .matches("class=\"amber\">20 connections</text>")
        .count();
    assert_eq!(named, 2, "{plot}");
    let samples = run.result["server_memory"].as_array().unwrap();
    assert!(samples.len() > 1, "{}", run.result);
    assert_eq!(samples.last().unwrap()["connections"], 20);
}

#[test]
fn the_table_says_which_time_a_figure_is_of_and_marks_each_threshold() {
    let server = Server::start();
    let limits = ["--max-p99", "1h", "--min-ratio", "1"];
    let arguments = ["--connections", "2", "--duration", "1s"];
    let arguments = [&arguments[..], &limits].concat();
    let run = Run::of("echo", &server.url("/echo"), &arguments);
    run.assert_whole();
    for text in [
        format!("  {}\n", server.url("/echo")).as_str(),
        " in the whole run (ratio 1.000000)\n",
        "/s of payload, in the 1.00 s measured\n",
        "p95 ",
        "p99.9 ",
        " min ",
        ", mean ",
        "  ✓ held: p99 ",
        "  ✓ held: 1.000000, at least 1\n",
    ] {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
    let missed = [&["--connections", "2"][..], &["--max-p99", "1ns"]].concat();
    let run = Run::of("echo", &server.url("/echo"), &missed);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stdout.contains("  ✗ missed: the p99 of "),
        "{}",
        run.stdout
    );
    assert_eq!(run.result["thresholds"][0]["is_held"], false);
}

#[test]
fn the_time_to_open_connections_is_no_latency() {
    let server = Server::start();
    for kind in ["idle", "handshake"] {
        let arguments = ["--connections", "3", "--duration", "1s"];
        let run = Run::of(kind, &server.url("/ws"), &arguments);
        run.assert_whole();
        assert_eq!(run.result["latency_us"], Value::Null, "{kind}");
        assert!(run.number("time_to_open_us.p99") > 0.0);
        assert!(run.stdout.contains("  time to open "), "{}", run.stdout);
        assert!(!run.stdout.contains("\n  latency "), "{}", run.stdout);
    }
}

#[test]
fn progress_goes_to_standard_error_in_plain_lines_without_a_terminal() {
    let server = Server::start();
    let run = Run::of("echo", &server.url("/echo"), &["--connections", "2"]);
    assert!(
        run.stderr
            .lines()
            .any(|line| line.starts_with("measuring  ")),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains(['\r', '\u{1b}']), "{:?}", run.stderr);
    assert!(
        run.stdout
            .starts_with("echo: 2 connections of 64 B, 1 in flight on each\n")
    );
}

#[test]
fn a_bare_tcp_server_that_sends_every_byte_back_is_measured_like_a_websocket_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    // The threads end with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    for (kind, arguments) in [
        ("echo", &["--connections", "2", "--depth", "3"][..]),
        ("echo", &["--connections", "2", "--size", "70000"]),
        ("handshake", &["--connections", "2"]),
        ("idle", &["--connections", "2"]),
    ] {
        Run::of(kind, &url, arguments).assert_whole();
    }
    let run = Run::of("fanout", &url, &[]);
    assert_eq!(
        run.error_line(),
        "framecast: the URL must start with ws://: a bare TCP server has no subscribers"
    );
}
