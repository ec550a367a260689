//! The reasons why a connection ends, and which of them forbid to reconnect.
//!
//! Pure.

use std::io;

use framecast_wire::protocol_error::ProtocolError;

use crate::display::escape;

/// The reason why a connection ended, if it was not the client that closed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Disconnect {
    /// The server started the closing handshake. `code` is `None` if its Close frame was empty.
    #[error("closed by the server {}", describe(*code, reason))]
    ByServer { code: Option<u16>, reason: String },
    /// The transport failed, or ended without a closing handshake.
    #[error("connection lost")]
    Lost(#[source] io::Error),
    /// The server broke RFC 6455, or exceeded a limit of this client.
    #[error("the server sent a message or frame that this client refuses")]
    ProtocolError(#[from] ProtocolError),
}

impl Disconnect {
    /// Returns true if the client must not reconnect.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::ByServer { code, .. } => code.is_some_and(is_final_close),
            Self::Lost(_) | Self::ProtocolError(_) => false,
        }
    }

    /// Returns true if the server closed the connection without an error: without a code, or with
    /// 1000 or 1001 (RFC 6455 §7.4.1).
    pub(crate) fn is_orderly(&self) -> bool {
        match self {
            Self::ByServer { code, .. } => matches!(code, None | Some(1000 | 1001)),
            Self::Lost(_) | Self::ProtocolError(_) => false,
        }
    }
}

fn is_final_close(code: u16) -> bool {
    // RFC 6455 §7.4.1: protocol error, unacceptable data, inconsistent data, policy violation,
    // message too big, missing extension. 4500-4999: a refusal by the server's application.
    matches!(code, 1002 | 1003 | 1007..=1010 | 4500..=4999)
}

fn describe(code: Option<u16>, reason: &str) -> String {
    match code {
        None => "without a code".to_owned(),
        Some(code) if reason.is_empty() => format!("with code {code}"),
        Some(code) => format!("with code {code} ({})", escape(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_server(code: u16, reason: &str) -> Disconnect {
        Disconnect::ByServer {
            code: Some(code),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn close_codes_that_blame_this_client_are_final() {
        for code in [1002, 1003, 1007, 1008, 1009, 1010, 4500, 4506, 4999] {
            assert!(by_server(code, "").is_final(), "{code}");
        }
        for code in [1000, 1001, 1011, 1012, 1013, 3000, 4000, 4499] {
            assert!(!by_server(code, "").is_final(), "{code}");
        }
        assert!(!Disconnect::Lost(io::ErrorKind::ConnectionReset.into()).is_final());
    }

    #[test]
    fn the_protocol_error_of_the_server_is_named_once() {
        let disconnect = Disconnect::from(ProtocolError::ReservedBits);
        assert_eq!(
            format!("{:#}", anyhow::Error::from(disconnect)),
            "the server sent a message or frame that this client refuses: reserved bits set"
        );
    }

    #[test]
    fn a_close_reason_cannot_control_the_terminal() {
        assert_eq!(
            by_server(4500, "go\u{1b}[2J").to_string(),
            "closed by the server with code 4500 (go\\u{1b}[2J)"
        );
        assert_eq!(
            by_server(1000, "").to_string(),
            "closed by the server with code 1000"
        );
    }
}
