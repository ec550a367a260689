//! Which shard gets the next connection: each in turn, but none that can't serve it now.
//!
//! Who watches the shards says which those are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Whose turn it is, and who is absent.
#[derive(Debug)]
pub(in crate::hub) struct Attendance {
    next: AtomicUsize,
    /// Of each shard.
    is_absent: Vec<AtomicBool>,
    /// Of each shard: it has panicked.
    has_panicked: Vec<AtomicBool>,
}

impl Attendance {
    pub(in crate::hub) fn new(shards: usize) -> Self {
        Self {
            next: AtomicUsize::new(0),
            is_absent: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            has_panicked: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// The shard whose turn it is; if all are absent, one of them.
    pub(in crate::hub) fn next(&self) -> usize {
        let turns = || self.next.fetch_add(1, Relaxed) % self.is_absent.len();
        let mut in_turn = self.is_absent.iter().map(|_| turns());
        let present = in_turn.find(|&shard| !self.is_absent[shard].load(Relaxed));
        present.unwrap_or_else(turns)
    }

    pub(in crate::hub) fn set_absent(&self, shard: usize, is_absent: bool) {
        let has_panicked = self.has_panicked[shard].load(Relaxed);
        self.is_absent[shard].store(is_absent || has_panicked, Relaxed);
    }

    /// Makes a shard absent for good.
    pub(in crate::hub) fn set_panicked(&self, shard: usize) {
        self.has_panicked[shard].store(true, Relaxed);
        self.set_absent(shard, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(attendance: &Attendance, count: usize) -> Vec<usize> {
        (0..count).map(|_| attendance.next()).collect()
    }

    #[test]
    fn each_has_its_turn_but_whoever_is_absent_and_all_have_if_nobody_is_there() {
        let attendance = Attendance::new(3);
        assert_eq!(turns(&attendance, 4), [0, 1, 2, 0]);
        attendance.set_absent(1, true);
        assert_eq!(turns(&attendance, 4), [2, 0, 2, 0]);
        attendance.set_absent(0, true);
        assert_eq!(turns(&attendance, 2), [2, 2]);
        attendance.set_absent(2, true);
        assert!(turns(&attendance, 4).iter().all(|&shard| shard < 3));
        attendance.set_absent(1, false);
        assert_eq!(turns(&attendance, 2), [1, 1]);
    }
}
