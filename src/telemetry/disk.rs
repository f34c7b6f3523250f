//! Room on the disk that a folder lies on, and the size of a folder's own files.
//!
//! Looks, never writes.

use std::path::Path;

/// Bytes of the file system that holds a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What an unprivileged process may still write.
    pub free: u64,
    pub size: u64,
}

/// The disk of `folder`; `None` where it cannot be asked.
pub fn disk(folder: &Path) -> Option<Disk> {
    let told = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
    Some(Disk { free: bytes(told.f_bavail), size: bytes(told.f_blocks) })
}

/// The files right in `folder`, together.
pub fn files(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_disk_and_its_files_a_size() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), [0; 100]).expect("written");
        std::fs::write(folder.path().join("b"), [0; 23]).expect("written");
        assert_eq!(files(folder.path()), 123);
        let disk = disk(folder.path()).expect("a disk");
        assert!(disk.size >= disk.free && disk.size > 0, "{disk:?}");
        assert_eq!(super::disk(Path::new("/no/such/folder")), None);
    }
}
