//! The limit of file descriptors: one for each connection.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Allows as many descriptors as the system lets us, and returns how many that is. The usual soft
/// limit is 1,024.
pub(crate) fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it there are just fewer.
    let _ = setrlimit(Resource::Nofile, limit);
    let allowed = getrlimit(Resource::Nofile).current;
    allowed.map_or(usize::MAX, |allowed| {
        usize::try_from(allowed).unwrap_or(usize::MAX)
    })
}
