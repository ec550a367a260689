//! The end of the help of `framecast load`: the words of a result, and the exit statuses.

/// The end of the help of each scenario.
pub(super) const SEE: &str =
    "framecast load --help explains the words of the result and the exit statuses";

/// The end of the help of `framecast load`.
pub(super) const AFTER: &str = "\
Words of the result:
  closed loop    so many messages are in flight (--depth, --in-flight), and the
                 next one is sent when one has arrived: the server sets the pace
  open loop      so many messages are sent in a second (--rate), whether or not
                 earlier ones have arrived: a slow server falls behind
  latency        from the time at which a message was scheduled to be sent to its
                 arrival. The time to open a connection never counts in it
  time to open   from the scheduled connect to the end of the opening handshake
  p50, p99, ...  the time that 50 % or 99 % of all messages did not exceed
  ratio          messages that have arrived, divided by those expected
  gap            a message that has not arrived although a later one has
  corrupted      a message that arrived and was not sent like this. On a server
                 that sends every message to all, it may be another client's
  first to last  from the first delivery of a message to its last one
  stall          a second without any delivery, after which a closed loop takes
                 the messages in flight for lost and sends the next one
  sent late      by how much the generator itself sent later than scheduled
  held up        sent late because the server did not read what was sent before
  warm-up        the time before the measured time: its messages count in totals
                 and faults, but not in rates and latencies

Exit status:
  0  the run was finished, and its result meets all conditions
  1  the run failed; or the server has ended or refused connections; or no
     message has arrived, or one that was not sent; or --min-ratio or --max-p99
     is not met; or churn has missed a message. The last line on standard error
     says which
  2  the command line is wrong
  130  Ctrl-C has ended the measured time early; the result is that of the time
     until then. A second Ctrl-C ends the run at once, without a result";
