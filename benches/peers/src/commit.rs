//! Finds out the commit that is measured, also where git is not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Digits of a commit's name in the report, as many as git shows.
const DIGITS: usize = 7;

/// Returns the commit that is checked out in the folder `root`, for the head of the report. Git says
/// whether files were changed since; without git this is not known.
pub fn describe(root: &Path) -> String {
    by_git(root)
        .map(|commit| format!("`{commit}`"))
        .or_else(|| {
            let commit = checked_out(&git_folder(root)?)?;
            let short = commit.get(..DIGITS)?;
            Some(format!(
                "`{short}` (without git: changes since are not known)"
            ))
        })
        .unwrap_or_else(|| "unknown (this is no clone of the repository)".to_owned())
}

/// Returns the description of the commit by git, with `-dirty` if files were changed.
fn by_git(root: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(root);
    git.args(["describe", "--always", "--dirty", "--exclude=*"]);
    let output = git.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Returns the folder of git's files. In a further worktree `.git` is a file that names it.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    match fs::read_to_string(&git) {
        Ok(text) => Some(root.join(text.strip_prefix("gitdir: ")?.trim_end())),
        Err(_) => git.is_dir().then_some(git),
    }
}

/// Returns the full name of the commit to which the file `HEAD` refers.
fn checked_out(folder: &Path) -> Option<String> {
    let head = fs::read_to_string(folder.join("HEAD")).ok()?;
    let Some(branch) = head.trim_end().strip_prefix("ref: ") else {
        return Some(head.trim_end().to_owned());
    };
    // The branches of a further worktree are kept with those of the first one.
    let common = fs::read_to_string(folder.join("commondir")).unwrap_or_default();
    let common = folder.join(common.trim_end());
    let unpacked = fs::read_to_string(common.join(branch)).ok();
    let packed = || {
        let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
        let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
        let (commit, _) = lines.find(|(_, name)| *name == branch)?;
        Some(commit.to_owned())
    };
    unpacked
        .map(|commit| commit.trim_end().to_owned())
        .or_else(packed)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// Returns a folder with these files.
    fn with(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        folder
    }

    /// Returns the commit that is checked out in the worktree `tree` of a folder with these files.
    fn found(files: &[(&str, &str)], tree: &str) -> Option<String> {
        let folder = with(files);
        checked_out(&git_folder(&folder.path().join(tree))?)
    }

    #[test]
    fn the_commit_is_that_of_the_branch_that_is_checked_out() {
        let head = (".git/HEAD", "ref: refs/heads/main\n");
        let commit = format!("{COMMIT}\n");
        let branch = (".git/refs/heads/main", &*commit);
        assert_eq!(found(&[head, branch], "").as_deref(), Some(COMMIT));
    }

    #[test]
    fn a_branch_may_be_packed_with_others() {
        let head = (".git/HEAD", "ref: refs/heads/main\n");
        let other = "f".repeat(40);
        let packed = format!(
            "# pack-refs with: peeled\n{other} refs/heads/domain\n{COMMIT} refs/heads/main\n"
        );
        let packed = (".git/packed-refs", &*packed);
        assert_eq!(found(&[head, packed], "").as_deref(), Some(COMMIT));
    }

    #[test]
    fn a_commit_may_be_checked_out_without_a_branch() {
        let head = (".git/HEAD", &*format!("{COMMIT}\n"));
        assert_eq!(found(&[head], "").as_deref(), Some(COMMIT));
    }

    #[test]
    fn a_further_worktree_has_its_own_head_and_shares_the_branches() {
        let files = [
            ("tree/.git", "gitdir: ../first/.git/worktrees/tree\n"),
            ("first/.git/worktrees/tree/HEAD", "ref: refs/heads/topic\n"),
            ("first/.git/worktrees/tree/commondir", "../..\n"),
            ("first/.git/refs/heads/topic", COMMIT),
        ];
        assert_eq!(found(&files, "tree").as_deref(), Some(COMMIT));
    }

    #[test]
    fn a_folder_that_is_no_clone_has_no_commit() {
        assert_eq!(found(&[], ""), None);
        let folder = with(&[("README.md", "")]);
        assert!(describe(folder.path()).starts_with("unknown"));
    }
}
