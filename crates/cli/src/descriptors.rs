//! The limit on file descriptors. Each connection needs one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit, which is usually 1,024, to the hard limit. Returns the new soft limit.
pub(crate) fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it fails, the old limit stays.
    let _ = setrlimit(Resource::Nofile, limit);
    let allowed = getrlimit(Resource::Nofile).current;
    allowed.map_or(usize::MAX, |allowed| {
        usize::try_from(allowed).unwrap_or(usize::MAX)
    })
}
